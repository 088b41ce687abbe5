"""Detection of repeated blocks in a network, and their usual names.

A block is a run of items with one input and one output. Two blocks are copies if their items, and the references
between them, agree. Channels, and the number of repetitions of an inner block, may differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from darkparse.layers import Shape

MAX_PERIOD = 24
POOLS = {"pool", "cat"}
ELAN_PATHS = 4
"""Minimum number of maps that an ELAN block joins (YOLOv7); a CSP block joins two."""

NumberOfRun = dict[tuple[int, str, tuple[int, ...]], int]
"""Numbers of runs of items, each by the number of the run without its last item, that item, and the values in the run
that it reads.
"""


class BlockItem(Protocol):
    """Layer, or block that represents several layers, in the search for blocks."""

    @property
    def last(self) -> int:
        """Index of the last layer, whose output other items read."""

    @property
    def reads(self) -> tuple[int, ...]:
        """Indices of the layers that the item reads; -1 is the input."""

    @property
    def tags(self) -> frozenset[str]:
        """Roles of the layers in the item: `conv`, `add`, `cat`, `gate`, `pool`, `head`, …; `block` for a block."""

    @property
    def loose(self) -> str:
        """Properties that two copies have in common."""

    @property
    def in_shape(self) -> Shape: ...

    @property
    def out_shape(self) -> Shape: ...

    @property
    def kernels(self) -> tuple[float, ...]:
        """Kernel sizes of the convolutions and pools."""

    @property
    def is_repeat(self) -> bool:
        """Whether the item represents consecutive copies of one block."""

    @property
    def names(self) -> frozenset[str]:
        """Names of the module classes."""


@dataclass(slots=True)
class _Run:
    """Run of items with a single input.

    Attributes:
        start: Position of the first item.
        entry: Index of the layer that the run reads; None before the first read.
        places: Position in the run of each value, by layer index.
        last_read: Position of the last item that reads a value of the run.
        key: Number that is equal for copies.
        is_block: Whether only the last value is read outside the run.
        only_pools: Whether all items are pools or concatenations.
    """

    start: int
    entry: int | None = None
    places: dict[int, int] = field(default_factory=dict)
    last_read: int = -1
    key: int = -1
    is_block: bool = False
    only_pools: bool = True


class BlockSearch:
    """Search for blocks in which paths split and join again.

    Args:
        items: Layers and blocks, in order.
        outputs: Indices of the network's output layers.
    """

    def __init__(self, items: Sequence[BlockItem], outputs: frozenset[int]) -> None:
        self.items = items
        self.last_reads = find_last_reads(items, outputs)

    def find(self) -> tuple[list[int], int] | None:
        """Find the starts and the length of the shortest blocks."""
        for length, groups in self._groups():
            found = [
                starts
                for starts in groups.values()
                if self._joins(starts[0], length) and self._is_worth(starts, length)
            ]
            if found:
                return self._widened(max(found, key=len), length)
        return None

    def _joins(self, start: int, length: int) -> bool:
        """Return whether the last item joins two paths, one of which starts at the first item."""
        window = self.items[start : start + length]
        entry = entry_of(window)
        reads_entry = sum(entry in item.reads for item in window)
        return len(window[-1].reads) > 1 and (reads_entry > 1 or any(len(item.reads) > 1 for item in window))

    def _is_worth(self, starts: list[int], length: int) -> bool:
        if len(starts) > 1:
            return True
        only_pools = all(item.tags <= POOLS for item in self.items[starts[0] : starts[0] + length])
        return only_pools and length > 2

    def _widened(self, starts: list[int], length: int) -> tuple[list[int], int]:
        """Extend a block of parallel paths by the items before and after it that all copies share."""
        if len(starts) < 2 or "cat" not in self.items[starts[0] + length - 1].tags:
            return starts, length
        while True:
            if not self._are_copies(starts, length + 1) or self._is_turn(starts[0] + length):
                break
            length += 1
        while min(starts) > 0:
            earlier = [start - 1 for start in starts]
            if not self._are_copies(earlier, length + 1):
                break
            starts, length = earlier, length + 1
        return starts, length

    def _is_turn(self, position: int) -> bool:
        """Return whether an item cannot extend the block before it: part of a head, or an item that resizes the map."""
        item = self.items[position]
        return item.is_repeat or bool(item.tags & {"head", "upsample", "pool"}) or changes_scale(item)

    def _are_copies(self, starts: list[int], length: int) -> bool:
        """Return whether blocks of this length at these starts are copies that do not overlap."""
        runs = [_Run(start) for start in starts]
        for size in range(1, length + 1):
            numbers: NumberOfRun = {}
            if not all(self._grows(run, size, numbers) for run in runs) or len(numbers) > 1:
                return False
        return all(run.is_block for run in runs) and all(b - a >= length for a, b in pairwise(starts))

    def _groups(self) -> Iterator[tuple[int, dict[int, list[int]]]]:
        """Yield, for each length of at least two items, the starts of blocks that do not overlap, by number of the run.

        Runs without a copy are not extended further.
        """
        runs = [_Run(start) for start in range(len(self.items))]
        for length in range(1, MAX_PERIOD):
            numbers: NumberOfRun = {}
            runs = [run for run in runs if self._grows(run, length, numbers)]
            copies = Counter(run.key for run in runs)
            runs = [run for run in runs if copies[run.key] > 1 or run.only_pools]
            groups: dict[int, list[int]] = defaultdict(list)
            for run in runs:
                if run.is_block:
                    starts = groups[run.key]
                    if not starts or run.start - starts[-1] >= length:
                        starts.append(run.start)
            if length > 1:
                yield length, groups

    def _grows(self, run: _Run, length: int, numbers: NumberOfRun) -> bool:
        """Extend a run to this length; return False at the end of the items or if the run would get a second input."""
        if run.start + length > len(self.items):
            return False
        item = self.items[run.start + length - 1]
        for i in item.reads:
            if i in run.places:
                continue
            if run.entry is not None and run.entry != i:
                return False
            run.entry = i
        common = (run.key, item.loose, tuple(run.places.get(i, -1) for i in item.reads))
        run.key = numbers.setdefault(common, len(numbers))
        run.is_block = run.last_read < run.start + length
        run.places[item.last] = length
        run.last_read = max(run.last_read, self.last_reads.get(item.last, -1))
        run.only_pools = run.only_pools and item.tags <= POOLS
        return True


def block_name(window: Sequence[BlockItem]) -> str:
    """Return the usual name of a block."""
    tags = frozenset().union(*(item.tags for item in window))
    last = window[-1]
    names = frozenset[str]().union(*(item.names for item in window))
    kernels = [size for item in window for size in item.kernels]
    repeats = any(item.is_repeat for item in window)
    if "head" in tags:
        return "Head"
    if "gate" in last.tags:
        return "SqueezeExcite" if "global" in tags else "SpatialGate"
    if tags <= POOLS:
        return "SPP"
    if "add" in last.tags:
        plain = "Bottleneck" if len(kernels) == 3 else "Residual"
        kind = "ResidualMBConv" if "SqueezeExcite" in names else plain
        return f"Widening{kind}" if "PartialAdd" in names else kind
    if "cat" in tags and repeats:
        return "CSP"
    if "cat" in last.tags and entry_of(window) in last.reads:
        return "Dense"
    if "cat" in tags and any(name.startswith("SPP") for name in names):
        return "SPPCSPC"
    if any("cat" in item.tags and len(item.reads) >= ELAN_PATHS for item in window):
        return "ELAN"
    if "cat" in tags:
        return "CSP" if len(window) > 4 else "Split"
    if "SqueezeExcite" in names:
        return "MBConv"
    if repeats:
        return "Stage"
    return {2: "ConvPair", 3: "ConvTriple"}.get(len(window), "ConvSet")


def entry_of(window: Sequence[BlockItem]) -> int:
    """Return the only value that enters the window."""
    inner = {item.last for item in window}
    return next(i for item in window for i in item.reads if i not in inner)


def changes_scale(item: BlockItem) -> bool:
    """Return whether an item changes height or width, other than by upsampling."""
    before, after = item.in_shape, item.out_shape
    return "upsample" not in item.tags and (before.h, before.w) != (after.h, after.w)


def count_readers(items: Sequence[BlockItem]) -> dict[int, int]:
    """Return how many items read each layer."""
    counts: dict[int, int] = defaultdict(int)
    for item in items:
        for i in set(item.reads):
            counts[i] += 1
    return counts


def find_last_reads(items: Sequence[BlockItem], outputs: frozenset[int]) -> dict[int, int]:
    """Return the position of the last item that reads each layer; an output is read after all items."""
    last_reads = {i: position for position, item in enumerate(items) for i in item.reads}
    return last_reads | dict.fromkeys(outputs, len(items))
