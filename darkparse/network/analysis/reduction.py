"""Change of resolution and channels by each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from darkparse.layers import Shape
from darkparse.network.node import Node

AxisName = Literal["spatial", "channels"]
Direction = Literal["reduced", "kept", "expanded", "projected"]


@dataclass(frozen=True, slots=True)
class Reduction:
    """Size of one axis before and after a layer, and the mechanism of the change.

    `before` and `after` are (height, width) on the spatial axis and (channels,) on the channel axis. For a
    concatenation, `before` on the channel axis has the channels of each input.
    """

    axis: AxisName
    before: tuple[int, ...]
    after: tuple[int, ...]
    direction: Direction
    mechanism: str
    keeps_values: bool = False
    """Whether the values are only moved to the other axis (reorg, flattening)."""

    @property
    def factor(self) -> float:
        """Factor by which an axis was reduced or expanded, at least 1.

        On the spatial axis, the factor of the height if height and width changed equally, otherwise the square root of
        the area's factor.
        """
        ratio = self._ratio()
        return 1 / ratio if ratio < 1 else ratio

    def _ratio(self) -> float:
        if self.axis == "channels":
            return self.before[0] / self.after[0]
        (h, w), (to_h, to_w) = self.before, self.after
        return h / to_h if h * to_w == w * to_h else (h * w / (to_h * to_w)) ** 0.5


@dataclass(frozen=True, slots=True)
class Reductions:
    """Reductions of both axes by a layer; None if the layer has no input."""

    spatial: Reduction | None
    channels: Reduction | None

    @property
    def all(self) -> tuple[Reduction, ...]:
        return tuple(r for r in (self.spatial, self.channels) if r is not None)

    @property
    def reduces(self) -> bool:
        return any(r.direction == "reduced" for r in self.all)


def compute_reductions(node: Node, *, projects: bool) -> Reductions:
    """Compute the reductions of a layer; `projects` means that only a detection head reads its output."""
    before, after = node.in_shape, node.out_shape
    if before is None:
        return Reductions(None, None)
    channels_before = tuple(x.c for x in node.in_shapes) if node.layer.role == "cat" and after.is_map else (before.c,)
    flattens = before.is_map and not after.is_map
    if flattens:
        channels_before = (before.size,)
    is_lossless = _is_lossless(node, before, after)
    spatial = Reduction(
        "spatial",
        (before.h, before.w),
        (after.h, after.w),
        _compare_sizes(before.area, after.area),
        _get_mechanism(node, before.area != after.area),
        is_lossless,
    )
    total = sum(channels_before) if node.layer.role == "cat" else channels_before[0]
    direction = _compare_sizes(channels_before[0] if len(channels_before) > 1 else total, after.c)
    mechanism = _get_mechanism(node, direction != "kept")
    if projects and node.weights:
        direction, mechanism = "projected", "head projection"
    channels = Reduction("channels", channels_before, (after.c,), direction, mechanism, is_lossless)
    return Reductions(spatial, channels)


def _compare_sizes(before: int, after: int) -> Direction:
    if after == before:
        return "kept"
    return "reduced" if after < before else "expanded"


def _get_mechanism(node: Node, changes: bool) -> str:
    return node.layer.mechanism if changes else ""


def _is_lossless(node: Node, before: Shape, after: Shape) -> bool:
    return not node.weights and before.size == after.size and before != after
