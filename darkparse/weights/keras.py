"""Reading Keras weights (HDF5, `.h5`) in the order of a cfg, with PyTorch's names and shapes.

Keras lists layers by their depth in the graph but numbers them in the order of creation, which is the order of the cfg
for programs that build a network from one. Keras kernels are height×width×in×out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import WeightsError
from darkparse.network import Network
from darkparse.weights.buffer import MAX_EXPANSION, MIN_UNPACKED_LIMIT, FileBuffer, LazyArray
from darkparse.weights.origin import Metadata
from darkparse.weights.third_party import split_numbers

NORM_ROLES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
"""PyTorch's names of the arrays of a batch norm, in Keras' order."""
MAP_ROLES = ["weight", "bias"]
KERNEL_AXES = {2: (1, 0), 4: (3, 2, 0, 1)}
"""Permutations of a kernel's axes to PyTorch's order, by number of axes."""
DEPTHWISE_AXES = (2, 3, 0, 1)
DIGITS = "0123456789"
MAX_ATTRIBUTE_CHUNKS = 1000
"""Maximum number of attributes, with a number at the end, into which Keras splits a long list of names."""


@dataclass(slots=True)
class KerasLayer:
    """Arrays of one layer, in file order."""

    name: str
    arrays: list[tuple[str, np.ndarray[Any, Any]]] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """Name without its number and without the surrounding models."""
        return self.name.rpartition("/")[2].rstrip(DIGITS).rstrip("_")

    @property
    def number(self) -> tuple[int, str]:
        """Number at the end of the name, as a sort key."""
        digits = self.name[len(self.name.rstrip(DIGITS)) :].lstrip("0")
        return len(digits), digits

    @property
    def is_norm(self) -> bool:
        """Whether the layer is a batch norm."""
        return all(array.ndim == 1 for _, array in self.arrays)

    @property
    def has_bias(self) -> bool:
        """Whether the layer has a bias."""
        return any(array.ndim == 1 for _, array in self.arrays)

    def to_arrays(self) -> Iterator[tuple[str, LazyArray]]:
        """Yield the arrays in PyTorch's shapes, with their names."""
        roles = self._find_norm_roles() if self.is_norm else MAP_ROLES[: len(self.arrays)]
        if len(roles) != len(self.arrays):
            names = ", ".join(name for name, _ in self.arrays)
            expected = "a kernel and a bias, or gamma, beta, mean and variance"
            raise ValueError(
                f"unsupported arrays in layer {quote_safe(self.name)}, got {quote_safe(names)}; expected {expected}"
            )
        arrays = self.arrays if self.is_norm else sorted(self.arrays, key=lambda item: -item[1].ndim)
        for role, (name, array) in zip(roles, arrays, strict=True):
            values = array if array.ndim == 1 else _transpose_kernel(name, array)
            yield f"{self.name}.{role}", LazyArray(values.shape, values.dtype.name, partial(np.asarray, values))

    def _find_norm_roles(self) -> list[str]:
        """Return PyTorch's names by the arrays' names, or by their order if these are numbers (Keras 3)."""
        names = [name.partition(":")[0] for name, _ in self.arrays]
        return [NORM_ROLES[name] for name in names] if {*names} == {*NORM_ROLES} else list(NORM_ROLES.values())


def read_keras(blob: FileBuffer) -> tuple[dict[str, LazyArray], Metadata]:
    """Read the weights of a Keras file, written by `model.save` or `save_weights`.

    Raises:
        WeightsError: h5py is not installed.
        ValueError: The file is invalid, links to other files, or declares more data than it has. Other exceptions of
            h5py are not converted.
    """
    h5py = _import_h5py()
    try:
        with h5py.File(blob.open_stream(), "r") as file:
            layers = _read_layers(h5py, file, blob)
    except SystemError:  # h5py raises it for names that are not UTF-8
        raise ValueError("damaged names") from None
    if not layers:
        raise ValueError("no weights in the file")
    return dict(item for layer in _sort_layers(layers) for item in layer.to_arrays()), {}


def _read_layers(h5py: Any, file: Any, blob: FileBuffer) -> list[KerasLayer]:
    linked = file.visititems_links(lambda path, link: path if isinstance(link, h5py.ExternalLink) else None)
    if linked is not None:
        raise ValueError(f"{quote_safe(linked)} links to another file, which is not supported")
    root = file.get("model_weights", file)
    datasets = _list_datasets(root, h5py.Dataset)
    _check_size(blob, datasets)
    layers: dict[str, KerasLayer] = {}
    for path in _list_paths(root, blob.size) or sorted(datasets, key=split_numbers):
        if path not in datasets:
            raise ValueError(f"{quote_safe(path)} is listed but missing")
        parent, _, name = path.rpartition("/")
        parent = parent.removesuffix("/vars")  # Keras 3
        layers.setdefault(parent, KerasLayer(parent)).arrays.append((name, _read_array(datasets[path])))
    return list(layers.values())


def check_flatten_order(name: str, network: Network) -> None:
    """Raise WeightsError if a layer reads a map as a vector, because its order in a Keras file is unknown."""
    for node in network.nodes:
        shape = node.in_shapes[0] if node.kind == "connected" else None
        if shape is not None and shape.c > 1 and shape.area > 1:
            place = f"layer {node.index} [connected] ({node.section.span})"
            raise WeightsError(
                f"{name}: cannot convert the weights of {place}: its input is a map of {shape.h}×{shape.w}×{shape.c}, "
                "which Keras flattens in a different order"
            )


def _import_h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise WeightsError("reading a Keras file (.h5) requires h5py\nhint: pip install 'darkparse[keras]'") from None
    return h5py


def _list_datasets(root: Any, dataset_type: Any) -> dict[str, Any]:
    """Return the floating point arrays in a group by their paths. Raises ValueError for an array in another file."""
    datasets: dict[str, Any] = {}

    def add(path: str, item: Any) -> None:
        if not isinstance(item, dataset_type) or item.dtype.kind != "f" or path.startswith("optimizer"):
            return
        if item.external or item.is_virtual:
            raise ValueError(f"the values of {quote_safe(path)} are in another file, which is not supported")
        datasets[path] = item

    root.visititems(add)
    return datasets


def _check_size(blob: FileBuffer, datasets: dict[str, Any]) -> None:
    """Check that arrays have the size that they declare, before memory is allocated. Raises ValueError."""
    total = 0
    for path, dataset in datasets.items():
        claimed, stored = dataset.dtype.itemsize * prod(dataset.shape), dataset.id.get_storage_size()
        total += max(claimed, dataset.dtype.itemsize * prod(dataset.chunks or ()))
        if claimed > stored and not dataset.id.get_create_plist().get_nfilters():
            raise ValueError(f"wrong size of {quote_safe(path)}, got {stored:,} bytes; expected {claimed:,}")
    if total > max(MIN_UNPACKED_LIMIT, MAX_EXPANSION * blob.size):
        raise ValueError(f"{blob.size:,} bytes unpack to {total:,}; expected at most {MAX_EXPANSION} times the size")


def _list_paths(root: Any, max_bytes: int) -> list[str]:
    """Return the paths of the weights in Keras' order; empty if the file does not store it (Keras 3)."""
    return [
        f"{layer}/{name}"
        for layer in _read_names(root, "layer_names", max_bytes)
        for name in _read_names(root[layer], "weight_names", max_bytes)
    ]


def _read_names(group: Any, key: str, max_bytes: int) -> list[str]:
    chunks = [key] if key in group.attrs else [f"{key}{number}" for number in range(MAX_ATTRIBUTE_CHUNKS)]
    names: list[str] = []
    for chunk in chunks:
        if chunk not in group.attrs:
            break
        attribute = group.attrs.get_id(chunk)
        if prod(attribute.shape) * attribute.dtype.itemsize > max_bytes:
            raise ValueError(f"attribute {chunk} declares more bytes than the file has")
        names += [name.decode() if isinstance(name, bytes) else str(name) for name in np.ravel(group.attrs[chunk])]
    return names


def _read_array(dataset: Any) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = dataset[()]
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _sort_layers(layers: Sequence[KerasLayer]) -> list[KerasLayer]:
    """Sort layers by their order of creation, each batch norm after its convolution."""
    maps, norms = ([layer for layer in layers if layer.is_norm == is_norm] for is_norm in (False, True))
    without_bias = [layer for layer in maps if not layer.has_bias]
    if not (_is_numbered(maps) and _is_numbered(norms) and len(without_bias) == len(norms)):
        return list(layers)
    remaining = iter(sorted(norms, key=attrgetter("number")))
    result = []
    for layer in sorted(maps, key=attrgetter("number")):
        result += [layer] if layer.has_bias else [layer, next(remaining)]
    return result


def _is_numbered(layers: Sequence[KerasLayer]) -> bool:
    """Return whether layers have the same name with different numbers; the first one may have no number."""
    return len({layer.stem for layer in layers}) <= 1 and len({layer.number for layer in layers}) == len(layers)


def _transpose_kernel(name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if "depthwise" in name and array.ndim == len(DEPTHWISE_AXES):
        kernel = array.transpose(DEPTHWISE_AXES)
        return kernel.reshape(-1, 1, *kernel.shape[2:])
    if array.ndim not in KERNEL_AXES:
        raise ValueError(f"wrong number of axes of {quote_safe(name)}, got {array.ndim}; expected 2 or 4")
    return np.ascontiguousarray(array.transpose(KERNEL_AXES[array.ndim]))
