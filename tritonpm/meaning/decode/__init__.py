"""From the outputs of one picture to what it holds: a module a family."""
