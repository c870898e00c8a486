"""Several servers on one repository, changed together."""
