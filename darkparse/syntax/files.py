"""Reading untrusted files, with a size limit per kind of file and one-line errors."""

from __future__ import annotations

import os
import stat
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from darkparse.errors import DarkparseError

YAML_SUFFIXES = (".yaml", ".yml")

MAX_CFG_BYTES = 1 << 20
"""Size limit of a cfg or YAML file; the largest known cfg has 30,733 bytes."""
MAX_TEXT_BYTES = 4 << 20
"""Size limit of word trees, lists of names and similar files; the largest known one has 246,356 bytes."""


def read_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Read all bytes of a file, pipe or finite device.

    Raises:
        DarkparseError: The file cannot be read or is larger than `max_bytes`; the message includes its name.
    """
    try:
        with path.open("rb") as file:
            return read_limited(file, str(path), max_bytes)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise DarkparseError(f"{path}: {describe_error(problem)}") from None


def read_limited(file: BinaryIO, name: str, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Read an open file to its end.

    Raises:
        DarkparseError: The rest of the file is larger than `max_bytes`.
    """
    chunks, size = [], 0
    while size <= max_bytes and (chunk := file.read(1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    if size > max_bytes:
        raise DarkparseError(f"{name}: file is too large; expected at most {max_bytes:,} bytes")
    return b"".join(chunks)


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a UTF-8 text file without its byte order mark.

    Raises:
        DarkparseError: The file cannot be read or is not UTF-8; the message includes its name.
    """
    try:
        return read_bytes(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DarkparseError(f"{path}: not a UTF-8 text file") from None


def split_lines(text: str) -> list[str]:
    """Split text at `\\n` only, as Darknet does (utils.c, fgetl), and keep the line ends.

    `str.splitlines` would also split at other characters.
    """
    return list(StringIO(text, newline="\n"))


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a regular file with this name exists; False for a name that the system rejects."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - Path.stat says no more
    except (OSError, ValueError):
        return False


def describe_error(problem: BaseException) -> str:
    """Describe an exception on one line: the system's message, the first line of its text, or its class name."""
    text = str(getattr(problem, "strerror", None) or problem).strip()
    return text.partition("\n")[0] or type(problem).__name__
