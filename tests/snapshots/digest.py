"""Short hashes and the lines of a snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

import darkparse

Part = str | bytes | Tensor


class Line(NamedTuple):
    """One line of a snapshot."""

    case: str
    """Name of a cfg or trained model. For cfgs of tests, the file name, with the directory if it is ambiguous."""
    dialect: str
    aspect: str
    value: str
    """Hash, or name of an error class."""

    def __str__(self) -> str:
        return "\t".join(self)


class SnapshotError(Exception):
    """File that is not a snapshot."""


def digest(parts: Iterable[Part]) -> str:
    """Return 16 hexadecimal digits that depend on the content and boundaries of every part."""
    total = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = _to_bytes(part)
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


def _to_bytes(part: Part) -> bytes | memoryview:
    if isinstance(part, str):
        return part.encode("utf-8", "surrogateescape")
    if isinstance(part, Tensor):
        # The sign of NaN depends on the instruction set.
        return part.detach().nan_to_num(7.0).contiguous().numpy().tobytes()
    return part


def evaluate(make: Callable[[], Iterable[Part]]) -> str:
    """Return the digest of a function's result, or the class name of the darkparse error it raises."""
    try:
        return digest(make())
    except darkparse.DarkparseError as error:
        return type(error).__name__


def read_lines(path: Path) -> list[Line]:
    """Read a snapshot.

    Raises:
        SnapshotError: The file cannot be read, or a line does not have four fields.
    """
    try:
        rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{path}: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    for number, row in enumerate(rows, 1):
        if len(row) != len(Line._fields):
            raise SnapshotError(
                f"{path}:{number}: not a snapshot, got {len(row)} fields; expected case, dialect, aspect, value"
            )
    return [Line(*row) for row in rows]


def find_differences(old: Iterable[Line], new: Iterable[Line]) -> list[str]:
    """Return the lines that only one snapshot has, prefixed with `- ` (old) or `+ ` (new), case by case."""
    before, after = ({line[:3]: line for line in lines} for lines in (old, new))
    differences = []
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            differences += [f"{sign} {line[key]}" for sign, line in (("-", before), ("+", after)) if key in line]
    return differences
