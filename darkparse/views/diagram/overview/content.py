"""Content of the overview, independent of layout: boxes of stages, and links between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from darkparse.layers import Head, Shape
from darkparse.network import Network, Node
from darkparse.network.analysis.named_blocks import NamedBlock, find_sources
from darkparse.network.analysis.stages import Part, Stage, find_stages
from darkparse.network.analysis.summary import is_pointwise
from darkparse.network.node import Cost
from darkparse.views.diagram.elements import COLORED_MARKS, Link, LinkKind, Measure, Tone
from darkparse.views.formatting.numbers import flops_text, number_text, ratio_text, size_text
from darkparse.views.formatting.words import layer_span, verb

PART_NAMES: dict[Part, str] = {"backbone": "Backbone", "neck": "Neck", "head": "Heads"}
BLOCK_NAMES = {"ResidualMBConv": "MBConv", "SPPCSPC": "SPP"}
"""Usual names of blocks for which the search for blocks uses another name."""
ROLE_NAMES = {
    "upsample": "Upsample",
    "global": "Avg pool",
    "pool": "Max pool",
    "conv": "Conv",
    "dense": "Dense",
    "reorg": "Reorg",
    "cat": "Concat",
    "add": "Add",
    "gate": "Gate",
}
MAX_KINDS = 2
"""Maximum number of kinds of layers to name in a box."""
MECHANISMS = {"stride": "stride", "pool": "pooling", "global pool": "averaging", "upsampling": "repeating"}


@dataclass(frozen=True, slots=True)
class Tick:
    """Mark of a layer: what it does to height × width (upper half) and to channels (lower half)."""

    index: int
    spatial: Tone
    channels: Tone


@dataclass(frozen=True, slots=True)
class TickGroup:
    """Ticks of consecutive layers, or of all copies of a repeated block."""

    ticks: tuple[Tick, ...]
    count: int = 1
    """Number of copies."""

    @property
    def first_copy(self) -> tuple[Tick, ...]:
        return self.ticks[: len(self.ticks) // self.count]


@dataclass(frozen=True, slots=True)
class StageCard:
    """Box of a stage."""

    number: int
    part: Part
    size: tuple[int, int]
    layers: tuple[int, ...]
    shape: str
    """Output height × width × channels."""
    scale: str
    """Scale relative to the input, such as `(1/16)`."""
    block: str
    """Structure of the stage: `CSP × 8`."""
    change: str
    """What the stage reduces: `1×1: 9 of 10 reduce`."""
    price: str
    """Weights and FLOPs."""
    cost: Cost
    share: float
    """Share of the network's weights or FLOPs."""
    groups: tuple[TickGroup, ...]
    mark: str = ""
    """Key of `elements.MARKS` if the stage differs from the other network of a comparison."""

    @property
    def is_colored(self) -> bool:
        """Whether the stage differs in kind from the other network of a comparison."""
        return self.mark in COLORED_MARKS

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of text, without empty ones."""
        title = " ".join(filter(None, (self.mark, self.shape, self.scale)))
        return tuple(filter(None, (title, self.block, self.change, self.price)))

    @property
    def name(self) -> str:
        return f"stage{self.number}"

    @property
    def span(self) -> str:
        """Range of layers: `L62–L74`, with the number of layers if others lie between."""
        first, last = self.layers[0], self.layers[-1]
        missing = last - first + 1 - len(self.layers)
        return layer_span(first, last) + (f" ({len(self.layers)} layers)" if missing else "")

    @property
    def hint(self) -> str:
        """Tooltip text."""
        return f"{PART_NAMES[self.part].removesuffix('s')} {self.span}: {', '.join(self.lines)}"


@dataclass(frozen=True, slots=True)
class Overview:
    """Stages of one network with the links between them; a link's ends are numbers of stages, -1 is the input."""

    stages: tuple[StageCard, ...]
    links: tuple[Link, ...]


def build_overview(
    network: Network, *, layers: range | None = None, by: Measure = "weights", marks: Mapping[int, str] | None = None
) -> Overview:
    """Build the overview of a network.

    Args:
        network: Network to draw.
        layers: Layers to draw; None for all.
        by: Quantity whose shares the bars show.
        marks: Signs of layers that differ from another network, by index.
    """
    builder = _OverviewBuilder(network, by, marks or {})
    span = layers if layers is not None else range(len(network.nodes))
    stages = [stage for stage in find_stages(network) if any(i in span for i in stage.layers)]
    cards = tuple(builder.build_card(number, stage, span) for number, stage in enumerate(stages))
    return Overview(cards, tuple(builder.build_links(cards)))


class _OverviewBuilder:
    def __init__(self, network: Network, by: Measure, marks: Mapping[int, str]) -> None:
        self.network = network
        self.by = by
        self.marks = marks
        self.sources = find_sources(network)
        self.total_price = max(1, sum(map(self._price, network.nodes)))

    def _price(self, node: Node) -> int:
        return node.weights if self.by == "weights" else node.flops

    def build_card(self, number: int, stage: Stage, span: range) -> StageCard:
        """Build the box of a stage, with those of its layers that are in the span."""
        layers = tuple(i for i in stage.layers if i in span)
        nodes = [self.network.nodes[i] for i in layers]
        cost = sum((node.cost for node in nodes), Cost())
        output = self.network.nodes[stage.output]
        signs = {self.marks.get(i, "") for i in layers}
        return StageCard(
            number,
            stage.part,
            stage.size,
            layers,
            shape=_shape_text(output.out_shape),
            scale=self._scale_text(stage),
            block=self._block_text(stage, nodes),
            change=self._change_text(nodes),
            price=_price_text(sum(node.weights for node in nodes), cost.macs),
            cost=cost,
            share=sum(map(self._price, nodes)) / self.total_price,
            groups=tuple(self._tick_groups(layers)),
            mark=_merge_signs(signs),
        )

    def _scale_text(self, stage: Stage) -> str:
        stride = self.network.strides[stage.output]
        if stride is None or stage.size == (1, 1):
            return ""
        return f"({' by '.join(dict.fromkeys(map(ratio_text, stride)))})"

    def _block_text(self, stage: Stage, nodes: list[Node]) -> str:
        head = next((node for node in nodes if isinstance(node.layer, Head)), None)
        if head is not None and isinstance(head.layer, Head):
            return head.layer.formula
        mobile = [b for b in self.network.bottlenecks if b.form == "inverted" or (b.gated and b.is_depthwise)]
        if count := sum(b.last in stage.layers for b in mobile):
            return _times("MBConv", count)
        blocks = self._main_blocks(stage.blocks)
        if blocks:
            return _times(BLOCK_NAMES.get(blocks[0].name, blocks[0].name), sum(b.count * b.depth for b in blocks))
        return _kinds_text(nodes)

    def _main_blocks(self, blocks: tuple[NamedBlock, ...]) -> list[NamedBlock]:
        """Return the blocks with the name that most layers are in."""
        sizes: dict[str, int] = {}
        for block in blocks:
            sizes[block.name] = sizes.get(block.name, 0) + len(block.layers)
        name = max(sizes, key=sizes.__getitem__, default="")
        return [block for block in blocks if block.name == name]

    def _change_text(self, nodes: list[Node]) -> str:
        head = next((node for node in nodes if node.layer.role == "head"), None)
        if head is not None:
            return head.summary
        changes = [self.network.reductions[node.index].channels for node in nodes if is_pointwise(node)]
        directions = [change.direction for change in changes if change and change.direction != "projected"]
        if directions:
            reducing = directions.count("reduced")
            return f"1×1: {reducing} of {len(directions)} {verb(len(directions), 'reduces')}"
        return self._spatial_text(nodes) or self._vector_text(nodes)

    def _spatial_text(self, nodes: list[Node]) -> str:
        """Describe what changes height × width: `608→304 by stride`."""
        for node in nodes:
            change = self.network.reductions[node.index].spatial
            if change and change.direction != "kept":
                mechanism = MECHANISMS.get(change.mechanism)
                after = size_text(change.after) if node.out_shape.is_map else "vector"
                return f"{size_text(change.before)}→{after}{f' by {mechanism}' if mechanism else ''}"
        return ""

    def _vector_text(self, nodes: list[Node]) -> str:
        """Return the change of a vector's length, or of the channels: `98→1,024 values`."""
        first, last = nodes[0].in_shape, nodes[-1].out_shape
        if first is None:
            return ""
        if last.is_map:
            return f"{first.c}→{last.c} channels"
        return f"{first.size:,}→{last.size:,} values"

    def _tick_groups(self, layers: tuple[int, ...]) -> Iterator[TickGroup]:
        """Group the ticks of a stage by the repeated blocks that lie in it."""
        inside = set(layers)
        repeat_of = {i: r for r in self.network.repeats if inside.issuperset(r.layers) for i in r.layers}
        for repeat, group in groupby(layers, repeat_of.get):
            yield TickGroup(tuple(map(self._tick, group)), repeat.count if repeat else 1)

    def _tick(self, index: int) -> Tick:
        changes = self.network.reductions[index]
        spatial, channels = (change.direction if change else "kept" for change in (changes.spatial, changes.channels))
        return Tick(index, spatial, channels)

    def build_links(self, cards: tuple[StageCard, ...]) -> Iterator[Link]:
        """Yield a link for each pair of stages of which one reads the other."""
        stage_of = {i: card.number for card in cards for i in card.layers}
        parts = {card.number: card.part for card in cards}
        previous = self._previous_stages(cards)
        pairs: dict[tuple[int, int], Link] = {}
        for node in self.network.nodes:
            target = stage_of.get(node.index)
            for index in node.inputs:
                source = stage_of.get(self.sources[index], -1 if self.sources[index] < 0 else None)
                if target is None or source is None or source == target or self.sources[node.index] != node.index:
                    continue
                kind: LinkKind = "chain" if previous.get(target) == source else "reused"
                kind = "head" if parts[target] == "head" and parts.get(source) != "head" else kind
                shape = self.network.nodes[index].out_shape if index >= 0 else self.network.input_shape
                pairs.setdefault((source, target), Link(source, target, str(shape), kind))
        yield from pairs.values()

    def _previous_stages(self, cards: Iterable[StageCard]) -> dict[int, int]:
        """Map each stage to the previous stage, ignoring detection heads; the first follows the input."""
        previous, last = {}, -1
        for card in cards:
            previous[card.number] = last
            if not any(i in self.network.heads for i in card.layers):
                last = card.number
        return previous


def _merge_signs(signs: set[str]) -> str:
    """Return the sign of a stage from those of its layers; it is new if all layers are."""
    if signs == {"+"}:
        return "+"
    if signs & set(COLORED_MARKS):
        return "≠"
    return "±" if signs - {""} else ""


def _times(name: str, count: int) -> str:
    return f"{name} × {count}" if count > 1 else name


def _kinds_text(nodes: Iterable[Node]) -> str:
    """Return the most frequent kinds of layers with their numbers: `Upsample, Conv × 7`."""
    counts: dict[str, int] = {}
    for node in nodes:
        if not node.modules or node.layer.role in ("loss", "cat"):
            continue
        role = node.layer.role if node.layer.role != "dense" or node.weights else ""
        kind = node.kind.replace("_", " ")
        name = ROLE_NAMES.get(role, kind.upper() if node.layer.mechanism == "recurrence" else kind.capitalize())
        counts[name] = counts.get(name, 0) + 1
    names = sorted(counts, key=lambda name: -counts[name])[:MAX_KINDS]
    return ", ".join(_times(name, count) for name, count in counts.items() if name in names)


def _shape_text(shape: Shape) -> str:
    return str(shape) if shape.is_map else f"{shape.size:,} values"


def _price_text(weights: int, macs: int) -> str:
    """Format weights and FLOPs: `7.01M · 20.3 GFLOPs`."""
    return " · ".join([*([number_text(weights)] if weights else []), *([flops_text(macs)] if macs else [])])
