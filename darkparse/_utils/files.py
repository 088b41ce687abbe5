"""Files that are written completely or not at all."""

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
"""Name of an unfinished file; the group is the end of the final name."""
MAX_NAME_END = 60
"""Maximum length of that end: with the prefix `.part-01234567-`, a name has at most 255 bytes in UTF-8, the limit of
common file systems.
"""


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, synced: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the target's directory; its file replaces the target when the context ends.

    After an error the target is unchanged and the temporary file is deleted. A killed process leaves the target
    unchanged and a file `.part-…-NAME`, which the next `atomic_write` of NAME deletes. If several processes write one
    file, the last one wins and the file is complete. If the target is a symbolic link, the file that it points to is
    replaced. Permissions are preserved. For pipes and devices the path itself is yielded.

    Args:
        path: Target, in an existing directory.
        synced: Flush the data to disk before replacing the target.

    Raises:
        OSError: The file cannot be written; the error names the target.
    """
    try:
        target = Path(os.path.realpath(path))  # Path.resolve() may raise RuntimeError for a link to itself
        if target.is_dir():
            raise IsADirectoryError(EISDIR, "is a directory")
        if not target.parent.is_dir():
            raise FileNotFoundError(ENOENT, f"directory {target.parent} does not exist")
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        if target.exists() and not target.is_file():
            yield target
            return
        remove_leftovers(target.parent, target.name)
        partial = target.with_name(f".part-{secrets.token_hex(4)}-{target.name[-MAX_NAME_END:]}")
        # Creating the file now reports an unwritable directory before any work is done. It stays open and locked, so
        # other processes can tell it from a leftover.
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with suppress(OSError):  # some network file systems do not support locks
                _lock(handle)
            yield partial
            if target.exists():
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
            if synced:
                os.fsync(handle)
            if sys.platform == "win32":  # Windows cannot rename an open file
                os.close(handle)
                handle = -1
            partial.replace(target)
        finally:
            if handle >= 0:
                os.close(handle)
            partial.unlink(missing_ok=True)
        if synced:
            with suppress(OSError):  # Windows cannot open a directory
                _sync(target.parent)
    except OSError as problem:
        if problem.strerror is None:
            raise
        raise OSError(problem.errno, problem.strerror, os.fspath(path)) from None


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete the temporary files that killed processes left in a directory; files in use are kept.

    Args:
        folder: Directory to clean up.
        name: Delete only the leftovers of this target; None: all of them, in subdirectories too.
    """
    for path in folder.rglob(".part-*") if name is None else folder.glob(".part-*"):
        match = PARTIAL_NAME.fullmatch(path.name)
        if match is not None and (name is None or name[-MAX_NAME_END:] == match[1]):
            with suppress(OSError):  # another user's, or in use by a living process
                with path.open("rb+") as file:
                    _lock(file.fileno())
                path.unlink()


def _lock(handle: int) -> None:
    """Lock an open file until it is closed; raise OSError if another process has locked it.

    Windows needs no lock: it cannot delete an open file.
    """
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _DeferredErrorFile(RawIOBase):
    """File that accepts all data, even after an error, and stores the first error."""

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
    """Wrap an open file so that a write error is raised when the context ends, not in the middle of writing.

    Some writers cannot handle an error: torch's raises a misleading message, or aborts the process.

    Raises:
        OSError: The file could not be written.
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
