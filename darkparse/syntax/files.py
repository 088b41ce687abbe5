"""Files of strangers: no more is read than their kind can need, and what cannot be read is told in one sentence."""

from __future__ import annotations

import os
import stat
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from darkparse.errors import DarkparseError

MAX_CFG_BYTES = 1 << 20
"""The most that is read as a cfg or as YAML; the longest known cfg has 30,733."""
MAX_TEXT_BYTES = 4 << 20
"""The most that is read as a word tree, a list of names and the like; the longest known has 246,356."""


def read_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """All bytes of a file, a pipe or a device that ends. Raises DarkparseError with its name."""
    try:
        with path.open("rb") as file:
            return read_limited(file, str(path), max_bytes)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise DarkparseError(f"{path}: {describe_error(problem)}") from None


def read_limited(file: BinaryIO, name: str, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """What is left of an open file. Raises DarkparseError if that is more than `max_bytes`."""
    chunks, size = [], 0
    while size <= max_bytes and (chunk := file.read(1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    if size > max_bytes:
        raise DarkparseError(f"{name}: more than {max_bytes:,} bytes, the most that is read of such a file")
    return b"".join(chunks)


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """A text file in UTF-8, without its byte order mark. Raises DarkparseError with its name."""
    try:
        return read_bytes(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DarkparseError(f"{path}: not a text file") from None


def split_lines(text: str) -> list[str]:
    """Lines with their ends, as Darknet divides them (utils.c fgetl): at `\\n`, and at nothing else that Python takes
    for a line's end."""
    return list(StringIO(text, newline="\n"))


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a regular file of this name; no name is too long or too odd to be asked for."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - Path.stat says no more
    except (OSError, ValueError):
        return False


def describe_error(problem: BaseException) -> str:
    """Why something failed, one line: what the system says, the first line of the error's text, or its name."""
    text = str(getattr(problem, "strerror", None) or problem).strip()
    return text.partition("\n")[0] or type(problem).__name__
