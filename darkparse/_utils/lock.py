"""Directories that one process at a time may write to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK, OWNER = ".lock", ".lock.pid"


class DirectoryInUseError(Exception):
    """Another process holds the lock of a directory; the message names both."""


@contextmanager
def lock_directory(folder: Path) -> Iterator[None]:
    """Lock a directory, which is made if it does not exist, until the context ends or the process does.

    The lock is an advisory one of the operating system on the file `.lock`. Beside it `.lock.pid` holds the process ID
    of its owner, so that a second process can say which one it waits for.

    Args:
        folder: the directory.

    Raises:
        DirectoryInUseError: another process holds it.
        OSError: it cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / LOCK, timeout=0), folder / OWNER
    try:
        lock.acquire()
    except Timeout:
        raise DirectoryInUseError(f"{folder} is in use by {_read_owner(owner)}") from None
    except OSError as problem:
        if problem.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a network file system may have no locks
            raise
    try:
        owner.write_text(f"{os.getpid()}\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _read_owner(path: Path) -> str:
    """Name the process that holds a lock, which may be about to write its ID or to end."""
    try:
        return f"process {int(path.read_text())}"
    except (OSError, ValueError):
        return "another process"
