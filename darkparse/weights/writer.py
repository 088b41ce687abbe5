"""Writing `.weights` files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from darkparse._utils.files import atomic_write
from darkparse.errors import WeightsError
from darkparse.layers import TensorSpec
from darkparse.weights.buffer import Arrays, Floats
from darkparse.weights.header import Header
from darkparse.weights.layout import Entry, is_stored_transposed


def prepare_array(array: Floats, tensor: TensorSpec, *, transposed: bool) -> Floats:
    """Convert a module's tensor to the layout of the file, in C order."""
    rows = array[: tensor.rows]
    if is_stored_transposed(tensor, transposed=transposed):
        return np.ascontiguousarray(rows.reshape(rows.shape[0], -1).T)
    return np.ascontiguousarray(rows)


def write_weights(
    path: str | os.PathLike[str], header: Header, entries: tuple[Entry, ...], arrays: Arrays, *, widen: bool = False
) -> int:
    """Write a `.weights` file, completely or not at all.

    Args:
        path: File to write; an existing file is only replaced when the new one is complete.
        header: Header of the file.
        entries: Layout of the file.
        arrays: Arrays of all entries, in the shapes of the modules.
        widen: Convert other dtypes to float32.

    Returns:
        The number of bytes.

    Raises:
        WeightsError: An array is not float32, the file cannot be written, or a number of the header is out of range.
    """
    for name, dtype in ((entry.name, arrays[entry.name].dtype) for entry in entries):
        if dtype != "float32" and not widen:
            raise WeightsError(
                f"a .weights file stores float32, got {dtype} for {name}\n"
                "hint: pass widen=True to convert, or save model.float()"
            )
    try:
        head = header.pack()
    except ValueError as problem:
        raise WeightsError(f"{path}: {problem}") from None
    with replace_file(path) as file:
        size = file.write(head)
        for entry in entries:
            array = prepare_array(arrays[entry.name].read(), entry.tensor, transposed=header.is_transposed)
            # tofile() would report a full disk without the reason.
            size += file.write(array.data.cast("B"))
    return size


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file that replaces the target when it is complete and on disk; see `atomic_write`.

    Raises:
        WeightsError: The file cannot be written.
    """
    try:
        with atomic_write(path, synced=True) as part, part.open("wb") as file:
            yield file
    except OSError as problem:
        raise WeightsError(f"{path}: {problem.strerror or problem}") from None
