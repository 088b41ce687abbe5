"""A network with its arrays, wherever they come from, and writing them; torch is not needed."""

from __future__ import annotations

import os
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
from darkparse.syntax import Config
from darkparse.weights.buffer import FileBuffer, WeightsSource, open_source
from darkparse.weights.containers import Origin, container_kind, container_path, network_of, read_arrays, write_arrays
from darkparse.weights.file_type import detect_file_type
from darkparse.weights.header import Header
from darkparse.weights.layout import compute_layout, tensors_of
from darkparse.weights.load_result import LoadResult, select_fitting, warn_of_values
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
        held = fitted.file.array(entries[key]) if key in entries else np.empty((0, *tensor.shape[1:]), np.float32)
        if held.shape == tensor.shape:
            return held
        values = _initial(tensor)
        values[: len(held)] = held
        return values

    specs = tensors_of(network)
    return {key: LazyArray(tensor.shape, partial(read, key, tensor)) for key, (_, tensor) in specs.items()}


def _initial(tensor: TensorSpec) -> Array:
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
        kind, network, entries = container_kind(path), self.network, compute_layout(self.network, upto)
        if kind is not None:
            arrays = {name: np.ascontiguousarray(self.arrays[name].read()) for name in tensors_of(network, upto)}
            return write_arrays(path, kind, arrays, Origin.of(network, self.header))
        header = self.header or Header.of_version(network.dialect.version, network.dialect)
        try:
            header = header.changed(network.dialect, seen, version)
        except ValueError as problem:
            raise WeightsError(str(problem)) from None
        return write_weights(path, header, entries, lambda entry: self.arrays[entry.name].read())


def compile_fitting(
    cfg: str | os.PathLike[str] | Config | Network,
    weights: WeightsSource | None,
    options: ReadOptions | None = None,
    **how: Any,
) -> Network | None:
    """The network of a `.weights` file, so that what is wrong is said before torch is imported; None for other files.

    Raises:
        CfgError: the cfg is wrong.
        WeightsError: the weights cannot be read or do not fit.
    """
    options = options or ReadOptions()
    blob = None if weights is None else open_source(weights, mmap=options.mmap)
    if blob is None or detect_file_type(blob) is not None:
        return None
    return _fitted(cfg, blob, options, **how)[0]


def _fitted(
    cfg: str | os.PathLike[str] | Config | Network, blob: FileBuffer, options: ReadOptions, **how: Any
) -> tuple[Network, FittedLayout]:
    network = network_of(cfg, None, blob, None, **how)
    return network, read_weights(blob, network, options)


def load_arrays(
    cfg: str | os.PathLike[str] | Config | Network,
    weights: WeightsSource | None = None,
    options: ReadOptions | None = None,
    **how: Any,
) -> LoadedArrays | None:
    """Compile a cfg and read its weights; None where torch is needed: for none, for a PyTorch checkpoint, and for
    tensors with other programs' names or in another dtype than float32.

    Args:
        cfg: what `darkparse.load` takes.
        weights: a `.weights`, `.safetensors` or `.npz` file.
        options: how they are read.
        how: `dialect`, `size` and `reorg`, see `darkparse.load`.

    Raises:
        CfgError: the cfg is wrong.
        WeightsError: the weights cannot be read or do not fit.
    """
    options = options or ReadOptions()
    path = container_path(cfg) if weights is None else None
    source = path if weights is None else weights
    if source is None:
        return None
    blob = open_source(source, mmap=options.mmap)
    kind = detect_file_type(blob)
    if kind is None or kind.container is None:
        network, fitted = _fitted(cfg, blob, options, **how)
        tensors = {entry.name: entry.tensor for entry in fitted.entries}
        shapes = {
            name: (tensor.shape[0] if tensor.rows is None else tensor.rows, *tensor.shape[1:])
            for name, tensor in tensors.items()
        }
        header = fitted.file.header
        warn_of_values(blob.name, ((entry.name, array) for entry, array in fitted), stacklevel=3)
        return LoadedArrays(
            network, read_lazily(fitted, network), header, LoadResult.of(blob.name, header, network, shapes)
        )
    found = read_arrays(blob, kind.container)
    if found is None:
        return None
    arrays, origin = found
    network = network_of(cfg, path, blob, origin, **how)
    specs = tensors_of(network)
    if not all(key in specs and held.dtype == np.float32 for key, held in arrays.items()):
        return None
    compute_layout(network, options.upto)  # upto is a number of layers
    shapes = select_fitting(blob.name, arrays, network, options)
    if any(arrays[key].shape != shape for key, shape in shapes.items()):
        return None
    warn_of_values(blob.name, arrays.items(), stacklevel=3)
    stored = {
        key: LazyArray(spec.shape, partial(arrays.__getitem__, key) if key in shapes else partial(_initial, spec))
        for key, (_, spec) in specs.items()
    }
    known = origin.header if origin else None
    return LoadedArrays(network, stored, known, LoadResult.of(blob.name, known, network, shapes))
