"""What stands before and behind a model so that pictures go in and objects come out, as ONNX operators."""
