"""The command line: one file a command, loaded when it is asked for."""

from darkparse.cli.main import main

__all__ = ["main"]
