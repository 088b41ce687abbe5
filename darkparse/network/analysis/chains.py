"""Detection of repeated chains: sequences of modules in which each one reads only the module before it.

Chains are searched after blocks with branches, so an item of a chain may represent such a block. Each search compares
only the parts of a network that are chains, because a network of many layers is searched once for each class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

from darkparse.network.analysis.blocks import (
    MAX_PERIOD,
    BlockItem,
    changes_scale,
    count_readers,
    find_last_reads,
)

MIN_CHAIN = 3


class ChainItem(BlockItem, Protocol):
    """Layer or block in the search for chains."""

    @property
    def is_module(self) -> bool:
        """Whether the item is a module without a surrounding expression."""

    @property
    def strict(self) -> str:
        """Properties in `loose`, kernel sizes and strides."""


class ChainSearch:
    """Search for chains among items.

    Args:
        items: Layers and blocks, in order.
        outputs: Indices of the network's output layers.
    """

    def __init__(self, items: Sequence[ChainItem], outputs: frozenset[int]) -> None:
        self.items = items
        self.readers = count_readers(items)
        self.stops = _find_stops(items, find_last_reads(items, outputs))

    def find(self) -> tuple[list[int], int] | None:
        """Find the starts and the length of chains: heads, stages, then the convolutions that save most."""
        best: tuple[tuple[int, int, int, bool, int], list[int]] | None = None
        modes = (True, False) if any(map(_is_single_block, self.items)) else (True,)
        for strict in modes:
            for length, starts in self._copies(strict=strict):
                rank = self._rank(starts, length, strict=strict)
                key = (rank, (len(starts) - 1) * length, length, strict, -starts[0])
                if rank and (best is None or key > best[0]):
                    best = key, starts
        return None if best is None else (best[1], best[0][2])

    def _copies(self, *, strict: bool) -> Iterator[tuple[int, list[int]]]:
        """Yield the length, of at least two items, and the starts of each chain with copies that do not overlap."""
        texts = [item.strict if strict else item.loose for item in self.items]
        groups = [list(range(len(self.items)))]
        for length in range(1, MAX_PERIOD):
            longer: dict[tuple[int, str], list[int]] = defaultdict(list)
            for number, starts in enumerate(groups):
                for start in starts:
                    if start + length <= self.stops[start]:
                        longer[number, texts[start + length - 1]].append(start)
            groups = [starts for starts in longer.values() if len(starts) > 1]
            for starts in groups:
                apart = _select_apart(starts, length)
                if length > 1 and len(apart) > 1:
                    yield length, apart

    def _rank(self, starts: list[int], length: int, *, strict: bool) -> int:
        """Return the rank of a chain.

        4 is a head with its projection, 3 a stage of blocks, 2 all convolutions between two joints, 1 some of them, and
        0 no block.
        """
        window, copies = self.items[starts[0] : starts[0] + length], len(starts)
        is_built_of_blocks = _is_built_of_blocks(window)
        if not (strict or is_built_of_blocks):
            return 0
        if "head" in window[-1].tags:
            return 4 if len(window) == MIN_CHAIN and window[0].tags == {"conv"} and "conv" in window[1].tags else 0
        if any(item.tags & {"head", "pool", "upsample", "global", "dense"} or not item.tags for item in window):
            return 0
        stacked = [item for item in window if item.is_repeat]
        if stacked:
            return 3 if len(window) == 2 and window[-1] is stacked[0] and copies >= MIN_CHAIN else 0
        if is_built_of_blocks:
            return 3 if length >= MIN_CHAIN else 0
        if any(changes_scale(item) for item in window):
            return 0
        kernels = [size for item in window for size in item.kernels]
        if len(set(kernels)) == 1 or len(kernels) != len(window):
            return 0
        if length >= MIN_CHAIN and all(self._is_joint(start) and self._is_joint(start + length) for start in starts):
            return 2
        return int(copies >= (4 if length < MIN_CHAIN else 2))

    def _is_joint(self, position: int) -> bool:
        """Return whether paths split or join before an item, or one of its neighbors is not a plain convolution."""
        if not 0 < position < len(self.items):
            return True
        before, item = self.items[position - 1 : position + 1]
        plain = before.tags == {"conv"} == item.tags and not changes_scale(before) and not changes_scale(item)
        return not plain or item.reads != (before.last,) or self.readers[before.last] > 1


def _find_stops(items: Sequence[ChainItem], last_reads: dict[int, int]) -> list[int]:
    """Return, for each item, the position after the longest chain that starts there."""
    stops = [0] * len(items)
    for position in reversed(range(len(items))):
        item, after = items[position], position + 1
        if not item.is_module or len(item.reads) != 1:
            stops[position] = position
        elif last_reads.get(item.last) == after < len(items) and items[after].reads == (item.last,):
            stops[position] = stops[after]
        else:
            stops[position] = after
    return stops


def _select_apart(starts: list[int], length: int) -> list[int]:
    """Return the starts of chains that do not overlap, from the first one on."""
    apart = starts[:1]
    for start in starts[1:]:
        if start - apart[-1] >= length:
            apart.append(start)
    return apart


def _is_single_block(item: ChainItem) -> bool:
    """Return whether an item is a single block and not a stack of blocks."""
    return "block" in item.tags and not item.is_repeat


def _is_built_of_blocks(window: Sequence[ChainItem]) -> bool:
    """Return whether items are convolutions around one block: an inverted bottleneck with squeeze-and-excitation."""
    blocks = [item for item in window if _is_single_block(item)]
    return len(blocks) == 1 and all(item in blocks or item.tags == {"conv"} for item in window)


def is_chain(items: Sequence[ChainItem], entry: int) -> bool:
    """Return whether every item is a module that reads only the previous item."""
    before = [entry, *(item.last for item in items[:-1])]
    return all(item.is_module and item.reads == (i,) for item, i in zip(items, before, strict=True))
