"""The page and the REST API: the manager's use cases for a browser. No rule and no decision of its own."""
