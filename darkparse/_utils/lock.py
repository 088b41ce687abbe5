"""Directories that only one process at a time may write to."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK, OWNER = ".lock", ".lock.pid"


@contextmanager
def lock_directory(folder: Path, option: str, error: type[Exception]) -> Iterator[None]:
    """Lock a directory until the context or the process ends; create it if it does not exist.

    The lock is an advisory lock of the operating system on the file `.lock`, which is removed at the end. The file
    `.lock.pid` stores the ID of the process that has the lock, for the error message of a second one.

    Args:
        folder: The directory.
        option: Option that names the directory, for the error message.
        error: Exception to raise if another process has the lock.

    Raises:
        OSError: The directory cannot be created or written to.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / LOCK, timeout=0), folder / OWNER
    try:
        lock.acquire()
    except Timeout:
        raise error(
            f"{folder} is locked by {_read_owner(owner)}\nhint: wait until it ends or choose another {option}"
        ) from None
    except OSError as problem:
        if problem.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network file systems do not support locks
            raise
    try:
        owner.write_text(f"{os.getpid()}\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        # filelock takes no lock on a file that was removed after it was opened. Windows removes no open file.
        if lock.is_locked:
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def _read_owner(path: Path) -> str:
    """Describe the process that has the lock; it may not have written its ID yet."""
    try:
        return f"process {int(path.read_text())}"
    except (OSError, ValueError):
        return "another process"
