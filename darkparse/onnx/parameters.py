"""Graph initializers from a network's arrays, with or without folded batch norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from darkparse.layers import Dialect
from darkparse.onnx.elements import DType, encode_values
from darkparse.onnx.graph import Initializer
from darkparse.weights.buffer import Arrays, LazyArray, as_floats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

Change = Callable[["memoryview[float]"], Iterable[float]]
"""Function of the values of an array, which are flat."""
CHUNK_SIZE = 2**16
"""Number of values to convert and write at a time; with their copies in double precision they fit in a core's cache."""


def get_module_arrays(module: nn.Module) -> Arrays:
    """Return the arrays of a module, which may have any device and dtype."""
    return {key: LazyArray.from_tensor(value) for key, value in module.state_dict().items()}


class GraphParameters:
    """Initializers by state_dict name. Only folding and float16 need numpy.

    Args:
        arrays: Arrays of the network.
        dialect: Dialect that defines the batch norm.
        fold: Fold batch norm into the weights, in double precision (network.c, fuse_conv_batchnorm).
        floats: Dtype of the initializers.
    """

    def __init__(self, arrays: Arrays, dialect: Dialect, *, fold: bool, floats: DType) -> None:
        self.arrays, self.dialect, self.fold, self.floats = arrays, dialect, fold, floats

    def get(
        self,
        name: str,
        change: Change | None = None,
        new_name: str | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> Initializer:
        """Return an initializer for an array.

        Args:
            name: State_dict name of the array.
            change: Function to apply to the values.
            new_name: Name of the initializer, if it is not that of the array.
            shape: Shape of the initializer, if it is not that of the array.
        """
        stored, floats = self.arrays[name], self.floats
        if change is None:
            offset = stored.offset if floats == "float32" else None
            return Initializer(name, stored.shape, floats, partial(_iter_chunks, stored, floats), offset)

        def iter_changed() -> Iterator[bytes]:
            yield encode_values(change(as_floats(stored.read_block())), floats)

        return Initializer(new_name or name, shape or stored.shape, floats, iter_changed)

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
        chunks = partial(_iter_chunks, self.arrays[weight.name], self.floats, scale_shape)
        bias = encode_values(shift.tolist(), self.floats)
        return (
            Initializer(weight.name, weight.shape, self.floats, chunks),
            Initializer(f"{path}.bias", shift.shape, self.floats, lambda: (bias,)),
        )

    def norm(self, path: str) -> tuple[tuple[Initializer, ...], float]:
        """Return scale, bias, mean and variance of the batch norm at a path, and the ε to add to the variance.

        If the dialect adds ε to the standard deviation, the variance is (√variance + ε)² and the returned ε is 0.
        """
        eps = self.dialect.batchnorm_epsilon
        on_root = self.dialect.epsilon_on_root
        variance = self.get(f"{path}.running_var", partial(_square_with_epsilon, eps) if on_root else None)
        others = (self.get(f"{path}.{name}") for name in ("weight", "bias", "running_mean"))
        return (*others, variance), 0.0 if on_root else eps

    def _compute_affine(self, path: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute the scale and shift that are equivalent to batch norm at inference, in double precision."""
        import numpy as np

        weight, bias, mean, variance = (
            self.arrays[f"{path}.{name}"].read().astype(np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        eps, positive = self.dialect.batchnorm_epsilon, np.maximum(variance, 0)
        scale = weight / (np.sqrt(positive) + eps if self.dialect.epsilon_on_root else np.sqrt(positive + eps))
        return scale, bias - mean * scale


def _square_with_epsilon(eps: float, variances: memoryview[float]) -> list[float]:
    # The variance of a dead channel can be a negative denormal; Darknet treats denormals as 0 (built with fast math).
    return [(math.sqrt(max(variance, 0.0)) + eps) ** 2 for variance in variances]


def _iter_chunks(stored: LazyArray, dtype: DType, scale: NDArray[np.float64] | None = None) -> Iterator[Any]:
    """Yield the bytes of an array in a dtype, in chunks; with `scale`, multiplied by it in double precision."""
    if dtype == "float32" and scale is None:
        yield stored.read_block()
        return
    import numpy as np

    values = stored.read().reshape(stored.shape)
    rows = values.reshape(1, -1) if values.ndim < 2 else values
    factors = None if scale is None else np.broadcast_to(scale, stored.shape).reshape(rows.shape)
    step = max(1, CHUNK_SIZE // max(1, rows[0].size)) if len(rows) else 1
    with np.errstate(over="ignore"):
        for start in range(0, len(rows), step):
            part: NDArray[Any] = rows[start : start + step]
            if factors is not None:
                part = part.astype(np.float64) * factors[start : start + step]
            yield np.ascontiguousarray(part, np.dtype(dtype).newbyteorder("<"))


def _get_norm_path(path: str) -> str:
    """Convert `layers.3.conv` to `layers.3.norm`."""
    return f"{path.rpartition('.')[0]}.norm"
