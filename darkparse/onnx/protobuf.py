"""Protocol buffers as far as an ONNX file needs them: fields to bytes, and bytes to fields.

A message is its fields one after the other. A field is a tag (number and kind of value) and a value: an integer of 7
bits a byte, four bytes of a float, or a length and so many bytes, which may be a message again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BLOCK, FIXED32 = 0, 1, 2, 5


def encode_varint(value: int) -> bytes:
    """An integer, seven bits a byte, the lowest first; a negative one as if it had 64 bits."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def encode_int(number: int, value: int) -> bytes:
    """An integer field."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def encode_float(number: int, value: float) -> bytes:
    """A float32 field."""
    return encode_varint(number << 3 | FIXED32) + struct.pack("<f", value)


def encode_opening(number: int, length: int) -> bytes:
    """What stands before a field of so many bytes."""
    return encode_varint(number << 3 | BLOCK) + encode_varint(length)


def encode_block(number: int, *parts: bytes) -> bytes:
    """A message field."""
    data = b"".join(parts)
    return encode_opening(number, len(data)) + data


def encode_text(number: int, value: str) -> bytes:
    """A text field."""
    return encode_block(number, value.encode())


def iter_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message, blocks as views. Raises ValueError if it ends within one."""
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
            raise ValueError(f"field {tag >> 3} reaches beyond its message")
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number has no end")
