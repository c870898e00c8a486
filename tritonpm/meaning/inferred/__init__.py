"""What exporters write of a model's meaning, into it and beside it: a module an exporter."""
