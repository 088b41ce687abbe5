"""Whether an ONNX file is whole: read back without running it."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from darkparse.errors import DarkparseError
from darkparse.onnx.graph import ELEMENTS
from darkparse.onnx.protobuf import fields

SIZES = {number: dtype.itemsize for dtype, number in ELEMENTS.items()}


def check_structure(path: Path, data: Path | None = None) -> None:
    """Make sure that every value is made before it is used and every tensor has all its bytes.

    Args:
        path: the file.
        data: the file beside it that holds its weights, if there is one.

    Raises:
        DarkparseError: the file is damaged.
    """
    outside = data.stat().st_size if data is not None else 0
    try:
        with path.open("rb") as file:
            pages = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        (graph,) = _blocks(pages, 7)
        _check_graph(graph, set(), outside)
    except ValueError as problem:
        raise DarkparseError(f"the ONNX file is damaged: {problem}; it was not kept") from None


def _blocks(message: memoryview, number: int) -> list[memoryview]:
    return [value for found, value in fields(message) if found == number and isinstance(value, memoryview)]


def _names(message: memoryview, number: int) -> list[str]:
    return [str(value, "utf-8") for value in _blocks(message, number)]


def _check_graph(graph: memoryview, known: set[str], outside: int) -> None:
    """Values in `known` are those of the graph around this one."""
    known = set(known)
    for tensor in _blocks(graph, 5):
        _check_tensor(tensor, outside)
        _make(known, _names(tensor, 8))
    for port in _blocks(graph, 11):
        _make(known, _names(port, 1))
    for operator in _blocks(graph, 1):
        missing = [name for name in _names(operator, 1) if name and name not in known]
        if missing:
            raise ValueError(f"{_names(operator, 3)[0]} takes {missing[0]}, which nothing before it makes")
        for attribute in _blocks(operator, 5):
            for body in _blocks(attribute, 6):
                _check_graph(body, known, outside)
        _make(known, _names(operator, 2))
    for port in _blocks(graph, 12):
        if _names(port, 1)[0] not in known:
            raise ValueError(f"nothing makes the output {_names(port, 1)[0]}")


def _make(known: set[str], names: Iterable[str]) -> None:
    for name in names:
        if name in known:
            raise ValueError(f"{name} is made twice")
        known.add(name)


def _check_tensor(tensor: memoryview, outside: int) -> None:
    found: dict[int, Any] = {}
    dims: list[int] = []
    for number, value in fields(tensor):
        found[number] = value
        if isinstance(value, int) and number == 1:
            dims.append(value)
    place = dict(
        zip(("location", "offset", "length"), (_names(entry, 2)[0] for entry in _blocks(tensor, 13)), strict=False)
    )
    held = len(found[9]) if 9 in found else int(place["length"])
    if held != math.prod(dims) * SIZES[found[2]]:
        raise ValueError(f"{str(found[8], 'utf-8')} has {held} bytes for {'×'.join(map(str, dims))} values")
    if place and int(place["offset"]) + held > outside:
        raise ValueError(f"{str(found[8], 'utf-8')} reaches beyond the file of weights")
