"""What tensors mean: how an image or a text becomes a model's input, and what its outputs say of it."""
