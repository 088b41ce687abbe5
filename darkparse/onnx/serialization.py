"""Streamed serialization of a graph with its weights to an ONNX file, and to an external data file if necessary."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkparse._utils.files import atomic_write
from darkparse._version import __version__
from darkparse.onnx.graph import Graph, Initializer
from darkparse.onnx.protobuf import encode_block, encode_int, encode_opening, encode_text

IR_VERSION = 8
"""IR version of the format, which is that of opset 18."""
MAX_INLINE_SIZE = 2**31 - 2**24
"""Maximum size of weights in the ONNX file in bytes; larger weights are written to an external data file."""
MIN_EXTERNAL_SIZE = 1024
"""Minimum size in bytes of a tensor to store in the external data file."""
ALIGNMENT = 4096
"""Alignment of tensors in the external data file in bytes, so that they can be memory-mapped."""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """Graph with opset and metadata."""

    graph: Graph
    opset: int
    metadata: Mapping[str, str]
    weights_name: str | None = None
    """Name of the `.weights` file that initializers with an offset refer to; None to copy them."""

    @property
    def nbytes(self) -> int:
        """Size in bytes of all weights to copy."""
        return sum(item.nbytes for item in self.graph.initializers.values() if not self._is_referenced(item))

    def _is_referenced(self, item: Initializer) -> bool:
        return self.weights_name is not None and item.offset is not None

    def iter_file_chunks(self, data_name: str | None = None) -> Iterator[Any]:
        """Yield the bytes of the file in order.

        Args:
            data_name: Name of the external data file that stores the large tensors; None to store all tensors inline.
        """
        start = 0
        tensors: list[tuple[bytes, Initializer | None]] = []
        for item in self.graph.initializers.values():
            if self.weights_name is not None and item.offset is not None:
                tensors.append((_encode_reference(item, self.weights_name, item.offset), None))
            elif data_name is None or item.nbytes < MIN_EXTERNAL_SIZE:
                tensors.append((item.encode_header() + encode_opening(9, item.nbytes), item))
            else:
                tensors.append((_encode_reference(item, data_name, start), None))
                start += _align(item.nbytes)
        graph = self.graph.encode()
        sizes = [len(head) + (item.nbytes if item else 0) for head, item in tensors]
        length = len(graph) + sum(len(encode_opening(5, size)) + size for size in sizes)
        yield encode_int(1, IR_VERSION) + encode_text(2, "darkparse") + encode_text(3, __version__)
        yield encode_block(8, encode_text(1, ""), encode_int(2, self.opset))
        yield b"".join(
            encode_block(14, encode_text(1, f"darkparse.{key}"), encode_text(2, value))
            for key, value in self.metadata.items()
        )
        yield encode_opening(7, length) + graph
        for size, (head, initializer) in zip(sizes, tensors, strict=True):
            yield encode_opening(5, size) + head
            if initializer is not None:
                yield from initializer.iter_chunks()

    def iter_data_chunks(self) -> Iterator[Any]:
        """Yield the bytes of the external data file."""
        for item in self.graph.initializers.values():
            if item.nbytes >= MIN_EXTERNAL_SIZE and not self._is_referenced(item):
                yield from item.iter_chunks()
                yield bytes(_align(item.nbytes) - item.nbytes)


def _align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _encode_reference(item: Initializer, file_name: str, offset: int) -> bytes:
    """Encode the TensorProto of an initializer whose values are in another file of the same directory."""
    location = {"location": file_name, "offset": str(offset), "length": str(item.nbytes)}
    entries = (encode_block(13, encode_text(1, key), encode_text(2, value)) for key, value in location.items())
    return item.encode_header() + b"".join(entries) + encode_int(14, 1)


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """File that is written but not yet renamed to its final path."""

    path: Path
    data: Path | None
    """Path of the external data file; None if there is none."""
    data_name: str
    """Final name of the external data file."""
    model: OnnxModel

    @property
    def external_sizes(self) -> dict[str, int]:
        """Size in bytes of each file with weights that the file refers to, by its name in the file."""
        sizes = {} if self.data is None else {self.data_name: self.data.stat().st_size}
        if (name := self.model.weights_name) is not None:
            sizes[name] = self.path.with_name(name).stat().st_size
        return sizes

    def read_bytes(self) -> bytes:
        """Return the bytes of the file, with a reference to the current name of the external data file."""
        return self.path.read_bytes() if self.data is None else b"".join(self.model.iter_file_chunks(self.data.name))


@contextmanager
def write_onnx(model: OnnxModel, path: str | os.PathLike[str]) -> Iterator[OnnxFile]:
    """Write a model to a temporary file, which is renamed to `path` at the end of the block.

    If the block raises an exception, `path` is unchanged.
    """
    target = Path(path).resolve()
    data_name = f"{target.name}.data"
    with atomic_write(path) as partial:
        if model.nbytes < MAX_INLINE_SIZE:
            _write_chunks(partial, model.iter_file_chunks())
            yield OnnxFile(partial, None, data_name, model)
            return
        with atomic_write(target.with_name(data_name)) as data:
            _write_chunks(data, model.iter_data_chunks())
            _write_chunks(partial, model.iter_file_chunks(data_name))
            yield OnnxFile(partial, data, data_name, model)


def _write_chunks(path: Path, chunks: Iterator[Any]) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)
