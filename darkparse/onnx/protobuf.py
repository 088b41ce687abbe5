"""Encoder and parser for the subset of Protocol Buffers that ONNX files use.

A message is a sequence of fields. A field consists of a tag (field number and wire type) and a value: an integer with 7
bits per byte, four bytes of a float, or a length and that number of bytes, which may be an embedded message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BLOCK, FIXED32 = 0, 1, 2, 5


def encode_varint(value: int) -> bytes:
    """Encode an integer with seven bits per byte, lowest bits first; negative numbers are encoded as 64 bits."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def encode_int(number: int, value: int) -> bytes:
    """Encode an integer field."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def encode_float(number: int, value: float) -> bytes:
    """Encode a float32 field."""
    return encode_varint(number << 3 | FIXED32) + struct.pack("<f", value)


def encode_opening(number: int, length: int) -> bytes:
    """Encode the tag and length of a length-delimited field."""
    return encode_varint(number << 3 | BLOCK) + encode_varint(length)


def encode_block(number: int, *parts: bytes) -> bytes:
    """Encode a length-delimited field from the concatenated parts."""
    data = b"".join(parts)
    return encode_opening(number, len(data)) + data


def encode_text(number: int, value: str) -> bytes:
    """Encode a string field."""
    return encode_block(number, value.encode())


def iter_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field of a message; values other than integers are views.

    Raises:
        ValueError: The message is truncated or contains an unknown wire type.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        length = {FIXED64: 8, FIXED32: 4}.get(tag & 7)
        if tag & 7 == VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        if length is None:
            length, at = _read_varint(data, at)
        if at + length > len(data) or tag & 7 not in (FIXED64, BLOCK, FIXED32):
            raise ValueError(f"field {tag >> 3} exceeds its message")
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("unterminated integer")
