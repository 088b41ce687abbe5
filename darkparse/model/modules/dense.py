"""Softmax within groups, and a learned constant."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupedSoftmax(nn.Module):
    """Softmax of x / temperature within equal groups of a vector (N, n)."""

    def __init__(self, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups, self.temperature = groups, temperature

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x.unflatten(1, (self.groups, -1)) / self.temperature, -1).flatten(1)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, temperature={self.temperature:g}"


class TreeSoftmax(nn.Module):
    """Softmax of x / temperature within each group of siblings of a word tree, along axis 1."""

    def __init__(self, group_sizes: tuple[int, ...], temperature: float = 1.0) -> None:
        super().__init__()
        self.group_sizes, self.temperature = group_sizes, temperature

    def forward(self, x: Tensor) -> Tensor:
        return grouped_softmax(x / self.temperature, self.group_sizes)

    def extra_repr(self) -> str:
        return f"{len(self.group_sizes)} groups, temperature={self.temperature:g}"


def grouped_softmax(x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Compute the softmax within consecutive groups of axis 1."""
    return torch.cat([torch.softmax(part, 1) for part in x.split(sizes, 1)], 1)


class Implicit(nn.Module):
    """A learned constant of shape (C, H, W), repeated for every image of the batch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.expand(x.shape[0], *self.weight.shape)
