"""The front of a model: pictures in, objects out, as ONNX operators."""
