"""Darknet's own activations, for which torch has no module (activations.h, activations.c)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkparse.layers.activations import ACTIVATIONS, ActivationRow


def ramp(x: Tensor) -> Tensor:
    """x·(x>0) + .1·x: slope 1.1 above 0."""
    return F.relu(x) + 0.1 * x


def loggy(x: Tensor) -> Tensor:
    """2·logistic(x) - 1."""
    return 2 * torch.sigmoid(x) - 1


def plse(x: Tensor) -> Tensor:
    """A piecewise linear logistic: 1/8 of a slope within -4…4, 1/100 outside."""
    middle = 0.125 * x + 0.5
    return torch.where(x < -4, 0.01 * (x + 4), torch.where(x > 4, 0.01 * (x - 4) + 1, middle))


def stair(x: Tensor) -> Tensor:
    """Steps of height 1 over 2: flat where floor(x) is even, a slope of 1 where it is odd."""
    n = torch.floor(x)
    half = torch.floor(x / 2)
    return torch.where(torch.remainder(n, 2) == 0, half, (x - n) + half)


def lhtan(x: Tensor) -> Tensor:
    """x within 0…1, a slope of 1/1000 outside."""
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def selu(x: Tensor) -> Tensor:
    """SELU with Darknet's four decimals, 1.0507 and 1.6732."""
    return torch.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * torch.expm1(x))


def gelu(x: Tensor) -> Tensor:
    """The tanh form with Darknet's digits."""
    return 0.5 * x * (1 + torch.tanh(0.797885 * x + 0.035677 * x * x * x))


def hard_mish(x: Tensor) -> Tensor:
    """x above 0, x²/2 + x down to -2, then 0."""
    return x * (x / 2 + 1).clamp(0, 1)


def normalize_channels(x: Tensor) -> Tensor:
    """Positive values (N, C, …) over their sum at each position, negative ones 0."""
    positive = F.relu(x)
    return positive / (positive.sum(1, keepdim=True) + 1e-4)


def normalize_channels_softmax(x: Tensor) -> Tensor:
    """exp over the sum of exp at each position, without a shift."""
    e = torch.exp(x)
    return e / (e.sum(1, keepdim=True) + 1e-4)


def normalize_channels_softmax_maxval(x: Tensor) -> Tensor:
    """The same, shifted by the largest value at each position."""
    return normalize_channels_softmax(x - x.amax(1, keepdim=True))


def function_of(row: ActivationRow) -> Callable[[Tensor], Tensor]:
    """The function of an activation: torch's, or one from here."""
    if not row.function:
        return lambda x: x
    home, _, name = row.function.rpartition(".")
    function: Callable[..., Tensor] = getattr({"F": F, "torch": torch}.get(home, sys.modules[__name__]), name)
    return partial(function, **row.settings) if row.settings else function


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {row.name: function_of(row) for row in ACTIVATIONS.values()}


class DarknetActivation(nn.Module):
    """An activation by Darknet's name; (N, C, …) in and out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS[self.name](x)

    def extra_repr(self) -> str:
        return self.name


class Mish(nn.Module):
    """torch's mish, x − 2x/((1+eˣ)²+1), as x / (1 + 1/(eˣ + e²ˣ/2)): in a fraction of its time, but not to be trained.

    So written nothing cancels, and where eˣ overflows it is x. In half precision, and on a GPU, which has it in one
    step, it is torch's.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return F.mish(x, self.inplace)
        e = x.exp()
        below = e.addcmul_(e, e, value=0.5).reciprocal_().add_(1)
        return torch.div(x, below, out=x if self.inplace else below)
