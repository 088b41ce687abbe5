"""The command line, run in the test's own process."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from darkparse.cli import main


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit status; `output` has both streams as a terminal shows them."""

    returncode: int
    stdout: str
    stderr: str
    output: str


def run_command(*arguments: str | Path) -> Result:
    """Run `darkparse` with these arguments, as a process of its own would, but for signals and closed streams."""
    with CliRunner().isolation() as streams, warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda *warning, **_: sys.stderr.write(warnings.formatwarning(*warning[:4]))  # type: ignore[assignment]
        status: object = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code or 0
        sys.stdout.flush()
        out, err, both = (stream.getvalue().decode().replace("\r\n", "\n") for stream in streams)
    assert isinstance(status, int)
    return Result(status, out, err, both)
