"""Detection of consecutive copies of a block of layers, equal ones or with an input that grows by a fixed step.

    layer      5    6    7    8    9   10   11        c: 1×1, C: 3×3, +: adds the input of its copy
               C    c    C    +    c    C    +        shape numbers: equal for layers of the same form
               1    2    3    4    2    3    4
                    └── first ──┘  └─ + period        numbers of layers 6–8 and 9–11 agree: count 2, period 3
                              │    ▲
                              └────┘                  only the last layer of a copy is read outside its copy

If a layer after 11 also read layer 7, that layer would leak from its copy, and there would be no repeat. In a growing
run (densely connected blocks) the numbers ignore channels, and the channels rise by the same step from copy to copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from darkparse.network.analysis.scales import find_scale_runs

if TYPE_CHECKING:
    from darkparse.network.network import Network

MAX_PERIOD = 12
REFERENCE_OPTIONS = ("layers", "from_", "share_index")
"""Options that refer to other layers; a node's inputs contain the absolute indices."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """`count` consecutive copies of `period` layers, from layer `first`."""

    first: int
    period: int
    count: int
    grows: bool = False
    """Whether the input channels rise by a fixed step from copy to copy (densely connected blocks)."""

    @property
    def last(self) -> int:
        """Index of the last layer of the last copy."""
        return self.first + self.period * self.count - 1

    @property
    def layers(self) -> range:
        return range(self.first, self.last + 1)

    @property
    def window(self) -> range:
        """Indices of the layers of the first copy."""
        return range(self.first, self.first + self.period)

    def copies(self, index: int) -> range:
        """Return the indices of a layer of the first copy and of its counterparts."""
        return range(index, self.last + 1, self.period)


def find_repeats(network: Network, layers: range | None = None) -> tuple[Repeat, ...]:
    """Find repeats that do not overlap, sorted by position.

    Repeats that cover more layers win, and growing repeats only cover layers without another repeat. A layer may only
    be read within its own copy, except a copy's last layer, which any layer of the same scale may read (like the layers
    that an ELAN stage joins), and the last layer of all copies, which any layer may read. A copy does not start or end
    inside a bottleneck.
    """
    span = layers if layers is not None else range(len(network.nodes))
    finder = _RepeatFinder(network, span)
    exact = _select_longest(finder.find_candidates(grows=False))
    covered = {i for repeat in exact for i in repeat.layers}
    growing = _select_longest(r for r in finder.find_candidates(grows=True) if covered.isdisjoint(r.layers))
    return tuple(sorted((*exact, *growing), key=lambda repeat: repeat.first))


def _select_longest(candidates: Iterator[Repeat]) -> list[Repeat]:
    """Select the longest runs that do not overlap; among equals the shortest block, then the first one."""
    selected: list[Repeat] = []
    covered: set[int] = set()
    for repeat in sorted(candidates, key=lambda r: (-len(r.layers), r.period, r.first)):
        if (
            repeat.first not in covered and repeat.last not in covered
        ):  # selected runs are not shorter, so none is in between
            selected.append(repeat)
            covered.update(repeat.layers)
    return selected


class _RepeatFinder:
    """Search for repeats in linear time: one pass over the layers for each period."""

    def __init__(self, network: Network, span: range) -> None:
        self.network = network
        self.span = span
        self.stops = [run.layers.stop for run in find_scale_runs(network) for _ in run.layers]
        """End of the scale run of each layer; a repeat stays within one run."""
        inside = {i for b in network.bottlenecks for i in range(b.first + 1, b.last + 1)}
        self.cuts = [i not in inside for i in range(len(network.nodes) + 1)]
        """Whether a copy may begin, and the previous copy end, at a layer."""
        self.saves = {b.first: b.saves for b in reversed(network.bottlenecks)}
        self.shapes: dict[int, int] = {}
        """Number of each layer, equal for layers that repeat. A head has a unique number."""
        self.trends: dict[int, int] = {}
        """Number of each layer, equal for layers that repeat with growing channels."""
        numbers: dict[Any, int] = {}
        for index in span:
            node = network.nodes[index]
            signature = (*self._compute_signature(index), index if node.layer.role == "head" else None)
            self.shapes[index] = numbers.setdefault((*signature, node.in_shapes, node.out_shape), len(numbers))
            self.trends[index] = numbers.setdefault((*signature, *self._compute_trend(index)), len(numbers))

    def find_candidates(self, *, grows: bool) -> Iterator[Repeat]:
        """Yield the longest run from each start, for each period."""
        for period in range(1, MAX_PERIOD + 1):
            min_count = 3 if grows or period == 1 else 2
            for first, copies in self._find_copies(period, grows=grows):
                count = copies
                while count >= min_count and not self.cuts[first + period * count]:
                    count -= 1
                if count >= min_count:
                    yield Repeat(first, period, count, grows)

    def _find_copies(self, period: int, *, grows: bool) -> Iterator[tuple[int, int]]:
        """Yield starts and the number of consecutive equal copies there that do not leak."""
        starts = range(self.span.start, self.span.stop - period)
        signatures = self.trends if grows else self.shapes
        rises = {
            i: compute_rise(self.network, i, i + period) if grows else ()
            for i in starts
            if signatures[i] == signatures[i + period]
        }
        if len(rises) < period:
            return
        alike = _compute_run_lengths(starts, lambda i: rises.get(i) is not None)
        steady = _compute_run_lengths(starts, lambda i: rises.get(i) == rises.get(i + period, ()))
        level = _compute_run_lengths(starts, lambda i: not any(rises.get(i) or ()))
        leaks = cache(lambda residue: self._find_leaks(period, residue))
        for first in starts:
            if alike[first] < period or not self.cuts[first] or (grows and level[first] >= period):
                continue
            count = 1 + alike[first] // period
            if grows:
                count = min(count, 2 + steady[first] // period)
            stop = min(self.stops[first], leaks(first % period)[first] + 1)
            yield first, min(count, (stop - first) // period)

    def _find_leaks(self, period: int, residue: int) -> dict[int, int]:
        """Return, for each layer, the next one that is read outside its copy.

        Copies start at multiples of the period plus `residue`.
        """
        leak, next_leaks = len(self.network.nodes), {}
        for index in reversed(self.span):
            place = (index - residue) % period
            is_last = place == period - 1
            limit = max(index + period + 1, self.stops[index]) if is_last else index - place + period
            if max(self.network.readers[index], default=-1) >= limit:
                leak = index
            next_leaks[index] = leak
        return next_leaks

    def _compute_signature(self, index: int) -> tuple[Any, ...]:
        """Return all properties of a layer except its position and its input channels."""
        node = self.network.nodes[index]
        options = tuple(getattr(node.layer, f.name) for f in fields(node.layer) if f.name not in REFERENCE_OPTIONS)
        shared = None if node.shared_with is None else node.shared_with - index
        return (node.kind, options, tuple(i - index for i in node.inputs), shared)

    def _compute_trend(self, index: int) -> tuple[Any, ...]:
        """Return the map size, the direction of the channel change, and whether a bottleneck that starts here saves."""
        node, change = self.network.nodes[index], self.network.reductions[index].channels
        return (node.out_shape.h, node.out_shape.w, change.direction if change else None, self.saves.get(index))


def compute_rise(network: Network, a: int, b: int) -> tuple[int, ...] | None:
    """Compute by how many channels inputs and output of layer `b` exceed those of `a`; None if any has fewer."""
    x, y = network.nodes[a], network.nodes[b]
    pairs = zip((*x.in_shapes, x.out_shape), (*y.in_shapes, y.out_shape), strict=True)
    rises = tuple(after.c - before.c for before, after in pairs)
    return None if any(rise < 0 for rise in rises) else rises


def _compute_run_lengths(layers: range, holds: Callable[[int], bool]) -> dict[int, int]:
    """Return, for each layer, for how many consecutive layers from there a condition holds."""
    lengths, length = {}, 0
    for index in reversed(layers):
        length = length + 1 if holds(index) else 0
        lengths[index] = length
    return lengths
