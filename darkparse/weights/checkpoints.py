"""PyTorch checkpoints as named arrays, both ways: the only kind of weights file that requires torch."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Any, BinaryIO

from darkparse._utils.files import deferred_errors
from darkparse.errors import WeightsError
from darkparse.weights.buffer import FileBuffer, LazyArray
from darkparse.weights.origin import KEY_PREFIX, Metadata

STATE_KEYS = ("state_dict", "model_state_dict", "model", "ema", "net", "weights")
"""Keys under which training scripts store the state_dict in a checkpoint."""

NUMPY_GLOBALS = tuple(
    f"numpy.{name}"
    for name in (
        "ndarray",
        "dtype",
        *(f"{core}.multiarray.{function}" for core in ("core", "_core") for function in ("_reconstruct", "scalar")),
        *(f"{core}.numeric._frombuffer" for core in ("core", "_core")),
    )
)
"""Functions and classes that numpy 1 and 2 reference in a pickle of arrays and scalars."""


class IgnoredValue:
    """Placeholder for a numpy value beside the tensors, such as the best fitness. No code of numpy is run."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_checkpoint(blob: FileBuffer) -> tuple[dict[str, LazyArray], Metadata]:
    """Read the tensors and the metadata of a checkpoint; torch maps the file into memory.

    Raises:
        WeightsError: The checkpoint contains anything but dense tensors, or torch is not installed.
    """
    torch = _import_torch()
    is_archive = blob.read_head(2) == b"PK"
    if is_archive:
        blob.check_unpacked_size()
    mapped_path = blob.path if blob.is_mapped and is_archive else None
    try:
        ignored = [(IgnoredValue, name) for name in NUMPY_GLOBALS]
        with warnings.catch_warnings(), torch.serialization.safe_globals(ignored):
            # torch warns about pickles that it did not write; the errors below are more specific.
            warnings.simplefilter("ignore", UserWarning)
            checkpoint = torch.load(
                mapped_path or blob.open_stream(),
                map_location="cpu",
                weights_only=True,
                mmap=True if mapped_path else None,
            )
    except UnpicklingError:
        message = "the checkpoint contains Python objects, which may run code when loaded; darkparse reads tensors only"
        raise WeightsError(
            f"{blob.name}: {message}\nhint: if you trust the file, load it with torch and save model.state_dict() "
            f"instead of the model"
        ) from None
    state = _find_state_dict(checkpoint)
    if state is None:
        raise WeightsError(f"{blob.name}: no state_dict in the checkpoint, got {_describe_checkpoint(checkpoint)}")
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    for key, value in tensors.items():
        if value.is_meta or value.layout is not torch.strided:
            kind = "on the meta device, without values" if value.is_meta else "sparse"
            raise WeightsError(f"{blob.name}: {key} is {kind}; save it as a plain tensor")
    return {key: LazyArray.from_tensor(value) for key, value in tensors.items()}, _get_metadata(state)


def write_checkpoint(file: BinaryIO, arrays: Mapping[str, LazyArray], metadata: Metadata) -> None:
    """Write arrays and metadata as a state_dict."""
    torch = _import_torch()
    state = OrderedDict((name, array.to_tensor()) for name, array in arrays.items())
    # Modules store their versions here: load_state_dict() ignores other keys, and weights_only=True loads them.
    state._metadata = OrderedDict({KEY_PREFIX + "origin": dict(metadata)})  # type: ignore[attr-defined]
    with deferred_errors(file) as writer:
        torch.save(state, writer)


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise WeightsError("reading a PyTorch checkpoint (.pt) requires torch\nhint: pip install torch") from None
    return torch


def _get_metadata(state: object) -> Mapping[str, str]:
    """Return the metadata that `write_checkpoint` stored; empty for a file of another program."""
    metadata = getattr(state, "_metadata", {})
    own = metadata.get(KEY_PREFIX + "origin", {}) if isinstance(metadata, Mapping) else {}
    return own if isinstance(own, Mapping) else {}


def _find_state_dict(checkpoint: object) -> Mapping[str, Any] | None:
    if not isinstance(checkpoint, Mapping):
        return None
    if _get_metadata(checkpoint) or any(hasattr(value, "is_meta") for value in checkpoint.values()):
        return checkpoint if all(isinstance(key, str) for key in checkpoint) else None
    inner = (_find_state_dict(checkpoint.get(key)) for key in STATE_KEYS)
    return next((state for state in inner if state is not None), None)


def _describe_checkpoint(checkpoint: object) -> str:
    if isinstance(checkpoint, Mapping):
        return f"the keys {', '.join(map(str, list(checkpoint)[:8]))}" if checkpoint else "nothing"
    return f"a {type(checkpoint).__name__}"
