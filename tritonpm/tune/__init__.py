"""The search for the best settings: what may be tried, what cannot pay, and which of the rest are worth measuring."""
