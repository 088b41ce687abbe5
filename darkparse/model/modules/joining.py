"""Modules of several inputs: concatenation, sum and product. Maps are (N, C, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Route(nn.Module):
    """Concatenation of part `group_id` of `groups` parts of each input's channels (AlexeyAB route_layer.c:80)."""

    def __init__(self, groups: int, group_id: int) -> None:
        super().__init__()
        self.groups, self.group_id = groups, group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat([self._select_part(x) for x in inputs], 1)

    def _select_part(self, x: Tensor) -> Tensor:
        # A slice, not a chunk: ncnn takes the parts of a chunk that nothing reads for outputs.
        size = x.shape[1] // self.groups
        return x if self.groups == 1 else x[:, self.group_id * size : (self.group_id + 1) * size]

    def extra_repr(self) -> str:
        return f"part {self.group_id} of {self.groups}" if self.groups > 1 else ""


class FlatRoute(Route):
    """A `Route` that flattens maps of different sizes, or maps and vectors, to vectors (N, n)."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*(x.flatten(1) for x in inputs))


class Add(nn.Module):
    """Sum of inputs of equal shape."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = first + other
        return first


def as_map(x: Tensor) -> Tensor:
    """Return a vector (N, n) as a map (N, n, 1, 1), and a map unchanged."""
    return x if x.dim() == 4 else x[..., None, None]


class PartialAdd(nn.Module):
    """Sum of inputs of different shapes over their common part (pjreddie blas.c shortcut_cpu).

    Vectors count as 1×1 maps. The output has the shape of the first input. A larger map is read with a stride, a
    smaller one is written with a stride, and channels that only the first input has are unchanged.
    """

    def __init__(self, alpha: float, beta: float) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first.clone()
        out = as_map(total)
        for other in map(as_map, others):
            stride, spread = max(other.shape[-1] // out.shape[-1], 1), max(out.shape[-1] // other.shape[-1], 1)
            c, h, w = (min(a, b) for a, b in zip(out.shape[1:], other.shape[1:], strict=True))
            part = out[:, :c, : h * spread : spread, : w * spread : spread]
            added = other[:, :c, : h * stride : stride, : w * stride : stride]
            part.copy_(self.alpha * part + self.beta * added)
        return total

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}, beta={self.beta:g}"


class WeightedShortcut(nn.Module):
    """Weighted sum of maps or vectors, in the shape of the first one (blas.c:70-135).

    The weights are (inputs,) or (inputs, channels), optionally normalized over the inputs.
    """

    def __init__(self, shape: tuple[int, ...], normalization: str) -> None:
        super().__init__()
        self.normalization = normalization
        self.weight = nn.Parameter(torch.empty(shape))

    def forward(self, *inputs: Tensor) -> Tensor:
        weights = self._normalized().unflatten(0, (-1, 1)) if self.weight.dim() == 1 else self._normalized()
        first, *others = map(as_map, inputs)
        out = first * weights[0].view(1, -1, 1, 1)
        for x, weight in zip(others, weights[1:], strict=True):
            channels = min(x.shape[1], out.shape[1])
            product = x[:, :channels] * weight[:channels].view(1, -1, 1, 1)
            out = out + F.pad(product, (0, 0, 0, 0, 0, out.shape[1] - channels))
        return out.reshape(inputs[0].shape)

    def _normalized(self) -> Tensor:
        if self.normalization == "none":
            return self.weight
        positive = F.relu(self.weight) if self.normalization == "relu" else torch.exp(self.weight - self.weight.amax(0))
        return positive / (positive.sum(0) + 1e-4)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, normalization={self.normalization}"


class Gate(nn.Module):
    """Product of a gate and a map; the gate is (N, C[, 1, 1]), (N, 1, H, W) or of the map's shape."""

    def forward(self, gate: Tensor, x: Tensor) -> Tensor:
        return x * (gate if gate.dim() == x.dim() else gate[..., None, None])


class VectorGate(Gate):
    """A `Gate` for a vector (N, n), which becomes a 1×1 map."""

    def forward(self, gate: Tensor, x: Tensor) -> Tensor:
        return super().forward(gate, as_map(x))
