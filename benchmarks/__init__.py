"""Benchmarks of darkparse and other programs that run Darknet networks: `python -m benchmarks --help`."""
