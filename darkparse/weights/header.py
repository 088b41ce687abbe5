"""Header of a `.weights` file."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from darkparse.layers import Dialect

VERSION_STRUCT = struct.Struct("<3i")
HEADER_SIZES = (VERSION_STRUCT.size + 4, VERSION_STRUCT.size + 8)
"""Sizes of a header with 4 or 8 bytes for `seen`."""

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """Version of the writer and number of images seen in training (parser.c load_weights_upto).

    The header has 16 or 20 bytes, little-endian.
    """

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0
    seen_bytes: int = 8
    """Size of `seen` in the file: 8 bytes since version 0.2, 4 before."""

    def __post_init__(self) -> None:
        if not all(isinstance(number, int) for number in (*self.version, self.seen)) or self.seen_bytes not in (4, 8):
            raise ValueError(f"invalid header, got {self!r}; expected integers, with seen_bytes 4 or 8")

    @property
    def version(self) -> Version:
        return self.major, self.minor, self.revision

    @property
    def size(self) -> int:
        """Size in bytes."""
        return VERSION_STRUCT.size + self.seen_bytes

    @property
    def is_transposed(self) -> bool:
        """Whether the weights of connected layers are stored (inputs, outputs)."""
        return self.major > 1000 or self.minor > 1000

    @classmethod
    def from_version(cls, version: Version, dialect: Dialect, seen: int = 0) -> Header:
        """Create a header for a version, with the size of `seen` that the dialect reads for it."""
        return cls(*version, seen, get_seen_width(version, dialect))

    def with_changes(self, dialect: Dialect, seen: int | None, version: Version | str | None) -> Header:
        """Return the header with another `seen` or version, where given. Raises ValueError for an invalid version."""
        header = self if version is None else Header.from_version(parse_version(version), dialect, self.seen)
        return header if seen is None else replace(header, seen=seen)

    def pack(self) -> bytes:
        """Convert to bytes. Raises ValueError if a number is out of range."""
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
    """Convert a version such as `0.2.5` or `0.2` to three numbers. Raises ValueError if it is invalid."""
    match version:
        case [int(major), int(minor), int(revision)]:
            return major, minor, revision
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?", version.strip()) if isinstance(version, str) else None
    if match is None:
        raise ValueError(f"invalid version {version!r}; expected e.g. 0.2.5")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def get_seen_width(version: Version, dialect: Dialect) -> int:
    """Return the size of `seen` in bytes; the forks disagree about versions from 1000 on."""
    major, minor, _ = version
    limit = dialect.seen_limit
    is_wide = major * 10 + minor >= 2 and (limit is None or max(major, minor) < limit)
    return 8 if is_wide else 4


def read_version(data: bytes) -> Version | None:
    """Read the version at the start of a file; None if the file is too short."""
    return VERSION_STRUCT.unpack_from(data) if len(data) >= VERSION_STRUCT.size else None


def read_header(data: bytes, dialect: Dialect, size: int | None = None) -> Header:
    """Read the header at the start of a file.

    Args:
        data: At least the first 20 bytes, or all bytes of a shorter file.
        dialect: Dialect that determines the size of `seen` if the forks disagree.
        size: 16 or 20 to read a header whose size does not match its version.

    Raises:
        ValueError: The file is too short, or `size` is invalid.
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
