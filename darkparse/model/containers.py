"""Tensors in other containers: safetensors, PyTorch checkpoints, NumPy archives.

All three hold a module's state_dict, and with it the cfg, the dialect and the header, so that one file rebuilds the
module: in safetensors' metadata, in the metadata of a state_dict, and in an array of text.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from darkparse.files import error_at_end
from darkparse.layers import REGISTRY
from darkparse.network import Network
from darkparse.syntax import Config, parse
from darkparse.syntax.reading import reason
from darkparse.syntax.source import Source, content
from darkparse.weights import Blob, Header, WeightsError, replacing
from darkparse.weights.archive import DAMAGED, check_unpacked, read_npz
from darkparse.weights.signature import Container

SUFFIXES: dict[str, Container] = {".safetensors": "safetensors", ".pt": "pt", ".pth": "pt", ".npz": "npz"}
"""File name endings and what they are written as. Files are read by what they hold."""


def container_of(path: str | os.PathLike[str]) -> Container | None:
    """The container that a file name's ending stands for, None for a `.weights` file."""
    return SUFFIXES.get(Path(path).suffix.lower())


PREFIX = "darkparse."
"""Of our keys in a container's metadata."""


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
    def of(cls, network: Network, header: Header | None) -> Origin:
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

    def config(self, container: Path) -> Config:
        """The cfg, under its old name; files that it names lie in the container's folder."""
        path = container.with_name(f"{self.name}.cfg")
        return parse(Source(f"{container} (cfg)", self.cfg, path, folders=(container.parent,)))

    def to_metadata(self) -> dict[str, str]:
        """As text by key."""
        values = asdict(self)
        return {
            PREFIX + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
            if value is not None
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Origin | None:
        """From text by key; None if another program wrote it. Raises ValueError if it is damaged."""
        if PREFIX + "cfg" not in metadata:
            return None
        try:
            if not all(isinstance(value, str) for value in metadata.values()):
                raise ValueError("a value in it is no text")
            name, header = metadata[PREFIX + "name"], metadata.get(PREFIX + "header")
            if Path(name).name != name:
                raise ValueError(f"{name!r} is no name of a cfg")
            return cls(
                name=name,
                cfg=metadata[PREFIX + "cfg"],
                dialect=metadata[PREFIX + "dialect"],
                height=int(metadata[PREFIX + "height"]),
                width=int(metadata[PREFIX + "width"]),
                reorg=metadata.get(PREFIX + "reorg"),
                header=Header(**json.loads(header)) if header else None,
            )
        except (KeyError, TypeError, ValueError, RecursionError) as problem:
            raise ValueError(f"its metadata is damaged: {content(reason(problem))}") from None


@dataclass(frozen=True, eq=False)
class State:
    """A container's tensors by name, in its order."""

    name: str
    """Of the file, for messages."""
    tensors: Mapping[str, Tensor]
    origin: Origin | None


def read_container(blob: Blob, kind: Container) -> State:
    """Read a container; tensors are mapped from the file where its bytes are.

    Raises:
        WeightsError: it is damaged, holds anything but tensors, or its reader is not installed.
    """
    try:
        tensors, metadata = _READERS[kind](blob)
        return State(blob.name, tensors, Origin.from_metadata(metadata))
    except ImportError:
        raise _not_installed(kind) from None
    except WeightsError:
        raise
    except _damaged() as problem:
        raise WeightsError(f"{blob.name}: this {kind} file cannot be read: {reason(problem)}") from None


def _damaged() -> tuple[type[Exception], ...]:
    """What the three libraries raise for a damaged file; weights_only keeps torch from raising anything of the file."""
    known = (*DAMAGED, UnpicklingError, AssertionError)
    try:
        from safetensors import SafetensorError
    except ImportError:
        return known
    return (*known, SafetensorError)


def write_container(path: str | Path, kind: Container, tensors: Mapping[str, Tensor], origin: Origin) -> int:
    """Write tensors to a container, whole or not at all; returns its size in bytes.

    Raises:
        WeightsError: the file cannot be written, the container has no such dtype, or its writer is not installed.
    """
    try:
        with replacing(path) as file:
            _WRITERS[kind](file, tensors, origin.to_metadata())
            return file.tell()
    except ImportError:
        raise _not_installed(kind) from None


def _not_installed(kind: Container) -> WeightsError:
    return WeightsError(f"{kind} files need a library: pip install 'darkparse[{kind}]'")


Read = tuple[Mapping[str, Tensor], Mapping[str, str]]


def _read_safetensors(blob: Blob) -> Read:
    from safetensors import safe_open
    from safetensors.torch import load

    if blob.path is not None and blob.is_mapped:
        with safe_open(blob.path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    data = blob.data.tobytes()
    tensors = load(data)  # it checks the header too
    metadata: dict[str, str] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    return tensors, metadata


def _write_safetensors(file: Any, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save

    file.write(save(dict(tensors), {"format": "pt", **metadata}))


def _read_pt(blob: Blob) -> Read:
    if blob.head(2) == b"PK":
        with ZipFile(blob.stream()) as archive:
            check_unpacked(archive, blob)
    mapped = blob.path if blob.is_mapped and blob.head(2) == b"PK" else None
    try:
        with warnings.catch_warnings():
            # About pickles that torch did not write; the error that follows says more.
            warnings.simplefilter("ignore", UserWarning)
            found = torch.load(
                mapped or blob.stream(), map_location="cpu", weights_only=True, mmap=True if mapped else None
            )
    except UnpicklingError:
        message = (
            "it holds Python objects other than tensors, which may run code when they are read; darkparse reads "
            "tensors only"
        )
        raise WeightsError(
            f"{blob.name}: {message}. Where you trust it, save model.state_dict() instead of the model"
        ) from None
    state = _state_dict_in(found)
    if state is None:
        raise WeightsError(f"{blob.name}: no state_dict in this checkpoint, which holds {_described(found)}")
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}, _metadata_of(state)


STATE_KEYS = ("state_dict", "model_state_dict", "model", "ema", "net", "weights")
"""Where training scripts put the state_dict in a checkpoint."""


def _metadata_of(state: object) -> Mapping[str, str]:
    """What `_write_pt` put beside the tensors, empty in the file of another program."""
    metadata = getattr(state, "_metadata", {})
    found = metadata.get(PREFIX + "origin", {}) if isinstance(metadata, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _state_dict_in(found: object) -> Mapping[str, Any] | None:
    if not isinstance(found, Mapping):
        return None
    if _metadata_of(found) or any(isinstance(value, Tensor) for value in found.values()):
        return found if all(isinstance(key, str) for key in found) else None
    inner = (_state_dict_in(found.get(key)) for key in STATE_KEYS)
    return next((state for state in inner if state is not None), None)


def _described(found: object) -> str:
    if isinstance(found, Mapping):
        return f"the keys {', '.join(map(str, list(found)[:8]))}" if found else "nothing"
    return f"a {type(found).__name__}"


def _write_pt(file: Any, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    state = OrderedDict(tensors)
    # Where modules keep their versions: load_state_dict() passes it over, and weights_only=True keeps it.
    state._metadata = OrderedDict({PREFIX + "origin": metadata})  # type: ignore[attr-defined]
    with error_at_end(file) as patient:
        torch.save(state, patient)


def _read_npz(blob: Blob) -> Read:
    arrays = read_npz(blob)
    metadata = arrays.pop(PREFIX + "origin", None)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return tensors, json.loads(str(metadata)) if metadata is not None else {}


def _write_npz(file: Any, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    odd = next((name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16), None)
    if odd:
        raise WeightsError(
            f"{odd} is in bfloat16, which NumPy does not know: save model.float(), or a .safetensors file"
        )
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    np.savez(file, **arrays, **{PREFIX + "origin": np.array(json.dumps(metadata))})  # type: ignore[arg-type]


_READERS = {"safetensors": _read_safetensors, "pt": _read_pt, "npz": _read_npz}
_WRITERS = {"safetensors": _write_safetensors, "pt": _write_pt, "npz": _write_npz}
