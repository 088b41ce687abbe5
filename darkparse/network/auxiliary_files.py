"""Where the files that a cfg names (`tree=`, `map=`) are looked for, and where never: a cfg may be a stranger's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from darkparse.diagnostics.source import Source
from darkparse.syntax.files import is_file

SYSTEM_DIRECTORIES = tuple(map(Path, ("/proc", "/sys", "/dev")))
"""What looks like files there is the state of processes and devices."""


def find_side_file(name: str, source: Source) -> Path | None:
    """The file that a cfg names, all links followed, if it lies where such files may.

    Darknet opens it from the working directory, which is the folder above `cfg/` by custom.
    """
    roots = tuple(_find_roots(source))
    beside = () if source.path is None else (source.path.parent, source.path.parent / "..")
    for folder in (Path(), *beside, *(source.folders or ())):
        if is_file(folder / name):
            path = Path(os.path.realpath(folder / name))
            if any(map(path.is_relative_to, roots)) and not any(map(path.is_relative_to, SYSTEM_DIRECTORIES)):
                return path
    return None


def _find_roots(source: Source) -> Iterator[Path]:
    """The folders below which it may lie: those that the caller gave, or those around the cfg."""
    roots = [Path(os.path.realpath(folder)) for folder in source.folders or ()]
    if source.folders is None and source.path is not None:
        beside = Path(os.path.realpath(source.path.parent))
        roots += [beside, beside.parent]
    if source.folders is None and (working := _get_working_directory()) is not None:
        roots.append(working)
    # Everything lies below a file system's root: that says nothing about where a file belongs.
    yield from (folder for folder in roots if source.folders is not None or folder != folder.parent)


def _get_working_directory() -> Path | None:
    """None where it is the home, or was removed."""
    try:
        working = Path(os.path.realpath(os.getcwd()))  # noqa: PTH109 - as the line below
    except OSError:
        return None
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    return None if working == Path(home) else working
