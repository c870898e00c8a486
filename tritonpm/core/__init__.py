"""What every room speaks: types, errors, tensors, files. Imports nothing of ours."""
