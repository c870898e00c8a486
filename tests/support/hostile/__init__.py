"""Packages that try to run something, and a tracer that sees whether they do."""
