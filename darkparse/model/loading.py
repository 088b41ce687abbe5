"""Build modules and load weights into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import torch
from torch import Tensor, nn

from darkparse._utils.memory import free_memory
from darkparse.errors import DarkparseError, WeightsError
from darkparse.model.darknet import Darknet, assign, check_dtype, initial_values, unwrap_model
from darkparse.model.optimize.half_precision import HALF_DTYPES
from darkparse.model.optimize.optimizer import make_optimized
from darkparse.network import Network, compile
from darkparse.network.compile_options import CfgLike, CompileOptions, Size
from darkparse.weights import LoadedArrays, ReadOptions, WeightsSource, read
from darkparse.weights.arrays import LoadResult, read_for

Device = str | torch.device | int | None
DEVICES = ("cpu", "cuda", "mps", "xpu")


def build(
    network: CfgLike,
    *,
    initialize: bool = False,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Darknet:
    """Build the module of a network.

    Args:
        network: A compiled Network, or anything that `compile` accepts.
        initialize: Initialize the parameters as Darknet does before training; otherwise they stay on the meta device,
            with shapes and without memory, until weights are loaded.
        device: Device of initialized parameters; by default the CPU.
        dtype: Dtype of initialized parameters; float32 by default.

    Returns:
        The module, in training mode if initialized, else in eval mode.

    Raises:
        CfgError: The cfg is invalid.
        DarkparseError: A tensor is larger than torch can address, the parameters to initialize need more than the free
            memory, or the dtype is not a floating point type.

    >>> model = darkparse.build("yolov3-tiny")
    >>> model.layers[0].conv.weight.device
    device(type='meta')
    """
    network = compile(network)
    check_dtype(dtype)
    _check_size(network, in_memory=initialize and torch.device(device or "cpu").type == "cpu")
    with torch.device("meta"):
        model = Darknet(network)
    if not initialize:
        return model.eval()
    assign(model, initial_values(network, model.state_dict(), device, dtype))
    return model.train()


def load(
    cfg: CfgLike,
    weights: WeightsSource | LoadedArrays | None = None,
    options: ReadOptions = ReadOptions(),
    *,
    dialect: str | None = None,
    size: Size | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
    compile_options: CompileOptions = CompileOptions(),
    optimize: bool = False,
) -> Darknet:
    """Compile a cfg, build its module and load its weights.

    Args:
        cfg: A path, the name of a cfg that ships with darkparse, the text of a cfg, a Config or a Network; or the path
            of a `.safetensors`, `.pt` or `.npz` file that darkparse wrote, which contains its cfg.
        weights: A `.weights`, `.safetensors`, `.pt` or `.npz` file, as a path, an open binary file or bytes; or the
            result of `darkparse.weights.read`, whose network is used and whose memory is shared. Without weights, the
            parameters are initialized as Darknet does before training.
        options: How the weights are read, and the device and dtype of the parameters.
        dialect: Overrides `compile_options.dialect`; None to detect it from the cfg, then from the weights' header.
        size: Overrides `compile_options.size`: n or (height, width), in pixels.
        device: Overrides `options.device`.
        dtype: Overrides `options.dtype`.
        compile_options: How the cfg is compiled.
        optimize: Optimize for inference (see `darkparse.optimize`), layer by layer from the mapped file.

    Returns:
        The module in eval mode; `model.loaded` lists the loaded layers.

    Raises:
        CfgError: The cfg is invalid.
        WeightsError: The weights cannot be read or do not fit; its `report` has the reason.
        DarkparseError: The device is not available on this machine.

    >>> model = darkparse.load("yolov3-tiny", "tiny.weights", darkparse.ReadOptions(upto=10))
    >>> print(model.loaded)
    tiny.weights: loaded layers 0, 2, 4, 6, 8; unchanged: layers 10, 12–15, 18, 21–22
    """
    options = options.override(device=device, dtype=dtype)
    compile_options = compile_options.override(size=size, dialect=dialect)
    check_device(options.device)
    # `make_optimized` reduces each layer to half precision itself, after folding, and not all of them.
    is_reduced = optimize and options.dtype in HALF_DTYPES
    parameter_options = options.override(dtype=torch.float32 if is_reduced else None)
    loaded = read(cfg, weights, options, compile_options)
    if loaded is None:
        network = compile(cfg, compile_options)
        model = build(network, initialize=True, device=options.device, dtype=parameter_options.dtype).eval()
    else:
        model = build(loaded.network)
        _assign_arrays(model, loaded, parameter_options)
    if not optimize:
        return model
    if loaded is None:
        return make_optimized(model, dtype=options.dtype)
    return make_optimized(model, dtype=options.dtype, after_each=loaded.file.release_pages)


def load_weights(
    model: nn.Module,
    path: WeightsSource,
    options: ReadOptions = ReadOptions(),
    *,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> LoadResult:
    """Load weights into a module; on an error the module is unchanged.

    Parameters that have memory keep their memory, device and dtype; values are copied into them. Parameters on the
    meta device share the memory-mapped file, whose pages are copied on write; those that are not in the file are
    initialized.

    Args:
        model: A module from `build` or `load`, possibly compiled or wrapped for parallel use.
        path: A `.weights`, `.safetensors`, `.pt` or `.npz` file, as a path, an open binary file or bytes.
        options: How the file is read, and the device and dtype of parameters on the meta device.
        device: Overrides `options.device`.
        dtype: Overrides `options.dtype`.

    Returns:
        The layers that were loaded and those that are unchanged.

    Raises:
        WeightsError: The file cannot be read or does not fit; its `report` has the reason.

    >>> model = darkparse.build("yolov3-tiny")
    >>> print(darkparse.load_weights(model, "tiny.weights"))
    tiny.weights: loaded layers 0, 2, 4, 6, 8, 10, 12–15, 18, 21–22
    """
    options = options.override(device=device, dtype=dtype)
    model = unwrap_model(model)
    return _assign_arrays(model, read_for(model.network, path, options), options)


def check_device(device: Device) -> None:
    """Check that a device is available and stores values (`meta` does not), by computing on it.

    Raises:
        DarkparseError: The device is unknown to torch, or cannot compute.
    """
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError, ValueError, OverflowError) as problem:
        reason = str(problem).splitlines()[0]
        if device is not None and str(device).partition(":")[0] not in DEVICES:
            reason = f"unknown device; expected {', '.join(DEVICES)}, or one with a number, e.g. cuda:1"
        raise DarkparseError(f"device {device}: {reason}") from None


def _assign_arrays(model: Darknet, loaded: LoadedArrays, options: ReadOptions) -> LoadResult:
    """Assign the arrays of a file to a module, either all or none."""
    device, dtype = options.device, options.dtype
    check_dtype(dtype)
    values = {key: array.to_tensor() for key, array in loaded.stored.items()}
    state = model.state_dict()
    _check_shapes(loaded.file.name, state, values)
    stored_dtype = next((value.dtype for value in values.values()), torch.float32)
    missing = {
        key: old for key, old in state.items() if old.is_meta and (key not in values or values[key].shape != old.shape)
    }
    new_tensors = initial_values(model.network, missing, device, dtype or stored_dtype)
    for key, value in values.items():
        if key in new_tensors:
            new_tensors[key][: value.shape[0]].copy_(value)
        elif state[key].is_meta:
            new_tensors[key] = value.to(device=device or value.device, dtype=dtype or value.dtype)
    _overwrite((state[key][: value.shape[0]], value) for key, value in values.items() if key not in new_tensors)
    assign(model, new_tensors)
    if loaded.header is not None:
        model.header = loaded.header
    model.loaded = loaded.loaded
    return model.loaded


def _check_shapes(name: str, state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Raise unless each value has a tensor of its shape or with more rows, since modules can be changed after `build`.

    Raises:
        WeightsError: A tensor does not exist or has another shape.
    """
    for key, value in values.items():
        old = state.get(key)
        if old is None:
            message = "the module was changed after it was built, e.g. by folding batch norm"
            raise WeightsError(
                f"{name}: the module has no tensor {key}: {message}\nhint: load weights before changing it"
            )
        if old.shape[1:] != value.shape[1:] or len(old) < len(value):
            raise WeightsError(
                f"{name}: wrong shape of {key} in the module, got {tuple(old.shape)}; expected {tuple(value.shape)} "
                "from the cfg"
            )


@torch.no_grad()
def _overwrite(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copy values into tensors; if a copy fails, restore the values of all of them."""
    saved: list[tuple[Tensor, Tensor]] = []
    try:
        for old, value in pairs:
            saved.append((old, old.clone()))
            old.copy_(value)
    except BaseException:
        for old, old_value in reversed(saved):
            with suppress(RuntimeError):  # the copy that failed may fail again
                old.copy_(old_value)
        raise


def _check_size(network: Network, *, in_memory: bool) -> None:
    """Raise if torch cannot address a tensor or memory cannot hold them, since the system would kill the process."""
    node_bytes = [(node, 4 * node.num_elements) for node in network.nodes]
    total = sum(size for _, size in node_bytes)
    node, largest = max(node_bytes, key=lambda item: item[1])
    description = (
        f"{network.name} requires {total:,} bytes for its parameters, {largest:,} of them for layer {node.index} "
        f"[{node.kind}]"
    )
    if largest >= 2**63:
        raise DarkparseError(f"{description} ({node.section.span}), which is more than torch can address")
    if in_memory and total > (available := free_memory()):
        raise DarkparseError(f"{description} ({node.section.span}), but only {available:,} are free")
