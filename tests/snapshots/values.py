"""Fixed parameters and inputs that are the same on every machine, and faster to create than random numbers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor


@cache
def _pool() -> Tensor:
    """Return values in -1…1. Their count is prime, so that no two rows of a tensor are equal."""
    values = np.random.RandomState(0).random_sample(1_048_573)  # numpy promises that its stream never changes
    return torch.from_numpy((2 * values - 1).astype(np.float32))


def fixed_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return values in -1…1 that are determined by the name."""
    count, pool = math.prod(shape), _pool()
    start = zlib.crc32(name.encode()) % len(pool)
    values = torch.cat((pool[start:], *[pool] * (count // len(pool) + 1)))[:count]
    return values.reshape(shape).clone()


def fixed_input(shape: tuple[int, ...]) -> Tensor:
    """Return an input (1, C, H, W) or (1, N) with values in 0…1."""
    return (fixed_tensor("input", (1, *shape)) + 1) / 2


def fixed_parameters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values for a state_dict that keep the magnitude of outputs roughly constant from layer to layer."""
    return {name: _parameter(name, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _parameter(name: str, shape: tuple[int, ...]) -> Tensor:
    values = fixed_tensor(name, shape)
    if len(shape) > 1:
        return values.mul_(math.sqrt(6 / max(1, math.prod(shape[1:]))))
    if name.endswith(("running_var", ".weight")):
        return values.mul_(0.5).add_(1)
    return values.mul_(0.25)
