"""Lookup of files that a cfg names (`tree=`, `map=`), restricted to safe directories: a cfg may be untrusted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from darkparse.diagnostics.source import Source
from darkparse.syntax.files import is_file

SYSTEM_DIRECTORIES = tuple(map(Path, ("/proc", "/sys", "/dev")))
"""Directories whose entries are never read, because they expose processes and devices instead of files."""


def find_side_file(name: str, source: Source) -> Path | None:
    """Return the file that a cfg names, with links resolved; None if it is missing or outside the allowed directories.

    Darknet opens the file relative to the working directory, by convention the parent of `cfg/`.
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
    """Yield the directories that may contain the files: the caller's, or else those around the cfg."""
    roots = [Path(os.path.realpath(folder)) for folder in source.folders or ()]
    if source.folders is None and source.path is not None:
        beside = Path(os.path.realpath(source.path.parent))
        roots += [beside, beside.parent]
    if source.folders is None and (working := _get_working_directory()) is not None:
        roots.append(working)
    # Every file is below the root directory, so it only counts if the caller allows it.
    yield from (folder for folder in roots if source.folders is not None or folder != folder.parent)


def _get_working_directory() -> Path | None:
    """Return the working directory; None if it is the home directory or was removed."""
    try:
        working = Path(os.path.realpath(os.getcwd()))  # noqa: PTH109 - as the line below
    except OSError:
        return None
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where there is none
    return None if working == Path(home) else working
