"""Generation of readable PyTorch source code from a network."""
