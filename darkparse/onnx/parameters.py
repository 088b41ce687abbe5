"""Graph initializers from a network's arrays, with or without folded batch norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from darkparse.layers import Dialect
from darkparse.onnx.graph import Array, Initializer
from darkparse.weights.buffer import Arrays, LazyArray

if TYPE_CHECKING:
    from torch import nn


def get_module_arrays(module: nn.Module) -> Arrays:
    """Return the arrays of a module, which may have any device and dtype."""
    return {key: LazyArray.from_tensor(value) for key, value in module.state_dict().items()}


class GraphParameters:
    """Initializers by state_dict name.

    Args:
        arrays: Arrays of the network.
        dialect: Dialect that defines the batch norm.
        fold: Fold batch norm into the weights, in double precision (network.c, fuse_conv_batchnorm).
        floats: Dtype of the initializers.
    """

    def __init__(self, arrays: Arrays, dialect: Dialect, *, fold: bool, floats: np.dtype[Any]) -> None:
        self.arrays, self.dialect, self.fold, self.floats = arrays, dialect, fold, floats

    def get(self, name: str, change: Callable[[Array], Array] | None = None) -> Initializer:
        """Return an initializer for an array.

        Args:
            name: State_dict name of the array.
            change: Function to apply to the array, which must preserve its shape.
        """
        stored = self.arrays[name]
        read = stored.read if change is None else lambda: change(stored.read())
        return Initializer(name, stored.shape, self.floats, read)

    def is_normalized(self, path: str) -> bool:
        """Return whether a batch norm follows the linear map at a path."""
        return f"{_get_norm_path(path)}.running_mean" in self.arrays

    def linear(self, path: str, axis: int = 0) -> tuple[Initializer, Initializer | None]:
        """Return weights and biases of a linear map, with the batch norm that follows folded into both if enabled.

        Args:
            path: State_dict path of the linear map.
            axis: Axis of the weights that corresponds to the outputs.
        """
        weight = self.get(f"{path}.weight")
        if not self.is_normalized(path):
            return weight, self.get(f"{path}.bias") if f"{path}.bias" in self.arrays else None
        if not self.fold:
            return weight, None
        scale, shift = self._compute_affine(_get_norm_path(path))
        scale_shape = scale.reshape([-1 if i == axis else 1 for i in range(len(weight.shape))])
        folded = Initializer(weight.name, weight.shape, self.floats, weight.read, scale_shape)
        return folded, Initializer(f"{path}.bias", shift.shape, self.floats, lambda: shift)

    def norm(self, path: str) -> tuple[tuple[Initializer, ...], float]:
        """Return scale, bias, mean and variance of the batch norm at a path, and the ε to add to the variance.

        If the dialect adds ε to the standard deviation, the variance is (√variance + ε)² and the returned ε is 0.
        """
        eps = self.dialect.batchnorm_epsilon
        on_root = self.dialect.epsilon_on_root
        variance = self.get(f"{path}.running_var", (lambda v: (_safe_sqrt(v) + eps) ** 2) if on_root else None)
        others = (self.get(f"{path}.{name}") for name in ("weight", "bias", "running_mean"))
        return (*others, variance), 0.0 if on_root else eps

    def _compute_affine(self, path: str) -> tuple[Array, Array]:
        """Compute the scale and shift that are equivalent to batch norm at inference, in double precision."""
        weight, bias, mean, variance = (
            self.arrays[f"{path}.{name}"].read().astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        eps = self.dialect.batchnorm_epsilon
        root = _safe_sqrt(variance) + eps if self.dialect.epsilon_on_root else np.sqrt(np.maximum(variance, 0) + eps)
        scale = weight / root
        return scale, bias - mean * scale


def _safe_sqrt(variance: Array) -> Array:
    # The variance of a dead channel can be a negative denormal; Darknet treats denormals as 0 (built with fast math).
    root: Array = np.sqrt(np.maximum(variance, 0))
    return root


def _get_norm_path(path: str) -> str:
    """Convert `layers.3.conv` to `layers.3.norm`."""
    return f"{path.rpartition('.')[0]}.norm"
