"""Named blocks of a network: repeated structures, and their numbers of consecutive copies.

The search of `blocks` replaces layers by blocks from the inside out: a residual block by one item, eight consecutive
ones by one, and the CSP block around those by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import TYPE_CHECKING

from darkparse.layers import Shape
from darkparse.network.analysis.blocks import BlockSearch, block_name, count_readers, entry_of
from darkparse.network.node import Node

if TYPE_CHECKING:
    from darkparse.network.network import Network

MAX_ROUNDS = 32
"""Maximum number of kinds of blocks; each requires a search of the whole network."""

REPEAT = " repeat"
"""Last part of the key of an item that represents consecutive copies."""


@dataclass(frozen=True, slots=True)
class NamedBlock:
    """One block, or several consecutive copies of it."""

    name: str
    """Name of the structure: `Residual`, `CSP`, `SPP`."""
    layers: tuple[int, ...]
    """Layers of all copies."""
    count: int = 1
    """Number of consecutive copies."""
    depth: int = 1
    """Number of copies of the inner blocks; 1 if there are none."""


@dataclass(frozen=True, slots=True)
class LayerItem:
    """Layer, or block of layers, as the search for blocks sees it."""

    layers: tuple[int, ...]
    reads: tuple[int, ...]
    tags: frozenset[str]
    loose: str
    in_shape: Shape
    out_shape: Shape
    kernels: tuple[float, ...] = ()
    is_repeat: bool = False
    block: NamedBlock | None = None
    inner: tuple[NamedBlock, ...] = ()
    """Blocks inside this one."""

    @property
    def last(self) -> int:
        return self.layers[-1]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(block.name for block in (*self.inner, *([self.block] if self.block else [])))


def find_named_blocks(network: Network) -> tuple[NamedBlock, ...]:
    """Find the blocks of a network, in order; a block contains those inside it."""
    finder = _BlockFinder(network)
    finder.find()
    return tuple(sorted(finder.blocks(), key=lambda block: (block.layers[0], -len(block.layers))))


class _BlockFinder:
    def __init__(self, network: Network) -> None:
        self.sources = find_sources(network)
        self.outputs = frozenset(self.sources[i] for i in network.outputs)
        nodes = (node for node in network.nodes if self.sources[node.index] == node.index)
        self.items = [_layer_item(node, self.sources) for node in nodes]

    def find(self) -> None:
        """Replace blocks by items until none are left."""
        rounds = 0
        while rounds < MAX_ROUNDS and (match := BlockSearch(self.items, self.outputs).find()) is not None:
            rounds += 1
            self._replace(*match, key=f"block {rounds}")

    def blocks(self) -> Iterator[NamedBlock]:
        """Yield the blocks of all items with those inside them."""
        for item in self.items:
            yield from item.inner
            if item.block is not None:
                yield item.block

    def _replace(self, starts: Sequence[int], length: int, key: str) -> None:
        items = list(self.items)
        for start in reversed(starts):
            items[start : start + length] = [_merge(items[start : start + length], key)]
        self.items = _join_copies(items, count_readers(items), self.outputs)


def find_sources(network: Network) -> dict[int, int]:
    """Map each layer to the layer that computes its output: itself, or the layer whose output it returns."""
    sources = {-1: -1}
    for node in network.nodes:
        passes = not node.modules and node.inputs
        sources[node.index] = sources[node.inputs[0]] if passes else node.index
    return sources


def _layer_item(node: Node, sources: dict[int, int]) -> LayerItem:
    layer = node.layer
    reads = tuple(sources[i] for i in node.inputs) or (-1,)
    size = getattr(layer, "size", 0) if layer.role in ("conv", "pool") else 0
    is_grouped = getattr(layer, "groups", 1) > 1
    loose = f"{node.kind} {getattr(layer, 'activation', '')} {is_grouped} {len(reads)}"
    shape = node.in_shape or node.out_shape
    tags = frozenset((layer.role,)) - {""}
    kernels = (size,) if size else ()
    return LayerItem(
        (node.index,),
        reads,
        tags,
        intern(loose),
        shape,
        node.out_shape,
        kernels,
    )


def _merge(window: Sequence[LayerItem], key: str) -> LayerItem:
    """Return the item of a block."""
    tags = frozenset[str]().union(*(item.tags for item in window))
    inner = tuple(block for item in window for block in (*item.inner, *([item.block] if item.block else [])))
    layers = tuple(i for item in window for i in item.layers)
    depth = max((item.block.count for item in window if item.block), default=1)
    block = NamedBlock(block_name(window), layers, 1, depth)
    entry = entry_of(window)
    first = next(item for item in window if entry in item.reads)
    is_stack = "add" in tags or "stack" in tags or (entry in window[-1].reads and "conv" in tags)
    return LayerItem(
        layers,
        (entry,),
        tags & {"head", "upsample"} | {"block"} | ({"stack"} if is_stack else set()),
        key,
        first.in_shape,
        window[-1].out_shape,
        block=block,
        inner=inner,
    )


def _join_copies(items: Sequence[LayerItem], readers: dict[int, int], outputs: frozenset[int]) -> list[LayerItem]:
    """Join consecutive copies into one item; a single copy becomes an item with count 1."""
    joined: list[LayerItem] = []
    for item in items:
        block = item.block
        if block is None or item.in_shape != item.out_shape or block.name in ("SqueezeExcite", "SpatialGate"):
            joined.append(item)
            continue
        before = joined[-1] if joined else None
        if (
            before is not None
            and before.is_repeat
            and before.block is not None
            and before.loose == item.loose.removesuffix(REPEAT) + REPEAT
            and item.reads == (before.last,)
            and readers.get(before.last, 0) == 1
            and before.last not in outputs
        ):
            layers = (*before.layers, *item.layers)
            whole = replace(before.block, layers=layers, count=before.block.count + block.count)
            inner = (*before.inner, *item.inner)
            joined[-1] = replace(before, layers=layers, out_shape=item.out_shape, block=whole, inner=inner)
        elif item.is_repeat:
            joined.append(item)
        else:
            key = intern(item.loose + REPEAT)
            joined.append(replace(item, loose=key, is_repeat=True))
    return joined
