"""Helpers that know nothing of networks: atomic files, text, memory, signals."""
