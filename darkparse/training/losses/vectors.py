"""The losses of `[softmax]`, `[logistic]` and `[cost]`, over a truth (N, n) of the output's size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MASKED_VALUE = -1234.0
"""A truth that is none: no loss there (cost_layer.c SECRET_NUM)."""


def _flatten(output: Tensor, truth: Any) -> tuple[Tensor, Tensor]:
    """Output and truth as vectors. Raises ValueError if they do not have one size."""
    flat = output.flatten(1)
    if not isinstance(truth, Tensor) or truth.numel() != flat.numel():
        raise ValueError(f"this loss needs a tensor of {tuple(flat.shape)} as truth")
    return flat, truth.to(flat).reshape(flat.shape)


class SoftmaxLoss:
    """Cross-entropy, whose delta is truth less probability whatever the temperature (blas.c softmax_x_ent_cpu).

    With `noloss` there is none, but it counts in the mean of the costs.
    """

    def __init__(self, noloss: bool) -> None:
        self.noloss = noloss

    def __call__(self, output: Tensor, truth: Any, seen: int) -> tuple[Tensor, Tensor]:
        if self.noloss:
            return torch.zeros_like(output), output.new_zeros(())
        p, y = _flatten(output, truth)
        return y - p, torch.where(y != 0, -p.log(), 0.0).sum()


class LogisticLoss:
    """Cross-entropy of each value on its own (blas.c logistic_x_ent_cpu)."""

    def __call__(self, output: Tensor, truth: Any, seen: int) -> tuple[Tensor, Tensor]:
        p, y = _flatten(output, truth)
        return y - p, -(y * p.log() + (1 - y) * (1 - p).log()).sum()


class CostLoss:
    """Squares, or absolute values beyond 1 (smooth), or everywhere (L1); `scale` is for the delta (cost_layer.c)."""

    def __init__(self, kind: str, scale: float) -> None:
        self.kind, self.scale = kind, scale

    def __call__(self, output: Tensor, truth: Any, seen: int) -> tuple[Tensor, Tensor]:
        x, y = _flatten(output, truth)
        difference = y - x
        if self.kind == "masked":
            difference = difference.where(y != MASKED_VALUE, 0.0)
        delta, cost = difference, difference.square()
        size = difference.abs()
        if self.kind == "smooth":
            delta = difference.clamp(-1, 1)
            cost = cost.where(size < 1, 2 * size - 1)
        if self.kind == "L1":
            # The sign, -1 where the two are equal.
            delta, cost = torch.where(difference > 0, 1.0, -1.0).to(x.dtype), size
        return self.scale * delta, cost.sum()
