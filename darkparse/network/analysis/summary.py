"""Summary of a network's reductions: downsampling, reducing 1×1 convolutions, and savings of bottlenecks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkparse.layers.capabilities import Convolution
from darkparse.network.analysis.bottleneck import FORMS, Bottleneck, Form
from darkparse.network.analysis.scales import find_scale_runs
from darkparse.network.node import Node

if TYPE_CHECKING:
    from darkparse.network.network import Network


@dataclass(frozen=True, slots=True)
class Downsampling:
    """Downsampling from the input to the first layer whose map is larger again."""

    before: tuple[int, int]
    after: tuple[int, int]
    layers: tuple[int, ...]
    """Index of the first layer at each smaller scale."""
    halves: bool
    """Whether each of these layers halves height and width exactly."""


@dataclass(frozen=True, slots=True)
class PointwiseStats:
    """1×1 convolutions by how they change the number of channels."""

    reducing: tuple[int, ...]
    keeping: tuple[int, ...]
    expanding: tuple[int, ...]
    projecting: tuple[int, ...]
    """Head projections, which do not count as reducing or expanding."""

    @property
    def total(self) -> int:
        """Number of 1×1 convolutions without head projections."""
        return len(self.reducing) + len(self.keeping) + len(self.expanding)

    @property
    def not_reducing(self) -> tuple[int, ...]:
        return tuple(sorted((*self.keeping, *self.expanding)))


@dataclass(frozen=True, slots=True)
class BottleneckStats:
    """Bottlenecks of one form, those that save weights over direct convolutions and those that do not."""

    form: Form
    saving: tuple[Bottleneck, ...]
    costing: tuple[Bottleneck, ...]

    @property
    def weights(self) -> int:
        """Number of weights that the saving bottlenecks save."""
        return sum(b.saved_weights for b in self.saving)

    @property
    def macs(self) -> int:
        """Multiply-adds per image that the saving bottlenecks save."""
        return sum(b.saved_macs for b in self.saving)

    @property
    def direct_weights(self) -> int:
        """Number of weights of the direct convolutions that the saving bottlenecks replace."""
        return sum(b.direct_weights for b in self.saving)

    @property
    def direct_macs(self) -> int:
        return sum(b.direct_macs for b in self.saving)


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """Summary of the reductions of a network."""

    downsampling: Downsampling | None
    """None if the input is a vector or no layer shrinks a map."""
    pointwise: PointwiseStats
    bottlenecks: tuple[BottleneckStats, ...]
    """Statistics of each form that occurs."""


def summarize_network(network: Network, layers: range | None = None) -> NetworkSummary:
    """Summarize the reductions of a network, or of consecutive layers of it."""
    span = layers if layers is not None else range(len(network.nodes))
    bottlenecks = tuple(b for b in network.bottlenecks if b.first in span and b.last in span)
    return NetworkSummary(
        _summarize_downsampling(network, span), _summarize_pointwise(network, span), _summarize_bottlenecks(bottlenecks)
    )


def _summarize_downsampling(network: Network, span: range) -> Downsampling | None:
    start = network.nodes[span.start].in_shape if span.start else network.input_shape
    if start is None or not start.is_map:
        return None
    before = shape = (start.h, start.w)
    layers, halves = [], True
    for run in find_scale_runs(network):
        if run.size == shape or run.layers.stop <= span.start:
            continue
        if run.layers.start >= span.stop or run.area == 1 or run.area > shape[0] * shape[1]:
            break
        layers.append(max(run.layers.start, span.start))
        halves = halves and all(big == 2 * small for big, small in zip(shape, run.size, strict=True))
        shape = run.size
    return Downsampling(before, shape, tuple(layers), halves) if layers else None


def _summarize_pointwise(network: Network, span: range) -> PointwiseStats:
    by_direction: dict[str, list[int]] = {"reduced": [], "kept": [], "expanded": [], "projected": []}
    for node in network.nodes[span.start : span.stop]:
        change = network.reductions[node.index].channels
        if is_pointwise(node) and change is not None:
            by_direction[change.direction].append(node.index)
    return PointwiseStats(*(tuple(indices) for indices in by_direction.values()))


def is_pointwise(node: Node) -> bool:
    """Return whether a layer is a 1×1 convolution."""
    return isinstance(node.layer, Convolution) and node.layer.size == 1


def _summarize_bottlenecks(bottlenecks: tuple[Bottleneck, ...]) -> tuple[BottleneckStats, ...]:
    stats = []
    for form in FORMS:
        of_form = [b for b in bottlenecks if b.form == form]
        if of_form:
            stats.append(
                BottleneckStats(form, tuple(b for b in of_form if b.saves), tuple(b for b in of_form if not b.saves))
            )
    return tuple(stats)
