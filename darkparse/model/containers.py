"""Tensors in safetensors files, PyTorch checkpoints and NumPy archives; see `darkparse.weights.containers`."""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor

from darkparse._utils.files import deferred_errors
from darkparse.errors import WeightsError
from darkparse.syntax.files import describe_error
from darkparse.weights import FileBuffer, replace_file
from darkparse.weights.archive import ARCHIVE_ERRORS, check_unpacked_size
from darkparse.weights.containers import KEY_PREFIX, Origin, missing_library_error, read_npz_arrays, write_npz
from darkparse.weights.file_type import Container


@dataclass(frozen=True, eq=False)
class State:
    """A container's tensors by name, in its order."""

    name: str
    """Of the file, for messages."""
    tensors: Mapping[str, Tensor]
    origin: Origin | None


def read_container(blob: FileBuffer, kind: Container) -> State:
    """Read a container; tensors are mapped from the file where its bytes are.

    Raises:
        WeightsError: it is damaged, holds anything but tensors, or its reader is not installed.
    """
    try:
        tensors, metadata = _READERS[kind](blob)
        return State(blob.name, tensors, Origin.from_metadata(metadata))
    except ImportError:
        raise missing_library_error(kind) from None
    except WeightsError:
        raise
    except _get_read_errors() as problem:
        raise WeightsError(f"{blob.name}: this {kind} file cannot be read: {describe_error(problem)}") from None


def _get_read_errors() -> tuple[type[Exception], ...]:
    """What the three libraries raise for a damaged file; weights_only keeps torch from raising anything of the file."""
    errors = (*ARCHIVE_ERRORS, UnpicklingError, AssertionError)
    try:
        from safetensors import SafetensorError
    except ImportError:
        return errors
    return (*errors, SafetensorError)


def write_container(path: str | Path, kind: Container, tensors: Mapping[str, Tensor], origin: Origin) -> int:
    """Write tensors to a container, whole or not at all; returns its size in bytes.

    Raises:
        WeightsError: the file cannot be written, the container has no such dtype, or its writer is not installed.
    """
    try:
        with replace_file(path) as file:
            _WRITERS[kind](file, tensors, origin.to_metadata())
            return file.tell()
    except ImportError:
        raise missing_library_error(kind) from None


ContainerContent = tuple[Mapping[str, Tensor], Mapping[str, str]]


def _read_safetensors(blob: FileBuffer) -> ContainerContent:
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


def _read_pt(blob: FileBuffer) -> ContainerContent:
    if blob.read_head(2) == b"PK":
        with ZipFile(blob.open_stream()) as archive:
            check_unpacked_size(archive, blob)
    mapped_path = blob.path if blob.is_mapped and blob.read_head(2) == b"PK" else None
    try:
        with warnings.catch_warnings():
            # About pickles that torch did not write; the error that follows says more.
            warnings.simplefilter("ignore", UserWarning)
            checkpoint = torch.load(
                mapped_path or blob.open_stream(),
                map_location="cpu",
                weights_only=True,
                mmap=True if mapped_path else None,
            )
    except UnpicklingError:
        message = (
            "it holds Python objects other than tensors, which may run code when they are read; darkparse reads "
            "tensors only"
        )
        raise WeightsError(
            f"{blob.name}: {message}. Where you trust it, save model.state_dict() instead of the model"
        ) from None
    state = _find_state_dict(checkpoint)
    if state is None:
        raise WeightsError(
            f"{blob.name}: no state_dict in this checkpoint, which holds {_describe_checkpoint(checkpoint)}"
        )
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}, _get_metadata(state)


STATE_KEYS = ("state_dict", "model_state_dict", "model", "ema", "net", "weights")
"""Where training scripts put the state_dict in a checkpoint."""


def _get_metadata(state: object) -> Mapping[str, str]:
    """What `_write_pt` put beside the tensors, empty in the file of another program."""
    metadata = getattr(state, "_metadata", {})
    metadata_found = metadata.get(KEY_PREFIX + "origin", {}) if isinstance(metadata, Mapping) else {}
    return metadata_found if isinstance(metadata_found, Mapping) else {}


def _find_state_dict(checkpoint: object) -> Mapping[str, Any] | None:
    if not isinstance(checkpoint, Mapping):
        return None
    if _get_metadata(checkpoint) or any(isinstance(value, Tensor) for value in checkpoint.values()):
        return checkpoint if all(isinstance(key, str) for key in checkpoint) else None
    inner = (_find_state_dict(checkpoint.get(key)) for key in STATE_KEYS)
    return next((state for state in inner if state is not None), None)


def _describe_checkpoint(checkpoint: object) -> str:
    if isinstance(checkpoint, Mapping):
        return f"the keys {', '.join(map(str, list(checkpoint)[:8]))}" if checkpoint else "nothing"
    return f"a {type(checkpoint).__name__}"


def _write_pt(file: Any, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    state = OrderedDict(tensors)
    # Where modules keep their versions: load_state_dict() passes it over, and weights_only=True keeps it.
    state._metadata = OrderedDict({KEY_PREFIX + "origin": metadata})  # type: ignore[attr-defined]
    with deferred_errors(file) as writer:
        torch.save(state, writer)


def _read_npz(blob: FileBuffer) -> ContainerContent:
    arrays, metadata = read_npz_arrays(blob)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata


def _write_npz(file: Any, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    unsupported = next((name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16), None)
    if unsupported:
        raise WeightsError(
            f"{unsupported} is in bfloat16, which NumPy does not know: save model.float(), or a .safetensors file"
        )
    write_npz(file, {name: tensor.numpy() for name, tensor in tensors.items()}, metadata)


_READERS = {"safetensors": _read_safetensors, "pt": _read_pt, "npz": _read_npz}
_WRITERS = {"safetensors": _write_safetensors, "pt": _write_pt, "npz": _write_npz}
