"""Integrity check of a written ONNX file without running it."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from darkparse.errors import DarkparseError
from darkparse.onnx.elements import ELEMENTS
from darkparse.onnx.protobuf import iter_fields

ELEMENT_SIZES = {element.number: element.size for element in ELEMENTS.values()}


def check_structure(path: Path, external_sizes: Mapping[str, int] = MappingProxyType({})) -> None:
    """Check that every value is defined before it is used and that every tensor is complete.

    Args:
        path: ONNX file.
        external_sizes: Size in bytes of each file with weights that it refers to, by its name in the ONNX file.

    Raises:
        DarkparseError: The file is damaged.
    """
    try:
        (graph,) = _get_blocks(_map_file(path), 7)
        _check_graph(graph, set(), external_sizes)
    except ValueError as problem:
        raise DarkparseError(f"the written ONNX file is invalid: {problem}; it was deleted") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file, which any program may have written; empty if the file is damaged."""
    try:
        entries = _get_blocks(_map_file(path), 14)
        return {"".join(_get_names(entry, 1)): "".join(_get_names(entry, 2)) for entry in entries}
    except ValueError:
        return {}


def _map_file(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _get_blocks(message: memoryview, number: int) -> list[memoryview]:
    return [
        value
        for field_number, value in iter_fields(message)
        if field_number == number and isinstance(value, memoryview)
    ]


def _get_names(message: memoryview, number: int) -> list[str]:
    return [str(value, "utf-8") for value in _get_blocks(message, number)]


def _check_graph(graph: memoryview, defined: set[str], external_sizes: Mapping[str, int]) -> None:
    """Check one graph.

    Args:
        graph: Encoded GraphProto.
        defined: Names of values that the enclosing graph defines.
        external_sizes: See `check_structure`.

    Raises:
        ValueError: The graph is invalid.
    """
    defined = set(defined)
    for tensor in _get_blocks(graph, 5):
        _check_tensor(tensor, external_sizes)
        _define(defined, _get_names(tensor, 8))
    for port in _get_blocks(graph, 11):
        _define(defined, _get_names(port, 1))
    for operator in _get_blocks(graph, 1):
        missing = [name for name in _get_names(operator, 1) if name and name not in defined]
        if missing:
            raise ValueError(f"{_get_names(operator, 3)[0]} reads {missing[0]}, which no earlier node produces")
        for attribute in _get_blocks(operator, 5):
            for body in _get_blocks(attribute, 6):
                _check_graph(body, defined, external_sizes)
        _define(defined, _get_names(operator, 2))
    for port in _get_blocks(graph, 12):
        if _get_names(port, 1)[0] not in defined:
            raise ValueError(f"no node produces the output {_get_names(port, 1)[0]}")


def _define(defined: set[str], names: Iterable[str]) -> None:
    for name in names:
        if name in defined:
            raise ValueError(f"{name} is produced twice")
        defined.add(name)


def _check_tensor(tensor: memoryview, external_sizes: Mapping[str, int]) -> None:
    field_values: dict[int, Any] = {}
    dims: list[int] = []
    for number, value in iter_fields(tensor):
        field_values[number] = value
        if isinstance(value, int) and number == 1:
            dims.append(value)
    location = dict(
        zip(
            ("location", "offset", "length"),
            (_get_names(entry, 2)[0] for entry in _get_blocks(tensor, 13)),
            strict=False,
        )
    )
    num_bytes = len(field_values[9]) if 9 in field_values else int(location["length"])
    if num_bytes != math.prod(dims) * ELEMENT_SIZES[field_values[2]]:
        raise ValueError(f"{str(field_values[8], 'utf-8')} has {num_bytes} bytes for {'×'.join(map(str, dims))} values")
    if location and int(location["offset"]) + num_bytes > external_sizes.get(location["location"], 0):
        raise ValueError(f"{str(field_values[8], 'utf-8')} exceeds the weights file")
