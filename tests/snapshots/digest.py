"""Short hashes, and the lines that hold them."""

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
    """A cfg or a trained model; for a cfg of the tests its file name, with its directory where two have one name."""
    dialect: str
    aspect: str
    value: str
    """A hash, or the name of an error's class."""

    def __str__(self) -> str:
        return "\t".join(self)


class SnapshotError(Exception):
    """A file that holds no snapshot."""


def digest(parts: Iterable[Part]) -> str:
    """Return 16 hexadecimal digits that depend on every part and on where it ends."""
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
        # The sign of NaN depends on the machine's instructions.
        return part.detach().nan_to_num(7.0).contiguous().numpy().tobytes()
    return part


def evaluate(make: Callable[[], Iterable[Part]]) -> str:
    """Return the digest of what a function gives, or the name of the darkparse error that it raises."""
    try:
        return digest(make())
    except darkparse.DarkparseError as error:
        return type(error).__name__


def read_lines(path: Path) -> list[Line]:
    """Read a snapshot.

    Raises:
        SnapshotError: the file cannot be read, or a line has other than four fields.
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
    """Return the lines of only one snapshot, `- ` before the old ones and `+ ` before the new ones, case by case."""
    before, after = ({line[:3]: line for line in lines} for lines in (old, new))
    differences = []
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            differences += [f"{sign} {line[key]}" for sign, line in (("-", before), ("+", after)) if key in line]
    return differences
