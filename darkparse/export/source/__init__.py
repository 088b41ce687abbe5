"""A network as PyTorch source that reads as a person would write it."""
