"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EISDIR, ENOENT
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

if sys.platform != "win32":
    import fcntl

PARTIAL_NAME = re.compile(r"\.part-[0-9a-f]{8}-(.+)", re.DOTALL)
"""The name of a file that is not finished, with the end of the name that it will have."""
MAX_NAME_END = 60
"""Characters of that end: with `.part-01234567-` before them at most 255 bytes in UTF-8, as file systems allow."""


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, synced: bool = False) -> Iterator[Path]:
    """A name beside the target to write to, with its ending; what is there becomes the target at the end.

    After an error the target is as it was and the other file gone; a process that is killed leaves the target as it
    was, and `.part-…-NAME` beside it, which the next one that writes NAME removes. Of several processes that write one
    file the last one's is there, whole. A link keeps pointing to the file that is replaced, permissions stay; pipes and
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
        remove_leftovers(target.parent, target.name)
        partial = target.with_name(f".part-{secrets.token_hex(4)}-{target.name[-MAX_NAME_END:]}")
        # A folder that takes no file says so before the work. Whoever lives holds his file open and locked.
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with suppress(OSError):  # a network file system may have no locks
                _lock(handle)
            yield partial
            if target.exists():
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
            if synced:
                os.fsync(handle)
            if sys.platform == "win32":  # which renames no open file
                os.close(handle)
                handle = -1
            partial.replace(target)
        finally:
            if handle >= 0:
                os.close(handle)
            partial.unlink(missing_ok=True)
        if synced:
            with suppress(OSError):  # Windows cannot open a folder
                _sync(target.parent)
    except OSError as problem:
        if problem.strerror is None:
            raise
        raise OSError(problem.errno, problem.strerror, os.fspath(path)) from None


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left in a folder under the names that `atomic_write` gives: what should have become
    `name`, or all of it, then also in the folders below. What a living process writes stays."""
    for path in folder.rglob(".part-*") if name is None else folder.glob(".part-*"):
        match = PARTIAL_NAME.fullmatch(path.name)
        if match is not None and (name is None or name[-MAX_NAME_END:] == match[1]):
            with suppress(OSError):  # another user's, or in use by a living process
                with path.open("rb+") as file:
                    _lock(file.fileno())
                path.unlink()


def _lock(handle: int) -> None:
    """Lock an open file until it is closed; raise OSError if a process holds it. Windows removes no open file."""
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _DeferredErrorFile(RawIOBase):
    """A file that takes all bytes, also after an error, and keeps that error."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.problem: OSError | None = None

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return offset if self.problem else self._file.seek(offset, whence)

    def write(self, data: Any, /) -> int:
        if self.problem is None:
            try:
                self._file.write(data)
            except OSError as problem:
                self.problem = problem
        return memoryview(data).nbytes


@contextmanager
def deferred_errors(file: BinaryIO) -> Iterator[BinaryIO]:
    """An open file for writers that an error in the middle confuses: torch's end in another message, or abort the
    process. They write to the end, then the error is raised.

    Raises:
        OSError: the file could not be written.
    """
    wrapper = _DeferredErrorFile(file)
    try:
        yield cast("BinaryIO", wrapper)
    finally:
        if wrapper.problem is not None:
            raise wrapper.problem


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
