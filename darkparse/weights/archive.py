"""Zip archives of arrays (`.npz`, `.pt`): nothing is unpacked that is out of all proportion to the file."""

from __future__ import annotations

import struct
import zlib
from lzma import LZMAError
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from darkparse.errors import WeightsError
from darkparse.syntax.files import describe_error
from darkparse.weights.buffer import FileBuffer

ARCHIVE_ERRORS = (
    *(BadZipFile, zlib.error, LZMAError, struct.error, OSError, EOFError),  # the archive and what is packed in it
    *(NotImplementedError, RuntimeError),  # a way of packing that Python has not, a password
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError),  # headers that make no sense
    *(SyntaxError, TokenError),  # NumPy's headers are Python literals
)
"""What zipfile and NumPy raise for archives that are damaged, or made to harm."""

MIN_UNPACKED_LIMIT = 64 << 20
"""Bytes that any archive may unpack to."""
MAX_EXPANSION = 100
"""So many times its size a larger one may; weights in deflate take nine tenths of it."""


def check_unpacked_size(archive: ZipFile, blob: FileBuffer) -> None:
    """Raises WeightsError if an archive says that it unpacks to far more than it is."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(MIN_UNPACKED_LIMIT, MAX_EXPANSION * blob.size):
        raise WeightsError(
            f"{blob.name}: {blob.size:,} bytes that unpack to {unpacked:,}, more than {MAX_EXPANSION} times as many: "
            "not read"
        )


def read_npz(blob: FileBuffer) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive by name.

    Raises:
        WeightsError: it is damaged, or holds anything but arrays of plain values.
    """
    try:
        with ZipFile(blob.open_stream()) as archive:
            check_unpacked_size(archive, blob)
        with np.load(blob.open_stream(), allow_pickle=False) as arrays:
            return {name: np.asanyarray(arrays[name]) for name in arrays.files}
    except ARCHIVE_ERRORS as problem:
        raise WeightsError(f"{blob.name}: this npz file cannot be read: {describe_error(problem)}") from None
