"""What the tests share: models, packages, servers, clients. No test module is imported by another."""
