"""The page and the REST API: the operations for a browser. No rule and no decision of its own."""
