"""How fast it is: the real perf_analyzer, what it needs, what it found, and what that costs."""
