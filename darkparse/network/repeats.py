"""Runs of layers that repeat: the same block again and again, or a block whose input grows by a fixed step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from darkparse.network.scales import find_runs

if TYPE_CHECKING:
    from darkparse.network.network import Network

MAX_PERIOD = 12
REFERENCES = ("layers", "from_", "share_index")
"""Options that name other layers: what they mean is in a node's inputs."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """`count` copies of `period` layers in a row, from layer `first`."""

    first: int
    period: int
    count: int
    grows: bool = False
    """From copy to copy the channels that come in rise by a fixed step (densely connected blocks)."""

    @property
    def last(self) -> int:
        """The last layer of the last copy."""
        return self.first + self.period * self.count - 1

    @property
    def layers(self) -> range:
        return range(self.first, self.last + 1)

    @property
    def window(self) -> range:
        """The layers of the first copy."""
        return range(self.first, self.first + self.period)

    def copies(self, index: int) -> range:
        """A layer of the first copy and its counterparts."""
        return range(index, self.last + 1, self.period)


def find_repeats(network: Network, layers: range | None = None) -> tuple[Repeat, ...]:
    """Repeats without overlap, in order, those that cover most layers first; growing ones where no others are.

    A layer of a run may be read within its own copy only, except a copy's last layer, which may feed the next copy,
    and the last layer of all, which may feed any. No copy begins or ends inside a bottleneck.
    """
    span = layers if layers is not None else range(len(network.nodes))
    finder = _Finder(network, span)
    exact = _longest_first(finder.candidates(grows=False))
    taken = {i for repeat in exact for i in repeat.layers}
    growing = _longest_first(r for r in finder.candidates(grows=True) if taken.isdisjoint(r.layers))
    return tuple(sorted((*exact, *growing), key=lambda repeat: repeat.first))


def _longest_first(candidates: Iterator[Repeat]) -> list[Repeat]:
    """The longest runs that do not overlap; among equals the shortest block, then the earliest."""
    chosen: list[Repeat] = []
    taken: set[int] = set()
    for repeat in sorted(candidates, key=lambda r: (-len(r.layers), r.period, r.first)):
        if taken.isdisjoint(repeat.layers):
            chosen.append(repeat)
            taken.update(repeat.layers)
    return chosen


class _Finder:
    def __init__(self, network: Network, span: range) -> None:
        self.network = network
        self.span = span
        self.run_of = [number for number, run in enumerate(find_runs(network)) for _ in run.layers]
        inside = {i for b in network.bottlenecks for i in range(b.first + 1, b.last + 1)}
        self.cuts = [i not in inside for i in range(len(network.nodes) + 1)]
        """Whether a copy may begin (and the one before end) at a layer."""
        self.exact = [(*self._signature(i), network.nodes[i].in_shapes, network.nodes[i].out_shape) for i in span]
        self.loose = [self._signature(i) + self._trend(i) for i in span]

    def candidates(self, *, grows: bool) -> Iterator[Repeat]:
        """The longest run from every start for every period."""
        signatures = self.loose if grows else self.exact
        for period in range(2, MAX_PERIOD + 1):
            for offset in range(len(self.span) - 2 * period + 1):
                first = self.span.start + offset
                if not self.cuts[first] or signatures[offset] != signatures[offset + period]:
                    continue
                count = self._count(signatures, offset, period, grows)
                while count >= 2 and not self._closed(first, period, count):
                    count -= 1
                if count >= (3 if grows else 2):
                    yield Repeat(first, period, count, grows)

    def _count(self, signatures: Sequence[Any], offset: int, period: int, grows: bool) -> int:
        """How many copies follow one another with the same signatures, all in one run of a scale."""
        window = signatures[offset : offset + period]
        nodes, first = self.network.nodes, self.span.start + offset
        is_uniform = self.run_of[first] == self.run_of[first + 2 * period - 1]
        if not is_uniform or any(node.layer.is_head for node in nodes[first : first + period]):
            return 1
        if signatures[offset + period : offset + 2 * period] != window:
            return 1
        step = self._step(first, first + period, period) if grows else None
        if grows and (step is None or not any(step)):
            return 1
        count = 1
        while signatures[offset + count * period : offset + (count + 1) * period] == window:
            start = first + count * period
            if self.run_of[start + period - 1] != self.run_of[first]:
                break
            if grows and self._step(start - period, start, period) != step:
                break
            count += 1
        return count

    def _step(self, a: int, b: int, period: int) -> tuple[int, ...] | None:
        """By how much the channels of each layer's inputs rise from the copy at `a` to that at `b`; None if any falls."""
        nodes = self.network.nodes
        rises = tuple(
            y.c - x.c
            for i in range(period)
            for x, y in zip(
                (*nodes[a + i].in_shapes, nodes[a + i].out_shape), (*nodes[b + i].in_shapes, nodes[b + i].out_shape), strict=True
            )
        )
        return None if any(rise < 0 for rise in rises) else rises

    def _closed(self, first: int, period: int, count: int) -> bool:
        """Whether the run is cut off from the rest as `find_repeats` says."""
        end = first + period * count
        if not self.cuts[end]:
            return False
        for index in range(first, end - 1):
            copy_end = index + period - (index - first) % period
            is_last = index == copy_end - 1
            limit = copy_end + period if is_last else copy_end
            if any(reader >= limit for reader in self.network.readers[index]):
                return False
        return True

    def _signature(self, index: int) -> tuple[Any, ...]:
        """Everything about a layer but its place and the channels that come in."""
        node = self.network.nodes[index]
        options = tuple(getattr(node.layer, f.name) for f in fields(node.layer) if f.name not in REFERENCES)
        shared = None if node.shares is None else node.shares - index
        return (node.kind, options, tuple(i - index for i in node.inputs), shared)

    def _trend(self, index: int) -> tuple[Any, ...]:
        """Size of the map, what happens to its channels, and whether a bottleneck that begins here saves."""
        node, change = self.network.nodes[index], self.network.reductions[index].channels
        saves = next((b.saves for b in self.network.bottlenecks if b.first == index), None)
        return (node.out_shape.h, node.out_shape.w, change.direction if change else None, saves)
