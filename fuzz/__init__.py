"""Fuzzers of everything that reads what others wrote: `script/fuzz [MINUTES [TARGET…]]`."""
