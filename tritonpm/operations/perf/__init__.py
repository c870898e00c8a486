"""How fast a package is, and what it costs."""
