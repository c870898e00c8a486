"""What may be chosen: the rules and their sentences. Pure."""
