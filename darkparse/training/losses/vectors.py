"""Losses of `[softmax]`, `[logistic]` and `[cost]`, with a truth (N, n) of the output's size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from darkparse.training.losses.result import HeadResult

MASKED_VALUE = -1234.0
"""Target value that marks elements without a loss (cost_layer.c SECRET_NUM)."""


def _flatten(output: Tensor, truth: Any) -> tuple[Tensor, Tensor]:
    """Flatten output and truth to (N, n); raise ValueError if their sizes differ."""
    flat = output.flatten(1)
    if not isinstance(truth, Tensor) or truth.numel() != flat.numel():
        raise ValueError(f"invalid targets; expected a tensor of shape {tuple(flat.shape)}")
    return flat, truth.to(flat).reshape(flat.shape)


class SoftmaxLoss:
    """Cross-entropy whose delta is truth minus probability, whatever the temperature (blas.c softmax_x_ent_cpu).

    With `noloss`, delta and cost are 0, but the cost is still included in the mean.
    """

    def __init__(self, noloss: bool) -> None:
        self.noloss = noloss

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
        if self.noloss:
            return HeadResult(torch.zeros_like(output), output.new_zeros(()))
        p, y = _flatten(output, truth)
        return HeadResult(y - p, torch.where(y != 0, -p.log(), 0.0).sum())


class LogisticLoss:
    """Binary cross-entropy of each value (blas.c logistic_x_ent_cpu)."""

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
        p, y = _flatten(output, truth)
        return HeadResult(y - p, -(y * p.log() + (1 - y) * (1 - p).log()).sum())


class CostLoss:
    """Loss of `[cost]` (cost_layer.c): squared error by default; smooth and L1 use absolute differences.

    The smooth loss uses them only beyond 1. `scale` multiplies the delta but not the cost.
    """

    def __init__(self, kind: str, scale: float) -> None:
        self.kind, self.scale = kind, scale

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
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
            # As in Darknet, the sign is -1 where the two are equal.
            delta, cost = torch.where(difference > 0, 1.0, -1.0).to(x.dtype), size
        return HeadResult(self.scale * delta, cost.sum())
