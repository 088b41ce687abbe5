"""Memory for tensors that have none, with the values that Darknet starts from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from darkparse.errors import DarkparseError
from darkparse.layers.specs import Initial
from darkparse.network import Network
from darkparse.weights.layout import get_tensors


def initial_values(
    network: Network,
    tensors: Mapping[str, Tensor],
    device: str | torch.device | int | None = None,
    dtype: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Memory for some tensors of a network's state_dict, by default on the CPU in float32, as Darknet fills it."""
    specs = get_tensors(network) if tensors else {}
    values = {
        key: torch.empty(old.shape, device=device or "cpu", dtype=dtype or torch.float32)
        for key, old in tensors.items()
    }
    return {key: _fill(value, specs[key][1].initial) for key, value in values.items()}


def _fill(value: Tensor, initial: Initial) -> Tensor:
    distribution, center, spread = initial
    if distribution == "uniform":
        return value.uniform_(center - spread, center + spread)
    if distribution == "normal":
        return value.normal_(center, spread)
    return value.fill_(center)


def assign(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of those of the same name."""
    for key, value in tensors.items():
        path, _, name = key.rpartition(".")
        owner = model.get_submodule(path)
        if name in owner._parameters:
            owner._parameters[name] = nn.Parameter(value, requires_grad=owner.get_parameter(name).requires_grad)
        else:
            owner._buffers[name] = value


def check_dtype(dtype: torch.dtype | None) -> None:
    """Raises DarkparseError for a dtype that parameters cannot have."""
    if dtype is not None and not dtype.is_floating_point:
        raise DarkparseError(
            f"parameters are in floating point: dtype is torch.float32, float16 or the like, not {dtype}"
        )
