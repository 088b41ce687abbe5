"""Diagnosis of weights files that do not fit a network."""
