"""A network with its arrays, wherever they come from, and writing them; torch is not needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.errors import WeightsError
from darkparse.layers import TensorSpec
from darkparse.network import Network
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.weights.buffer import FileBuffer, WeightsSource, open_source
from darkparse.weights.containers import (
    Origin,
    find_container,
    get_container_kind,
    read_arrays,
    resolve_network,
    write_arrays,
)
from darkparse.weights.file_type import detect_file_type
from darkparse.weights.header import Header
from darkparse.weights.layout import compute_layout, get_tensors
from darkparse.weights.load_result import LoadResult, select_fitting, warn_about_non_finite
from darkparse.weights.options import ReadOptions
from darkparse.weights.read import FittedLayout, read_weights
from darkparse.weights.writer import write_weights

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class LazyArray:
    """An array that is read when it is needed."""

    shape: tuple[int, ...]
    read: Callable[[], Array]


Arrays = Mapping[str, LazyArray]
"""A network's arrays by their names in the state_dict."""


def read_lazily(fitted: FittedLayout, network: Network) -> Arrays:
    """The arrays of a `.weights` file; what it does not hold is as Darknet starts it."""
    entries = {entry.name: entry for entry in fitted.entries}

    def read(key: str, tensor: TensorSpec) -> Array:
        stored = fitted.file.get_array(entries[key]) if key in entries else np.empty((0, *tensor.shape[1:]), np.float32)
        if stored.shape == tensor.shape:
            return stored
        values = _initialize_array(tensor)
        values[: len(stored)] = stored
        return values

    specs = get_tensors(network)
    return {key: LazyArray(tensor.shape, partial(read, key, tensor)) for key, (_, tensor) in specs.items()}


def _initialize_array(tensor: TensorSpec) -> Array:
    distribution, center, spread = tensor.initial
    if distribution == "constant":
        return np.full(tensor.shape, center, np.float32)
    random = np.random.default_rng(0)
    draw = random.uniform(-spread, spread, tensor.shape) if distribution == "uniform" else None
    values = random.normal(0, spread, tensor.shape) if draw is None else draw
    return (center + values).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LoadedArrays:
    """A network and its arrays in float32, all of them."""

    network: Network
    arrays: Arrays
    header: Header | None
    """Of the `.weights` file that they come from."""
    loaded: LoadResult
    """Which of them the file held."""

    def save(self, path: Path, *, upto: int | None = None, seen: int | None = None, version: str | None = None) -> int:
        """Write a `.weights`, `.npz` or `.safetensors` file, as its ending says; the number of bytes.

        Raises:
            WeightsError: the file cannot be written, or the header's numbers are none.
        """
        kind, network, entries = get_container_kind(path), self.network, compute_layout(self.network, upto)
        if kind is not None:
            arrays = {name: np.ascontiguousarray(self.arrays[name].read()) for name in get_tensors(network, upto)}
            return write_arrays(path, kind, arrays, Origin.from_network(network, self.header))
        header = self.header or Header.from_version(network.dialect.version, network.dialect)
        try:
            header = header.with_changes(network.dialect, seen, version)
        except ValueError as problem:
            raise WeightsError(str(problem)) from None
        return write_weights(path, header, entries, lambda entry: self.arrays[entry.name].read())


def compile_and_check(
    cfg: CfgLike,
    weights: WeightsSource | None,
    options: ReadOptions = ReadOptions(),
    compile_options: CompileOptions = CompileOptions(),
) -> Network | None:
    """The network of a `.weights` file, so that what is wrong is said before torch is imported; None for other files.

    Raises:
        CfgError: the cfg is wrong.
        WeightsError: the weights cannot be read or do not fit.
    """
    blob = None if weights is None else open_source(weights, mmap=options.mmap)
    if blob is None or detect_file_type(blob) is not None:
        return None
    return _compile_and_read(cfg, blob, options, compile_options)[0]


def _compile_and_read(
    cfg: CfgLike, blob: FileBuffer, options: ReadOptions, compile_options: CompileOptions
) -> tuple[Network, FittedLayout]:
    network = resolve_network(cfg, None, blob, None, compile_options)
    return network, read_weights(blob, network, options)


def load_arrays(
    cfg: CfgLike,
    weights: WeightsSource | None = None,
    options: ReadOptions = ReadOptions(),
    compile_options: CompileOptions = CompileOptions(),
) -> LoadedArrays | None:
    """Compile a cfg and read its weights; None where torch is needed: for none, for a PyTorch checkpoint, and for
    tensors with other programs' names or in another dtype than float32.

    Args:
        cfg: what `darkparse.load` takes.
        weights: a `.weights`, `.safetensors` or `.npz` file.
        options: how they are read.
        compile_options: how the cfg is compiled.

    Raises:
        CfgError: the cfg is wrong.
        WeightsError: the weights cannot be read or do not fit.
    """
    path = find_container(cfg) if weights is None else None
    source = path if weights is None else weights
    if source is None:
        return None
    blob = open_source(source, mmap=options.mmap)
    file_type = detect_file_type(blob)
    if file_type is None or file_type.container is None:
        network, fitted = _compile_and_read(cfg, blob, options, compile_options)
        tensors = {entry.name: entry.tensor for entry in fitted.entries}
        shapes = {
            name: (tensor.shape[0] if tensor.rows is None else tensor.rows, *tensor.shape[1:])
            for name, tensor in tensors.items()
        }
        header = fitted.file.header
        warn_about_non_finite(blob.name, ((entry.name, array) for entry, array in fitted), stacklevel=3)
        return LoadedArrays(
            network, read_lazily(fitted, network), header, LoadResult.from_shapes(blob.name, header, network, shapes)
        )
    contents = read_arrays(blob, file_type.container)
    if contents is None:
        return None
    arrays, origin = contents
    network = resolve_network(cfg, path, blob, origin, compile_options)
    specs = get_tensors(network)
    if not all(key in specs and array.dtype == np.float32 for key, array in arrays.items()):
        return None
    compute_layout(network, options.upto)  # upto is a number of layers
    shapes = select_fitting(blob.name, arrays, network, options)
    if any(arrays[key].shape != shape for key, shape in shapes.items()):
        return None
    warn_about_non_finite(blob.name, arrays.items(), stacklevel=3)
    lazy_arrays = {
        key: LazyArray(
            spec.shape, partial(arrays.__getitem__, key) if key in shapes else partial(_initialize_array, spec)
        )
        for key, (_, spec) in specs.items()
    }
    origin_header = origin.header if origin else None
    return LoadedArrays(
        network, lazy_arrays, origin_header, LoadResult.from_shapes(blob.name, origin_header, network, shapes)
    )
