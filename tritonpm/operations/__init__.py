"""`tritonpm VERB` is `operations/VERB.py`: functions over a `Context` that return frozen results and print nothing."""
