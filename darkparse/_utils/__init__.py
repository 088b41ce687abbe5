"""Helpers that know nothing of networks: atomic files, locks, text, memory, lazy imports."""
