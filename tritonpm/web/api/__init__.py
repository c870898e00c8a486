"""The REST API: /api/v1. What it answers are the views that the CLI prints as JSON; the page uses nothing else."""
