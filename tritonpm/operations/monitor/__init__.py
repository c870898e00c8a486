"""What the machine, the GPUs, the server and the packages do right now."""
