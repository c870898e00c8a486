"""What is optimised, the jobs that do it, and conversions of a file alone."""
