"""A graph with its weights as an ONNX file, streamed; weights too large for it go to a file beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from darkparse._utils.files import atomic_write
from darkparse._version import __version__
from darkparse.network import Network
from darkparse.network.dynamic_axes import Heads
from darkparse.onnx.graph import Graph, Initializer
from darkparse.onnx.protobuf import block, integer, opening, text

IR_VERSION = 8
"""Of the format: that of opset 18."""
MAX_FILE = 2**31 - 2**24
"""Bytes of weights that one ONNX file can hold besides the graph; more go to a file beside it."""
MIN_OUTSIDE = 1024
"""Bytes of a tensor from which it goes to the file beside."""
ALIGNMENT = 4096
"""Tensors in the file beside begin at multiples of this, so that they can be mapped."""


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A graph and what is said of it."""

    graph: Graph
    opset: int
    facts: Mapping[str, str]

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(item.nbytes for item in self.graph.initializers.values())

    def pieces(self, beside: str | None = None) -> Iterator[Any]:
        """The bytes of the file in order; the large tensors are said to be in the file named `beside`."""
        start = 0
        tensors: list[tuple[bytes, Initializer | None]] = []
        for item in self.graph.initializers.values():
            if beside is None or item.nbytes < MIN_OUTSIDE:
                tensors.append((item.described() + opening(9, item.nbytes), item))
                continue
            place = {"location": beside, "offset": str(start), "length": str(item.nbytes)}
            entries = (block(13, text(1, key), text(2, value)) for key, value in place.items())
            tensors.append((item.described() + b"".join(entries) + integer(14, 1), None))
            start += _aligned(item.nbytes)
        graph = self.graph.encoded()
        sizes = [len(head) + (item.nbytes if item else 0) for head, item in tensors]
        length = len(graph) + sum(len(opening(5, size)) + size for size in sizes)
        yield integer(1, IR_VERSION) + text(2, "darkparse") + text(3, __version__)
        yield block(8, text(1, ""), integer(2, self.opset))
        yield b"".join(block(14, text(1, f"darkparse.{key}"), text(2, value)) for key, value in self.facts.items())
        yield opening(7, length) + graph
        for size, (head, held) in zip(sizes, tensors, strict=True):
            yield opening(5, size) + head
            if held is not None:
                yield from held.pieces()

    def beside(self) -> Iterator[Any]:
        """The bytes of the file beside."""
        for item in self.graph.initializers.values():
            if item.nbytes >= MIN_OUTSIDE:
                yield from item.pieces()
                yield bytes(_aligned(item.nbytes) - item.nbytes)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A file that is written but not yet in its place."""

    path: Path
    data: Path | None
    """The file beside it."""
    model: OnnxModel

    def content(self) -> bytes:
        """The file's bytes, which name the file beside as it is called now."""
        return self.path.read_bytes() if self.data is None else b"".join(self.model.pieces(self.data.name))


@contextmanager
def write_onnx(model: OnnxModel, path: str | os.PathLike[str]) -> Iterator[OnnxFile]:
    """Write a model; after the block it is at the path, or nothing is if the block raises."""
    target = Path(path).resolve()
    with atomic_write(path) as partial:
        if model.nbytes < MAX_FILE:
            _write(partial, model.pieces())
            yield OnnxFile(partial, None, model)
            return
        with atomic_write(f"{target}.data") as data:
            _write(data, model.beside())
            _write(partial, model.pieces(f"{target.name}.data"))
            yield OnnxFile(partial, data, model)


def _write(path: Path, pieces: Iterator[Any]) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)


def collect_metadata(network: Network, heads: Heads, *, threshold: float, nms: float) -> dict[str, str]:
    """What a program needs to use the file: the cfg itself, the dialect, classes, anchors, strides, output form."""
    layers = [network.nodes[i] for i in network.heads]
    facts = {
        "name": network.name,
        "cfg": str(network.config).encode("utf-8", "replace").decode(),
        "dialect": network.dialect.name,
        "heads": heads,
        "classes": str(max((getattr(node.layer, "classes", 0) for node in layers), default=0)),
        "anchors": json.dumps([[list(box) for box in getattr(node.layer, "boxes", ())] for node in layers]),
        "strides": json.dumps([_number(stride[0]) if (stride := network.strides[i]) else 0 for i in network.heads]),
    }
    return facts | ({"threshold": str(threshold), "nms": str(nms)} if heads == "nms" else {})


def _number(stride: Fraction) -> int | float:
    return stride.numerator if stride.denominator == 1 else float(stride)
