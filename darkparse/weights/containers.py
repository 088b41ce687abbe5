"""Safetensors files, PyTorch checkpoints, NumPy archives: what they know of their network, and what needs no torch.

All three hold a module's state_dict, and with it the cfg, the dialect and the header, so that one file rebuilds the
module: in safetensors' metadata, in the metadata of a state_dict, and in an array of text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.diagnostics.source import Source, quote_safe
from darkparse.errors import WeightsError
from darkparse.layers import REGISTRY
from darkparse.network import Network
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.syntax import Config, parse
from darkparse.syntax.files import describe_error, is_file
from darkparse.weights.archive import ARCHIVE_ERRORS, read_npz
from darkparse.weights.buffer import FileBuffer, open_source
from darkparse.weights.diagnosis.inspection import compile_with_weights
from darkparse.weights.file_type import Container, detect_file_type
from darkparse.weights.header import Header
from darkparse.weights.writer import replace_file

SUFFIXES: dict[str, Container] = {".safetensors": "safetensors", ".pt": "pt", ".pth": "pt", ".npz": "npz"}
"""File name endings and what they are written as. Files are read by what they hold."""

KEY_PREFIX = "darkparse."
"""Of our keys in a container's metadata."""

Metadata = Mapping[str, str]


def get_container_kind(path: str | os.PathLike[str]) -> Container | None:
    """The container that a file name's ending stands for, None for a `.weights` file."""
    return SUFFIXES.get(Path(path).suffix.lower())


def find_container(cfg: object) -> Path | None:
    """The container that a CFG argument names, if it names one rather than a cfg."""
    if not isinstance(cfg, str | os.PathLike) or not is_file(cfg):
        return None
    path = Path(cfg)
    if path.suffix == ".cfg":
        return None
    kind = detect_file_type(open_source(path))
    return path if kind is not None and kind.container is not None else None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a container knows of the network whose tensors it holds."""

    name: str
    cfg: str
    """Text of the cfg."""
    dialect: str
    height: int
    """Of the input in pixels; 0 for a network without an image."""
    width: int
    reorg: str | None
    header: Header | None
    """Of the `.weights` file that the tensors came from."""

    @classmethod
    def from_network(cls, network: Network, header: Header | None) -> Origin:
        """What is to be known of a network."""
        net = network.net
        height, width = (net.height, net.width) if net.has_image else (0, 0)
        read_as = (node.kind for node in network.nodes if REGISTRY[node.section.kind].kind != node.kind)
        text = network.config.source.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return cls(network.name, text, network.dialect.name, height, width, next(read_as, None), header)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the input."""
        return (self.height, self.width) if self.height else None

    def parse_cfg(self, container: Path) -> Config:
        """The cfg, under its old name; files that it names lie in the container's folder."""
        path = container.with_name(f"{self.name}.cfg")
        return parse(Source(f"{container} (cfg)", self.cfg, path, folders=(container.parent,)))

    def to_metadata(self) -> dict[str, str]:
        """As text by key."""
        values = asdict(self)
        return {
            KEY_PREFIX + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
            if value is not None
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Origin | None:
        """From text by key; None if another program wrote it. Raises ValueError if it is damaged."""
        if KEY_PREFIX + "cfg" not in metadata:
            return None
        try:
            if not all(isinstance(value, str) for value in metadata.values()):
                raise ValueError("a value in it is no text")
            name, header = metadata[KEY_PREFIX + "name"], metadata.get(KEY_PREFIX + "header")
            if Path(name).name != name:
                raise ValueError(f"{name!r} is no name of a cfg")
            return cls(
                name=name,
                cfg=metadata[KEY_PREFIX + "cfg"],
                dialect=metadata[KEY_PREFIX + "dialect"],
                height=int(metadata[KEY_PREFIX + "height"]),
                width=int(metadata[KEY_PREFIX + "width"]),
                reorg=metadata.get(KEY_PREFIX + "reorg"),
                header=Header(**json.loads(header)) if header else None,
            )
        except (KeyError, TypeError, ValueError, RecursionError) as problem:
            raise ValueError(f"its metadata is damaged: {quote_safe(describe_error(problem))}") from None


def resolve_network(
    cfg: CfgLike,
    path: Path | None,
    blob: FileBuffer,
    origin: Origin | None,
    options: CompileOptions,
) -> Network:
    """The network that weights are for.

    Args:
        cfg: what `compile` takes.
        path: the container that was named in its place, if one was.
        blob: the weights.
        origin: what they know of the network.
        options: how the cfg is compiled; the container's dialect, size and reading of `[reorg]` stand for those unset.

    Raises:
        CfgError: the cfg is wrong.
        WeightsError: the container is to say what its cfg is, and does not know.
    """
    if origin is not None and options.dialect in (None, "auto"):
        options = replace(options, dialect=origin.dialect)
    if path is None:
        return compile_with_weights(cfg, blob, options)
    if origin is None:
        raise WeightsError(
            f"{path} does not know its cfg, since darkparse did not write it; give both: darkparse.load(cfg, "
            f"{str(path)!r})"
        )
    options = replace(options, size=options.size or origin.size, reorg=options.reorg or origin.reorg)
    return compile_with_weights(origin.parse_cfg(path), blob, options)


def missing_library_error(kind: Container) -> WeightsError:
    """The error for a container whose library is missing."""
    return WeightsError(f"{kind} files need a library: pip install 'darkparse[{kind}]'")


def read_arrays(blob: FileBuffer, kind: Container) -> tuple[Mapping[str, NDArray[Any]], Origin | None] | None:
    """The arrays of a container by name, and where they come from; None if only torch reads it.

    Raises:
        WeightsError: it is damaged, or its reader is not installed.
    """
    try:
        contents = _READERS[kind](blob)
        return None if contents is None else (contents[0], Origin.from_metadata(contents[1]))
    except ImportError:
        raise missing_library_error(kind) from None
    except WeightsError:
        raise
    except ARCHIVE_ERRORS as problem:
        raise WeightsError(f"{blob.name}: this {kind} file cannot be read: {describe_error(problem)}") from None


def read_npz_arrays(blob: FileBuffer) -> tuple[dict[str, NDArray[Any]], Metadata]:
    """The arrays of a NumPy archive, and what it knows of them."""
    arrays = read_npz(blob)
    metadata = arrays.pop(KEY_PREFIX + "origin", None)
    if metadata is None:
        return arrays, {}
    # str() of NumPy's text takes code points beyond Unicode's, at which Python fails later.
    return arrays, json.loads(metadata.astype(metadata.dtype.newbyteorder("<")).tobytes().decode("utf-32-le"))


def _read_safetensors(blob: FileBuffer) -> tuple[dict[str, NDArray[Any]], Metadata] | None:
    """None for a file in memory, for a damaged one, which torch's reader has more to say of, and for bfloat16."""
    from safetensors import SafetensorError, safe_open

    if blob.path is None:
        return None
    try:
        with safe_open(blob.path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, TypeError):
        return None


def write_arrays(path: str | Path, kind: Container, arrays: Mapping[str, NDArray[Any]], origin: Origin) -> int:
    """Write arrays to a `.npz` or `.safetensors` file, whole or not at all; returns its size in bytes.

    Raises:
        WeightsError: the file cannot be written, or its writer is not installed.
    """
    try:
        with replace_file(path) as file:
            if kind == "npz":
                write_npz(file, arrays, origin.to_metadata())
            else:
                from safetensors.numpy import save

                file.write(save(dict(arrays), {"format": "pt", **origin.to_metadata()}))
            return file.tell()
    except ImportError:
        raise missing_library_error(kind) from None


def write_npz(file: Any, arrays: Mapping[str, NDArray[Any]], metadata: Metadata) -> None:
    """A NumPy archive."""
    np.savez(file, **arrays, **{KEY_PREFIX + "origin": np.array(json.dumps(metadata))})  # type: ignore[arg-type]


_READERS: Mapping[Container, Callable[[FileBuffer], tuple[dict[str, NDArray[Any]], Metadata] | None]] = {
    "npz": read_npz_arrays,
    "safetensors": _read_safetensors,
    "pt": lambda blob: None,
}
