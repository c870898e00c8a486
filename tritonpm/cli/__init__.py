"""Click commands: parse, call an operation, print. No decision of its own."""
