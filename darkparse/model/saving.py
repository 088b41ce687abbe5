"""Save the weights of a module: as `.weights`, as Darknet writes it, or in other containers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from darkparse.errors import NoWeightsError, WeightsError
from darkparse.layers import TensorSpec
from darkparse.model.darknet import Darknet, unwrap_model
from darkparse.network import Node
from darkparse.weights import Entry, Header, LazyArray, compute_layout, write_weights
from darkparse.weights.containers import get_container_kind, write_container
from darkparse.weights.header import Version
from darkparse.weights.layout import get_tensors, state_key
from darkparse.weights.origin import Origin


def save_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    upto: int | None = None,
    seen: int | None = None,
    version: Version | str | None = None,
    header: Header | None = None,
    widen: bool = False,
) -> int:
    """Write a module's weights as a `.weights` file.

    The file is written beside `path` and then renamed. Loaded weights are written again bit for bit, with the same
    header, version, `seen` and order.

    Args:
        model: A Darknet module, possibly compiled or wrapped for parallel use.
        path: The file to write; an existing file is replaced when the new one is complete.
        upto: Write only the layers before this one: a backbone, as from `darknet partial`.
        seen: Number of images seen in training; by default the number in the header.
        version: Header version, `"0.2.5"` or three numbers; above 1000 the matrices of connected layers are transposed.
        header: Header to write instead of the loaded one.
        widen: Convert a module in half precision to float32, and write an identity batch norm where it was folded into
            the convolution before it.

    Returns:
        The number of bytes written.

    Raises:
        NoWeightsError: The module has no values yet.
        WeightsError: The module has another dtype or is folded and `widen` is not set, a value is invalid, or the file
            cannot be written.

    >>> model = darkparse.load("yolov3-tiny", "tiny.weights")
    >>> darkparse.save_weights(model, "again.weights")
    35434956
    """
    model = unwrap_model(model)
    target = Path(path)
    if get_container_kind(target) is not None:
        raise WeightsError(
            f"{target}: misleading extension {target.suffix} for a .weights file\nhint: write {target.suffix} files "
            "with darkparse.save()"
        )
    entries = compute_layout(model.network, upto)
    arrays = {
        name: LazyArray.from_tensor(tensor) for name, tensor in _collect_tensors(model, entries, widen=widen).items()
    }
    return write_weights(target, _make_header(model, seen, version, header), entries, arrays, widen=widen)


def save(model: nn.Module, path: str | os.PathLike[str], *, upto: int | None = None) -> int:
    """Write a module's weights in the container that the file extension selects.

    `.safetensors`, `.pt` and `.npz` contain the state_dict in its dtype, the cfg, the dialect and the header, so that
    `darkparse.load(path)` rebuilds the module. Any other extension selects a `.weights` file.

    Args:
        model: A Darknet module, possibly compiled or wrapped for parallel use.
        path: The file to write; an existing file is replaced when the new one is complete.
        upto: Write only the layers before this one.

    Returns:
        The number of bytes written.

    Raises:
        NoWeightsError: The module has no values yet.
        WeightsError: The module was changed after it was built, or the file cannot be written.

    >>> model = darkparse.load("yolov3-tiny", "tiny.weights")
    >>> darkparse.save(model, "tiny.npz") // 1_000_000
    35
    """
    if get_container_kind(path) is None:
        return save_weights(model, path, upto=upto)
    model = unwrap_model(model)
    compute_layout(model.network, upto)  # raises for an invalid `upto`
    state = model.state_dict()
    all_tensors = {key: _get_tensor(state, *owner) for key, owner in get_tensors(model.network, upto).items()}
    tensors = _detach_storage({key: all_tensors[key] for key in state if key in all_tensors})
    arrays = {key: LazyArray.from_tensor(tensor) for key, tensor in tensors.items()}
    return write_container(path, arrays, Origin.from_network(model.network, model.header))


def _make_header(model: Darknet, seen: int | None, version: Version | str | None, header: Header | None) -> Header:
    dialect = model.network.dialect
    base = header or model.header or Header.from_version(dialect.version, dialect)
    try:
        return base.with_changes(dialect, seen, version)
    except ValueError as problem:
        raise WeightsError(str(problem)) from None


def _collect_tensors(model: Darknet, entries: tuple[Entry, ...], *, widen: bool) -> Mapping[str, Tensor]:
    """Return the tensors to write, all checked before the first byte is written."""
    state = model.state_dict()
    tensors = {}
    for entry in entries:
        tensor = _make_unfolded(model, entry, state) if widen else None
        if tensor is None:
            tensor = _get_tensor(state, entry.node, entry.tensor)
        tensors[entry.name] = tensor
    return tensors


def _get_tensor(state: Mapping[str, Tensor], node: Node, spec: TensorSpec) -> Tensor:
    """Return a tensor of a module; raise unless it exists, has values and has the shape in the cfg."""
    name = state_key(node, spec)
    tensor = state.get(name)
    if tensor is None and _find_folded_bias(state, node, spec) is None:
        raise WeightsError(
            f"the module has no tensor {name}: its layers were changed after it was built, so it does not fit its cfg"
        )
    if tensor is None:
        message = "hint: save the module before folding, or call save_weights() with widen=True"
        raise WeightsError(f"the module has no tensor {name}: batch norm was folded into the layer\n{message}")
    if tensor.is_meta:
        raise NoWeightsError(f"{name} has no values yet; load or initialize the module before saving it")
    if tensor.shape != spec.shape:
        raise WeightsError(f"wrong shape of {name}, got {tuple(tensor.shape)}; expected {spec.shape} from the cfg")
    return tensor


def _find_folded_bias(state: Mapping[str, Tensor], node: Node, spec: TensorSpec) -> Tensor | None:
    """Return the bias that a batch norm tensor was folded into; None if it was not folded."""
    owner = spec.path.rpartition(".")[0]
    if not owner.endswith("norm") or state_key(node, spec) in state:
        return None
    return next(
        (state[k] for t in node.tensors if (k := f"layers.{node.index}.{t.path.rpartition('.')[0]}.bias") in state),
        None,
    )


def _make_unfolded(model: Darknet, entry: Entry, state: Mapping[str, Tensor]) -> Tensor | None:
    """Return the tensor of an identity batch norm for one that was folded; None if it was not folded."""
    bias, role = _find_folded_bias(state, entry.node, entry.tensor), entry.tensor.role
    if bias is None or role == "bias":
        return bias
    epsilon = model.network.dialect.batchnorm_epsilon
    variance = (1 - epsilon) ** 2 if model.network.dialect.epsilon_on_root else 1 - epsilon
    return torch.full(entry.tensor.shape, {"scale": 1.0, "mean": 0.0, "variance": variance}[role])


def _detach_storage(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return CPU tensors that each own their whole storage, since containers write whole storages or refuse them."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    users = Counter(value.untyped_storage().data_ptr() for value in tensors.values())
    return {key: value if _owns_storage(value, users) else value.clone() for key, value in tensors.items()}


def _owns_storage(tensor: Tensor, users: Counter[int]) -> bool:
    storage = tensor.untyped_storage()
    return users[storage.data_ptr()] == 1 and storage.nbytes() == tensor.nbytes
