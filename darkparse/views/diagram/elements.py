"""Content of a diagram, independent of layout: one card per scale, one row per layer, and links between cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from darkparse.network.analysis.summary import NetworkSummary
from darkparse.views.formatting.numbers import sides_text
from darkparse.views.formatting.words import COLUMN_SEPARATOR
from darkparse.views.layer_info import LayerFacts
from darkparse.views.overlay import Overlay

Tone = Literal["reduced", "kept", "expanded", "projected"]
"""Meaning of a cell, which determines its color."""

MARKS = {"≠": "differs in kind", "±": "differs in size only", "+": "only here"}
"""Marks of layers that differ from the other network or are missing there."""
COLORED_MARKS = ("≠", "+")
"""Marks whose rows and boxes have the color of changes."""

Measure = Literal["weights", "flops"]
MEASURES: tuple[Measure, ...] = ("weights", "flops")

Detail = Literal["layers", "stages"]
"""One row per layer, or one box per stage."""
DETAILS: tuple[Detail, ...] = ("layers", "stages")

LinkKind = Literal["chain", "reused", "head"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Change of height × width or of channels."""

    text: str
    tone: Tone
    hint: str = ""
    """Tooltip text."""


@dataclass(frozen=True, slots=True)
class RowNote:
    """Note on what a bottleneck saves or costs."""

    text: str
    saves: bool


@dataclass(frozen=True, slots=True)
class DiagramRow:
    """Row of a layer. For a repeated block, the first copy represents all copies."""

    index: int
    label: str
    spatial: Cell
    channels: Cell
    price: str
    """Number of weights or FLOPs."""
    share: float
    """Share of the network's weights or FLOPs, including all copies."""
    hint: str
    facts: LayerFacts
    copies: Sequence[int]
    """Indices of the layers that the row represents: its own, and its counterparts in the other copies of the block."""
    notes: tuple[RowNote, ...] = ()
    mark: str = ""
    """Key of `MARKS` if the layer differs from the other network of a comparison."""
    overlay: str = ""
    """Text of the overlay column; `overlay_share` is the length of its bar."""
    overlay_share: float = 0

    @property
    def name(self) -> str:
        return f"L{self.index}"

    @property
    def is_colored(self) -> bool:
        """Whether the layer differs in kind from the other network of a comparison."""
        return self.mark in COLORED_MARKS

    @property
    def is_bold(self) -> bool:
        return bool(self.facts.node.weights)

    @property
    def is_join(self) -> bool:
        """Whether the layer concatenates, adds or gates its inputs."""
        return self.facts.node.layer.role in ("cat", "add", "gate")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that represent `count` copies of a block; a single row with count 1 if nothing repeats."""

    rows: tuple[DiagramRow, ...]
    count: int = 1
    last: int = 0
    """Index of the last layer of the last copy."""
    grows: bool = False

    @property
    def repeat_texts(self) -> tuple[str, str]:
        """Number of copies and last layer: `× 3`, `to L15`."""
        return f"× {self.count}", f"to L{self.last}"


@dataclass(frozen=True, slots=True)
class Card:
    """Consecutive layers at one scale."""

    size: tuple[int, int]
    scale: str
    """Scale relative to the input, such as `(1/8)`; empty if unknown."""
    span: str
    """Range of layers: `L3–L7`."""
    cost: tuple[str, ...]
    """Cost including all copies: `1.56M weights`, `9.81 GFLOPs`."""
    share: float
    """Share of the network's weights or FLOPs."""
    blocks: tuple[Block, ...]
    is_continued: bool = False
    """Whether the card continues one in the previous column."""

    def title(self, gap: str = COLUMN_SEPARATOR) -> str:
        """Return the title: `56×56   (1/8)`."""
        size = sides_text(self.size) if self.size != (1, 1) else "vector"
        return f"{size}{gap + self.scale if self.scale else ''}{', continued' if self.is_continued else ''}"

    @property
    def rows(self) -> tuple[DiagramRow, ...]:
        return tuple(row for block in self.blocks for row in block.rows)

    @property
    def name(self) -> str:
        return f"card{self.rows[0].name}"


@dataclass(frozen=True, slots=True)
class HeadCard:
    """Detection head beside a card."""

    index: int
    source: int
    """Index of the row whose output the head decodes."""
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"L{self.index}"


@dataclass(frozen=True, slots=True)
class Link:
    """Tensor that one card passes to another; source -1 is the network's input."""

    source: int
    target: int
    label: str
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class DiagramModel:
    """Content of the diagram of one network."""

    name: str
    answer: str
    """Summary in one sentence."""
    totals: tuple[str, ...]
    summary: NetworkSummary
    """Summary of the layers that are drawn."""
    facts: tuple[str, ...]
    input_text: str
    cards: tuple[Card, ...]
    heads: tuple[HeadCard, ...]
    links: tuple[Link, ...]
    has_repeats: bool
    layers: int
    """Number of layers of the whole network."""
    by: Measure
    """Quantity whose shares the bars show."""
    overlay: Overlay | None = None
    span: range = range(0)
    """Layers that are drawn."""
    signs: Mapping[int, str] = field(default_factory=dict)
    """Keys of `MARKS` for layers that differ from the other network, by index."""
    has_title: bool = True
    """Whether to print name, summary and facts above the diagram."""
    has_legend: bool = True
    compared: DiagramModel | None = None
    """Second network of a comparison, whose signs and colors the legend of the first explains too."""

    @property
    def legend_models(self) -> tuple[DiagramModel, ...]:
        """Networks that the legend explains; none without a legend."""
        own = (self,) if self.has_legend else ()
        return (*own, self.compared) if self.compared else own

    @property
    def legend_tones(self) -> frozenset[Tone]:
        """What the legend's networks do to channels."""
        rows = (row for model in self.legend_models for card in model.cards for row in card.rows)
        return frozenset(row.channels.tone for row in rows)

    @property
    def shown_marks(self) -> dict[str, str]:
        """Meanings of the marks that the legend explains."""
        signs = {sign for model in self.legend_models for sign in model.signs.values()}
        return {sign: meaning for sign, meaning in MARKS.items() if sign in signs}

    @property
    def price_name(self) -> str:
        return "FLOPs" if self.by == "flops" else "weights"

    @property
    def price_legend(self) -> str:
        return f"share of the network's {self.price_name}"
