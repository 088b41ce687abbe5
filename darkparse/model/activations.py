"""Darknet's activations for which torch has no module (activations.h, activations.c)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkparse.layers.activations import ACTIVATIONS, ActivationRow


def ramp(x: Tensor) -> Tensor:
    """Compute x·(x>0) + 0.1·x, with slope 1.1 above 0."""
    return F.relu(x) + 0.1 * x


def loggy(x: Tensor) -> Tensor:
    """Compute 2·logistic(x) - 1."""
    return 2 * torch.sigmoid(x) - 1


def plse(x: Tensor) -> Tensor:
    """Compute a piecewise linear logistic with slope 1/8 within -4…4 and 1/100 outside."""
    middle = 0.125 * x + 0.5
    return torch.where(x < -4, 0.01 * (x + 4), torch.where(x > 4, 0.01 * (x - 4) + 1, middle))


def stair(x: Tensor) -> Tensor:
    """Compute steps of height 1 and width 2: flat where floor(x) is even, slope 1 where it is odd."""
    n = torch.floor(x)
    half = torch.floor(x / 2)
    return torch.where(torch.remainder(n, 2) == 0, half, (x - n) + half)


def lhtan(x: Tensor) -> Tensor:
    """Compute x within 0…1, continued with slope 1/1000 outside."""
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def selu(x: Tensor) -> Tensor:
    """Compute SELU with Darknet's constants, 1.0507 and 1.6732."""
    return torch.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * torch.expm1(x))


def gelu(x: Tensor) -> Tensor:
    """Compute the tanh approximation of GELU with Darknet's constants."""
    return 0.5 * x * (1 + torch.tanh(0.797885 * x + 0.035677 * x * x * x))


def hard_mish(x: Tensor) -> Tensor:
    """Compute x above 0, x²/2 + x between -2 and 0, and 0 below."""
    return x * (x / 2 + 1).clamp(0, 1)


def normalize_channels(x: Tensor) -> Tensor:
    """Divide positive values (N, C, …) by their sum over the channels + 1e-4; set others to 0."""
    positive = F.relu(x)
    return positive / (positive.sum(1, keepdim=True) + 1e-4)


def normalize_channels_softmax(x: Tensor) -> Tensor:
    """Divide exp(x) by its sum over the channels of (N, C, …) + 1e-4, without subtracting the maximum."""
    e = torch.exp(x)
    return e / (e.sum(1, keepdim=True) + 1e-4)


def normalize_channels_softmax_maxval(x: Tensor) -> Tensor:
    """Subtract the maximum over the channels of (N, C, …), then apply normalize_channels_softmax."""
    return normalize_channels_softmax(x - x.amax(1, keepdim=True))


def function_of(row: ActivationRow) -> Callable[[Tensor], Tensor]:
    """Return the function of an activation, from torch or from this module."""
    if not row.function:
        return lambda x: x
    home, _, name = row.function.rpartition(".")
    function: Callable[..., Tensor] = getattr({"F": F, "torch": torch}.get(home, sys.modules[__name__]), name)
    return partial(function, **row.settings) if row.settings else function


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {row.name: function_of(row) for row in ACTIVATIONS.values()}


class DarknetActivation(nn.Module):
    """An activation by its Darknet name, (N, C, …) to (N, C, …)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.name](x)

    def extra_repr(self) -> str:
        return self.name


CHUNK_SIZE = 2**16
"""Number of values per thread that Mish computes at a time, so that all steps of its formula run in the L2 cache."""


def is_traced() -> bool:
    """Return whether torch.compile, torch.export or torch.jit.trace records the operations that run."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


class Mish(nn.Module):
    """Mish, x − 2x/((1+eˣ)²+1), computed as x / (1 + 1/(eˣ + e²ˣ/2)), for inference only.

    This form takes a fraction of the time of torch's, has no cancellation, and is x where eˣ overflows. Half precision
    is computed in float32 and rounded once. On GPUs, which compute Mish in one kernel, torch's function is used.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or is_traced():
            return F.mish(x, self.inplace)
        is_dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
        out = x if self.inplace and is_dense else x.clone()  # clones have no gaps
        for values in out.as_strided((out.numel(),), (1,)).split(CHUNK_SIZE * torch.get_num_threads()):
            _apply_mish(values)
        return out


def _apply_mish(values: Tensor) -> None:
    """Replace values (n,) by their Mish."""
    x = values.float() if values.element_size() < 4 else values
    e = x.exp()
    below = e.addcmul_(e, e, value=0.5).reciprocal_().add_(1)
    torch.div(x, below, out=x)
    if x is not values:
        values.copy_(x)
