"""The bytes of a `.weights` file to named arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkparse.layers import Dialect, TensorSpec
from darkparse.weights.buffer import FileBuffer
from darkparse.weights.header import Header, read_header
from darkparse.weights.layout import Entry

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """A `.weights` file: its header, and all floats behind it."""

    blob: FileBuffer
    header: Header
    floats: Floats
    """(n,), float32, file order; a view of the blob."""
    trailing_bytes: int
    """Bytes at the end that make no whole float."""

    def fits(self, num_floats: int, *, allow_longer: bool = False) -> bool:
        """Whether it holds so many floats and nothing else, or at least so many where a longer file will do."""
        return (
            self.floats.size >= num_floats
            if allow_longer
            else self.floats.size == num_floats and not self.trailing_bytes
        )

    def get_array(self, entry: Entry) -> Floats:
        """One tensor in its module's shape, (rows, …) of it if the file holds only some;
        a view wherever the order allows it."""
        return arrange(self.floats[entry.start : entry.end], entry.tensor, transposed=self.header.is_transposed)


def parse_weights(blob: FileBuffer, dialect: Dialect, header_size: int | None = None) -> WeightsFile:
    """Read bytes as a `.weights` file. Raises ValueError if they are too few for a header."""
    header = read_header(blob.read_head(20), dialect, header_size)
    count, trailing_bytes = divmod(blob.size - header.size, 4)
    floats = blob.data[header.size : header.size + 4 * count].view(np.float32)
    return WeightsFile(blob, header, floats, trailing_bytes)


def is_stored_transposed(tensor: TensorSpec, *, transposed: bool) -> bool:
    """Whether a file holds the matrix the other way round:
    `flipped`, or connected in a file of a version above 1000."""
    return tensor.transposed or (tensor.transposable and transposed)


def arrange(stored: Floats, tensor: TensorSpec, *, transposed: bool) -> Floats:
    """Stored floats in the module's shape."""
    rows = tensor.shape[0] if tensor.rows is None else tensor.rows
    if is_stored_transposed(tensor, transposed=transposed):
        return np.ascontiguousarray(stored.reshape(-1, rows).T).reshape(rows, *tensor.shape[1:])
    return stored.reshape(rows, *tensor.shape[1:])
