"""ONNX graphs whose weights stay in a `.weights` file: the reference to the file, and the check that it is unchanged.

A `.weights` file stores float32 arrays one after the other, convolution weights in the order (out, in, height, width),
so an ONNX initializer with external data can refer to them. This module does not require numpy.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from darkparse.errors import DarkparseError, WeightsError
from darkparse.network import Network
from darkparse.onnx.validate import read_metadata
from darkparse.syntax.files import describe_error
from darkparse.weights.buffer import FileBuffer
from darkparse.weights.header import VERSION_STRUCT, Header, read_version
from darkparse.weights.layout import compute_layout

T = TypeVar("T")

METADATA_KEY = "weights"
"""Key of the reference in the metadata of an ONNX file, without the prefix `darkparse.`."""


@dataclass(frozen=True, slots=True)
class WeightsReference:
    """The `.weights` file that a graph refers to, in the same directory."""

    file: str
    """Name of the file."""
    bytes: int
    """Size of the file."""
    header_bytes: int
    version: str
    """Version in the header, such as 0.2.5."""
    layout: str
    """SHA-256 of the name, shape and position of all arrays."""

    @classmethod
    def from_file(cls, network: Network, file: FileBuffer, header: Header | None) -> WeightsReference:
        """Describe an open file.

        Raises:
            DarkparseError: It is not a `.weights` file, or it has no path.
        """
        if file.file_type is not None or header is None:
            kind = file.file_type.title if file.file_type else "a file without a header"
            raise DarkparseError(f"{file.name}: expected a .weights file to refer to, got {kind}")
        if file.path is None or not file.path.is_file():
            raise DarkparseError(f"{file.name}: expected the path of a .weights file to refer to, got bytes or a pipe")
        name = Path(os.path.realpath(file.path)).name
        return cls(name, file.size, header.size, _format_version(header.version), _compute_digest(network))

    def to_metadata(self) -> dict[str, str]:
        """Return the entry for the metadata of the graph."""
        return {METADATA_KEY: json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> WeightsReference | None:
        """Return the reference in the metadata of an ONNX file; None if its weights were copied.

        Raises:
            DarkparseError: The entry is damaged.
        """
        text = metadata.get(f"darkparse.{METADATA_KEY}")
        if text is None:
            return None
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            raise DarkparseError("invalid entry darkparse.weights in the metadata of the ONNX file") from None

    def check(self, graph: Path) -> Path:
        """Return the path of the file that a graph refers to.

        Args:
            graph: The ONNX file.

        Raises:
            WeightsError: The file is missing, or its header or size differ from those that the graph was written for.
        """
        path = graph.resolve().with_name(self.file)
        hint = f"hint: write the graph again: darkparse convert CFG {self.file} -o {graph.name} --in-place"
        try:
            with path.open("rb") as file:
                version, size = read_version(file.read(VERSION_STRUCT.size)), os.fstat(file.fileno()).st_size
        except OSError as problem:
            raise WeightsError(f"{graph} refers to {path}: {describe_error(problem)}\n{hint}") from None
        actual = f"{size:,} bytes of version {_format_version(version) if version else 'unknown'}"
        expected = f"{self.bytes:,} bytes of version {self.version}"
        if actual != expected:
            raise WeightsError(
                f"{path} has changed since {graph.name} was written for it, got {actual}; expected {expected}\n{hint}"
            )
        return path


def follow_reference(weights: T) -> T | Path:
    """Return the `.weights` file that an in-place graph refers to; anything but the path of such a graph unchanged.

    Raises:
        WeightsError: The file is missing, or its header or size differ from those that the graph was written for.
    """
    if not isinstance(weights, str | os.PathLike):
        return weights
    path = Path(weights)
    if path.suffix.lower() != ".onnx" or not path.is_file():
        return weights
    reference = WeightsReference.from_metadata(read_metadata(path))
    return weights if reference is None else reference.check(path)


def check_directory(graph: Path, weights: Path) -> None:
    """Check that a graph is written beside its weights, because runtimes do not open files outside its directory.

    Raises:
        DarkparseError: The directories differ, or the graph would replace the weights.
    """
    weights, graph = Path(os.path.realpath(weights)), Path(os.path.realpath(graph))
    if graph == weights:
        raise DarkparseError(f"{graph} is the weights file; choose another name for the graph")
    if graph.parent != weights.parent:
        raise DarkparseError(
            f"graph and weights must be in the same directory, got {graph.parent} and {weights.parent}\n"
            f"hint: write the graph to {weights.parent / graph.name}"
        )


def _format_version(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


def _compute_digest(network: Network) -> str:
    rows = (f"{entry.name} {entry.shape} {entry.start}\n" for entry in compute_layout(network))
    return hashlib.sha256("".join(rows).encode()).hexdigest()
