"""Click commands: parse, call the manager, print. No decision of its own."""
