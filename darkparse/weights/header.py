"""The header of a `.weights` file."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from darkparse.layers import Dialect

VERSION_STRUCT = struct.Struct("<3i")
HEADER_SIZES = (VERSION_STRUCT.size + 4, VERSION_STRUCT.size + 8)
"""Bytes of a header whose `seen` has 4 or 8."""

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """Version of the writer and number of images seen in training;
    16 or 20 bytes, little-endian (parser.c load_weights_upto)."""

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0
    seen_bytes: int = 8
    """Width of `seen` in the file: 8 from version 0.2 on, 4 before."""

    def __post_init__(self) -> None:
        if not all(isinstance(number, int) for number in (*self.version, self.seen)) or self.seen_bytes not in (4, 8):
            raise ValueError(f"invalid header, got {self!r}; expected integers, with seen_bytes 4 or 8")

    @property
    def version(self) -> Version:
        return self.major, self.minor, self.revision

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return VERSION_STRUCT.size + self.seen_bytes

    @property
    def is_transposed(self) -> bool:
        """Whether the weights of connected layers are stored (inputs, outputs)."""
        return self.major > 1000 or self.minor > 1000

    @classmethod
    def from_version(cls, version: Version, dialect: Dialect, seen: int = 0) -> Header:
        """The header of a version, with `seen` as wide as the dialect reads it there."""
        return cls(*version, seen, get_seen_width(version, dialect))

    def with_changes(self, dialect: Dialect, seen: int | None, version: Version | str | None) -> Header:
        """Return the header with another `seen` or version, where given. Raises ValueError for an invalid version."""
        header = self if version is None else Header.from_version(parse_version(version), dialect, self.seen)
        return header if seen is None else replace(header, seen=seen)

    def pack(self) -> bytes:
        """The header's bytes. Raises ValueError if a number is too large for its field."""
        try:
            return VERSION_STRUCT.pack(*self.version) + self.seen.to_bytes(self.seen_bytes, "little")
        except (struct.error, OverflowError):
            message = (
                f"header out of range, got {self}; expected a version of three 32-bit integers and at most "
                f"{256**self.seen_bytes - 1:,} images seen"
            )
            raise ValueError(message) from None

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))}, {self.seen:,} images seen, {self.size} bytes"


def parse_version(version: Version | str) -> Version:
    """`0.2.5` as numbers; a missing third is 0. Three numbers are one already. Raises ValueError."""
    match version:
        case [int(major), int(minor), int(revision)]:
            return major, minor, revision
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?", version.strip()) if isinstance(version, str) else None
    if match is None:
        raise ValueError(f"invalid version {version!r}; expected e.g. 0.2.5")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def get_seen_width(version: Version, dialect: Dialect) -> int:
    """Width of `seen`; the forks disagree on versions from 1000 on."""
    major, minor, _ = version
    limit = dialect.seen_limit
    is_wide = major * 10 + minor >= 2 and (limit is None or max(major, minor) < limit)
    return 8 if is_wide else 4


def read_version(data: bytes) -> Version | None:
    """The version at the start of a file's bytes, None if there are too few."""
    return VERSION_STRUCT.unpack_from(data) if len(data) >= VERSION_STRUCT.size else None


def read_header(data: bytes, dialect: Dialect, size: int | None = None) -> Header:
    """The header at the start of a file's bytes.

    Args:
        data: at least the first 20 bytes, or the whole of a shorter file.
        dialect: decides about the width of `seen` where the forks disagree.
        size: 16 or 20, to read a header whose width is not that of its version.

    Raises:
        ValueError: there are too few bytes.
    """
    version = read_version(data)
    if version is None:
        raise ValueError(f"file is too short for a header, got {len(data)} bytes; expected at least {HEADER_SIZES[0]}")
    if size not in (None, *HEADER_SIZES):
        raise ValueError(f"header size must be {HEADER_SIZES[0]} or {HEADER_SIZES[1]} bytes, got {size}")
    width = get_seen_width(version, dialect) if size is None else size - VERSION_STRUCT.size
    end = VERSION_STRUCT.size + width
    if len(data) < end:
        raise ValueError(
            f"file is too short for a header of version {'.'.join(map(str, version))}, got {len(data)} bytes; "
            f"expected at least {end}"
        )
    return Header(*version, int.from_bytes(data[VERSION_STRUCT.size : end], "little"), width)
