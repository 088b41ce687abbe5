"""Directories that one process at a time may write to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK, OWNER = ".lock", ".lock.pid"


@contextmanager
def lock_directory(folder: Path, option: str, error: type[Exception]) -> Iterator[None]:
    """Lock a directory until the context or the process ends, and create it if it does not exist.

    The lock is an advisory lock of the operating system on the file `.lock`. Beside it `.lock.pid` holds the ID of the
    process that holds the lock, for the error message of a second one.

    Args:
        folder: the directory.
        option: the option that names the directory, for the message.
        error: the exception to raise if another process holds the lock.

    Raises:
        OSError: the directory cannot be created or written to.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / LOCK, timeout=0), folder / OWNER
    try:
        lock.acquire()
    except Timeout:
        raise error(f"{folder} is in use by {_read_owner(owner)}; wait for it, or choose another {option}") from None
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
    """Name the process that holds a lock, which may not have written its ID yet."""
    try:
        return f"process {int(path.read_text())}"
    except (OSError, ValueError):
        return "another process"
