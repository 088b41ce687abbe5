"""Helpers independent of networks: atomic files, locks, text, memory, lazy imports."""
