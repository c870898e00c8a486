"""One file for each command, of its name: `tritonpm VERB` is VERB.py, which defines VERB_command."""
