"""Talking to a Triton server, and running the embedded one. Knows no catalogue."""
