"""Darknet's initial values for the arrays of a network that a file does not contain, or contains only in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darkparse.layers import TensorSpec
from darkparse.network import Network
from darkparse.weights.buffer import BITS, Arrays, LazyArray
from darkparse.weights.layout import get_tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def complete_arrays(stored: Arrays, network: Network) -> Arrays:
    """Return all arrays of a network: those that are stored, and the others with their initial values."""
    dtype = next((array.dtype for array in stored.values() if array.dtype not in BITS), "float32")
    return {key: _complete(stored.get(key), spec, dtype) for key, (_, spec) in get_tensors(network).items()}


def _complete(stored: LazyArray | None, tensor: TensorSpec, dtype: str) -> LazyArray:
    """Return an array of a tensor's shape that begins with the stored values."""
    if stored is not None and stored.shape == tensor.shape:
        return stored

    def load() -> NDArray[Any]:
        values = _initialize_array(tensor).astype(dtype, copy=False)
        if stored is not None:
            values[: stored.shape[0]] = stored.read()
        return values

    return LazyArray(tensor.shape, dtype, load)


def _initialize_array(tensor: TensorSpec) -> NDArray[np.float32]:
    import numpy as np

    distribution, center, spread = tensor.initial
    if distribution == "constant":
        return np.full(tensor.shape, center, np.float32)
    random = np.random.default_rng(0)
    draw = random.uniform(-spread, spread, tensor.shape) if distribution == "uniform" else None
    values = random.normal(0, spread, tensor.shape) if draw is None else draw
    return (center + values).astype(np.float32)
