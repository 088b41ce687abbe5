"""Command line interface, with one module per command, imported when the command runs."""

from darkparse.cli.main import main

__all__ = ["main"]
