"""Repetition of a command whenever one of its input files is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import click

from darkparse.cli.common import report_error
from darkparse.errors import DarkparseError

INTERVAL = 0.3
"""Seconds between two checks of the files."""

FileState = tuple[int, int] | None
"""Modification time in nanoseconds and size; None if the file does not exist."""


def watch_files(paths: Sequence[Path], run: Callable[[], None]) -> NoReturn:
    """Call a function now, and again whenever one of the files is saved, until Ctrl-C.

    The first call's errors are raised. Later ones are printed, since a file is often invalid while it is edited.

    Args:
        paths: Files to watch.
        run: Function to call.
    """
    # Read before the call, so that a change during the call is not missed.
    states = _read_states(paths)
    run()
    click.echo(f"watching {', '.join(map(str, paths))}; stop with Ctrl-C", err=True)
    while True:
        time.sleep(INTERVAL)
        current = _read_states(paths)
        # Editors may delete a file before they write it again.
        if current == states or None in current:
            continue
        states = current
        try:
            run()
        except DarkparseError as problem:
            report_error(problem)
        except OSError as problem:
            click.echo(f"darkparse: error: {problem}", err=True)


def _read_states(paths: Sequence[Path]) -> list[FileState]:
    return [_read_state(path) for path in paths]


def _read_state(path: Path) -> FileState:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
