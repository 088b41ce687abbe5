"""ONNX files without producer and metadata."""

from __future__ import annotations

from collections.abc import Iterator

LEFT_OUT = (2, 3, 6, 14)
"""Fields of ModelProto: producer_name, producer_version, doc_string, metadata_props."""
VARINT, BLOCK = 0, 2
"""Protobuf wire types that ModelProto uses."""


def strip_metadata(data: bytes) -> Iterator[bytes]:
    """Yield the fields of an ONNX file (onnx.proto, ModelProto) without its producer and metadata."""
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind not in (VARINT, BLOCK):
            raise ValueError(f"field {number} of ModelProto has wire type {kind}; expected {VARINT} or {BLOCK}")
        value, at = _varint(data, at)
        if kind == BLOCK:
            at += value
        if number not in LEFT_OUT:
            yield data[start:at]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at
