"""Element types of ONNX tensors (onnx.proto, TensorProto.DataType) and the encoding of their values."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Literal, NamedTuple

DType = Literal["float32", "int64", "bool", "float16", "float64"]


class Element(NamedTuple):
    """Element type: its number in onnx.proto, format for `struct`, size in bytes, and largest finite value."""

    number: int
    format: str
    size: int
    largest: float = math.inf


ELEMENTS: dict[DType, Element] = {
    "float32": Element(1, "f", 4, float.fromhex("0x1.fffffep127")),
    "int64": Element(7, "q", 8),
    "bool": Element(9, "?", 1),
    "float16": Element(10, "e", 2, 65504.0),
    "float64": Element(11, "d", 8),
}


def encode_values(values: Iterable[float], dtype: DType) -> bytes:
    """Encode numbers, little-endian; those that are too large for the dtype become infinite."""
    element, numbers = ELEMENTS[dtype], list(values)
    layout = f"<{len(numbers)}{element.format}"
    try:
        return struct.pack(layout, *numbers)
    except OverflowError:
        in_range = (x if abs(x) <= element.largest else math.copysign(math.inf, x) for x in numbers)
        return struct.pack(layout, *in_range)
