"""Several Triton servers on one repository: which there are, in which order they change, and what goes where."""
