"""Darknet's training, step by step."""
