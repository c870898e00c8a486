"""Reading what came in: archives, the manifest, signatures by format. Knows nothing of Triton's serving."""
