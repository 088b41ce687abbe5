"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EISDIR, ENOENT
from pathlib import Path


@contextmanager
def unfinished(path: str | os.PathLike[str], *, synced: bool = False) -> Iterator[Path]:
    """A name beside the target to write to, with its ending; what is there becomes the target at the end.

    After an error the target is as it was and the other file gone; a process that is killed leaves the target as it
    was, and `.part-…-NAME` beside it. A link keeps pointing to the file that is replaced, permissions stay; pipes and
    devices are written to themselves.

    Args:
        path: the target, in a folder that exists.
        synced: wait until the bytes are on the disk before the target is replaced.

    Raises:
        OSError: the file cannot be written; it names the target.
    """
    try:
        target = Path(os.path.realpath(path))  # Path.resolve() takes a link to itself for a fault of the program
        if target.is_dir():
            raise IsADirectoryError(EISDIR, "this is a folder")
        if not target.parent.is_dir():
            raise FileNotFoundError(ENOENT, f"there is no folder {target.parent}")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        if target.exists() and not target.is_file():
            yield target
            return
        part = target.with_name(f".part-{secrets.token_hex(4)}-{target.name}")
        part.touch()  # a folder that takes no file says so before the work
        try:
            yield part
            if target.exists():
                part.chmod(stat.S_IMODE(target.stat().st_mode))
            if synced:
                _sync(part, os.O_RDWR)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        if synced:
            with suppress(OSError):  # Windows cannot open a folder
                _sync(target.parent, os.O_RDONLY)
    except OSError as problem:
        if problem.strerror is None:
            raise
        raise OSError(problem.errno, problem.strerror, os.fspath(path)) from None


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left in a folder and below it under the names that `unfinished` gives."""
    for path in folder.rglob(".part-*"):
        if re.match(r"\.part-[0-9a-f]{8}-", path.name):
            path.unlink(missing_ok=True)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
