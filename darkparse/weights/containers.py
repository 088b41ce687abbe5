"""Reading and writing safetensors files, NumPy archives and PyTorch checkpoints, and reading Keras files.

Only PyTorch checkpoints require torch. The formats that darkparse writes store a module's state_dict and its origin, so
that the module can be rebuilt from the file: in the metadata of safetensors and of the state_dict, and in a text array.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import WeightsError
from darkparse.syntax.files import describe_error
from darkparse.weights.buffer import BITS, Arrays, FileBuffer, LazyArray
from darkparse.weights.checkpoints import read_checkpoint, write_checkpoint
from darkparse.weights.file_type import ARCHIVE_ERRORS, Container
from darkparse.weights.keras import read_keras
from darkparse.weights.origin import KEY_PREFIX, Metadata, Origin
from darkparse.weights.writer import replace_file

SUFFIXES: dict[str, Container] = {".safetensors": "safetensors", ".pt": "pt", ".pth": "pt", ".npz": "npz"}
"""Formats to write, by file extension. For reading, the content determines the format."""

MAX_AXES = 32
"""Maximum number of axes of an array in a safetensors file; numpy supports 64."""
MAX_DEFLATE_RATIO = 1032
"""Maximum compression ratio of deflate."""
_NPY_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, eq=False)
class ContainerContent:
    """Arrays of a container, in file order, and their origin."""

    arrays: Arrays
    origin: Origin | None
    """None for a file of another program."""


def get_container_kind(path: str | os.PathLike[str]) -> Container | None:
    """Return the container format for a file extension; None for a `.weights` file."""
    return SUFFIXES.get(Path(path).suffix.lower())


def read_container(blob: FileBuffer, kind: Container) -> ContainerContent:
    """Read a container of the given kind.

    Raises:
        WeightsError: The file is damaged, contains anything but tensors, or requires a package that is not installed.
    """
    try:
        arrays, metadata = _READERS[kind](blob)
        return ContainerContent(arrays, Origin.from_metadata(metadata))
    except (*ARCHIVE_ERRORS, AssertionError) as problem:  # torch raises AssertionError
        raise WeightsError(f"{blob.name}: invalid {kind} file: {describe_error(problem)}") from None


def write_container(path: str | os.PathLike[str], arrays: Arrays, origin: Origin) -> int:
    """Write arrays to the container that the file extension selects, completely or not at all.

    Returns:
        The number of bytes.

    Raises:
        WeightsError: The file cannot be written, the container does not support a dtype, or torch is not installed.
    """
    with replace_file(path) as file:
        _WRITERS[SUFFIXES[Path(path).suffix.lower()]](file, arrays, origin.to_metadata())
        return file.tell()


def read_npz(blob: FileBuffer) -> dict[str, np.ndarray[Any, Any]]:
    """Read the arrays of a NumPy archive by name.

    Raises:
        WeightsError: The file is damaged or contains Python objects.
    """
    try:
        blob.check_unpacked_size()
        with np.load(blob.open_stream(), allow_pickle=False) as arrays:
            _check_members(arrays.zip)
            return {name: np.asanyarray(arrays[name]) for name in arrays.files}
    except ARCHIVE_ERRORS as problem:
        raise WeightsError(f"{blob.name}: invalid npz file: {describe_error(problem)}") from None


def _check_members(archive: ZipFile) -> None:
    """Check that each member has the size that its header declares, before memory is allocated. Raises ValueError."""
    for member in archive.infolist():
        if member.file_size > MAX_DEFLATE_RATIO * max(member.compress_size, 1):
            raise ValueError(
                f"{quote_safe(member.filename)} unpacks to fewer than the {member.file_size:,} bytes that it declares"
            )
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            if version not in _NPY_HEADER_READERS:
                raise ValueError(f"unknown header version of {quote_safe(member.filename)}, got {version}")
            shape, _, dtype = _NPY_HEADER_READERS[version](file)
            expected, actual = dtype.itemsize * prod(shape), member.file_size - file.tell()
        if not dtype.hasobject and expected != actual:
            raise ValueError(
                f"wrong size of {quote_safe(member.filename)}, got {actual:,} bytes; expected {expected:,} from its "
                f"header"
            )


def _read_npz(blob: FileBuffer) -> tuple[Arrays, Metadata]:
    arrays = read_npz(blob)
    text = arrays.pop(KEY_PREFIX + "origin", None)
    # str() of NumPy text accepts code points beyond Unicode, which make Python fail later.
    metadata = (
        json.loads(text.astype(text.dtype.newbyteorder("<")).tobytes().decode("utf-32-le")) if text is not None else {}
    )
    native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
    return {
        name: LazyArray(array.shape, array.dtype.name, partial(np.asarray, array)) for name, array in native.items()
    }, metadata


def _write_npz(file: BinaryIO, arrays: Arrays, metadata: Metadata) -> None:
    unsupported = next(((name, array.dtype) for name, array in arrays.items() if array.dtype in BITS), None)
    if unsupported:
        raise WeightsError(
            f"NumPy does not support {unsupported[1]}, the dtype of {unsupported[0]}\n"
            "hint: save model.float() or a .safetensors file"
        )
    values: dict[str, Any] = {name: array.load() for name, array in arrays.items()}
    np.savez(file, **values | {KEY_PREFIX + "origin": np.array(json.dumps(metadata))})


def _read_safetensors(blob: FileBuffer) -> tuple[Arrays, Metadata]:
    """Read a safetensors file: 8 bytes for the header length, a JSON header, then the values."""
    start = 8 + int.from_bytes(blob.read_head(8), "little")
    header = json.loads(blob.data[8:start].tobytes())
    metadata = header.pop("__metadata__", {})
    entries = [(name, *_parse_entry(name, entry)) for name, entry in header.items()]
    arrays, end = {}, 0
    for name, dtype, shape, offsets in sorted(entries, key=lambda entry: entry[-1]):
        stored = np.dtype(BITS.get(dtype, dtype))
        begin, end = end, end + stored.itemsize * prod(shape)
        if offsets != (begin, end):
            raise ValueError(
                f"wrong offsets of {quote_safe(name)}, got {quote_safe(str(offsets))}; expected {(begin, end)}"
            )
        values = np.frombuffer(blob.data[start + begin : start + end], np.uint8)
        arrays[name] = LazyArray(shape, dtype, partial(_view, values, stored, shape))
    if start + end != blob.size:
        raise ValueError(f"wrong file size, got {blob.size:,} bytes; expected {start + end:,} from the header")
    return arrays, metadata


def _parse_entry(name: str, entry: object) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Return the dtype, shape and offsets of an array. Raises ValueError if its header entry is invalid."""
    match entry:
        case {"dtype": str(code), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            is_shape = len(shape) <= MAX_AXES and all(type(number) is int and number >= 0 for number in shape)
            if code in SAFETENSORS_DTYPES and is_shape:
                return SAFETENSORS_DTYPES[code], tuple(shape), (begin, end)
    raise ValueError(f"invalid header entry or unknown dtype of {quote_safe(name)}, got {quote_safe(str(entry))}")


def _view(values: np.ndarray[Any, Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Reinterpret bytes as an array; unaligned bytes are copied."""
    return np.require(values.view(dtype).reshape(shape), requirements="A")


def _write_safetensors(file: BinaryIO, arrays: Arrays, metadata: Metadata) -> None:
    """Write one array after the other to save memory, those with the widest dtype first as the format requires."""
    codes = {dtype: code for code, dtype in SAFETENSORS_DTYPES.items()}
    sizes = {name: np.dtype(BITS.get(array.dtype, array.dtype)).itemsize for name, array in arrays.items()}
    names = sorted(arrays, key=lambda name: (-sizes[name], name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    end = 0
    for name in names:
        begin, end = end, end + sizes[name] * prod(arrays[name].shape)
        if arrays[name].dtype not in codes:
            raise WeightsError(f"a .safetensors file cannot store {arrays[name].dtype}, the dtype of {name}")
        header[name] = {
            "dtype": codes[arrays[name].dtype],
            "shape": arrays[name].shape,
            "data_offsets": (begin, end),
        }
    # A lone surrogate, from a name that is not UTF-8, becomes an escape, which JSON allows.
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        file.write(np.ascontiguousarray(arrays[name].load()).reshape(-1).view(np.uint8).data)


_READERS: Mapping[Container, Callable[[FileBuffer], tuple[Arrays, Metadata]]] = {
    "safetensors": _read_safetensors,
    "pt": read_checkpoint,
    "npz": _read_npz,
    "h5": read_keras,
}
_WRITERS: Mapping[Container, Callable[[BinaryIO, Arrays, Metadata], None]] = {
    "safetensors": _write_safetensors,
    "pt": write_checkpoint,
    "npz": _write_npz,
}
