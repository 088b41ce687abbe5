"""Every way to run a Darknet network that PyPI serves, beside darkparse's: `python -m benchmarks --help`."""
