"""The reductions of a network, or of a part, in sum:
where the map shrinks, which 1×1 convolutions reduce, what the bottlenecks save."""

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
    """The first sweep downwards: from what comes in to the first layer whose map is larger again."""

    before: tuple[int, int]
    after: tuple[int, int]
    layers: tuple[int, ...]
    """The first layer at each smaller scale."""
    halves: bool
    """Each of them halves height and width exactly."""


@dataclass(frozen=True, slots=True)
class PointwiseStats:
    """Every 1×1 convolution by what it does to the channels."""

    reducing: tuple[int, ...]
    keeping: tuple[int, ...]
    expanding: tuple[int, ...]
    projecting: tuple[int, ...]
    """Head projections, which count as neither."""

    @property
    def total(self) -> int:
        """All but the head projections."""
        return len(self.reducing) + len(self.keeping) + len(self.expanding)

    @property
    def not_reducing(self) -> tuple[int, ...]:
        return tuple(sorted((*self.keeping, *self.expanding)))


@dataclass(frozen=True, slots=True)
class BottleneckStats:
    """The bottlenecks of one form: those that save weights over direct convolutions, and those that do not."""

    form: Form
    saving: tuple[Bottleneck, ...]
    costing: tuple[Bottleneck, ...]

    @property
    def weights(self) -> int:
        """Multiplying weights saved by those that save."""
        return sum(b.saved_weights for b in self.saving)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image saved by those that save."""
        return sum(b.saved_macs for b in self.saving)

    @property
    def direct_weights(self) -> int:
        """What the direct convolutions of those that save would have."""
        return sum(b.direct_weights for b in self.saving)

    @property
    def direct_macs(self) -> int:
        return sum(b.direct_macs for b in self.saving)


@dataclass(frozen=True, slots=True)
class NetworkSummary:
    """The three answers about a network."""

    downsampling: Downsampling | None
    """None where the input is a vector or no layer shrinks a map."""
    pointwise: PointwiseStats
    bottlenecks: tuple[BottleneckStats, ...]
    """One for each form that occurs."""


def summarize_network(network: Network, layers: range | None = None) -> NetworkSummary:
    """The facts about a network, or about some consecutive layers of it alone."""
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
    """Whether the layer is a 1×1 convolution."""
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
