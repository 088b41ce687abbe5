"""What the diagram shows, before any drawing: a card for each scale, a row for each layer, links between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from darkparse.network.analysis.summary import NetworkSummary
from darkparse.views.formatting.numbers import sides_text
from darkparse.views.formatting.words import COLUMN_SEPARATOR
from darkparse.views.layer_info import LayerFacts
from darkparse.views.overlay import Overlay

Tone = Literal["reduced", "kept", "expanded", "projected"]
"""What a cell says, and hence its colour."""

MARKS = {"≠": "differs from the other", "+": "only here"}
"""Signs of a layer that the other network has not, or has otherwise."""

Measure = Literal["weights", "flops"]
MEASURES: tuple[Measure, ...] = ("weights", "flops")

LinkKind = Literal["chain", "reused", "head"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What a layer does to height × width, or to its channels."""

    text: str
    tone: Tone
    hint: str = ""
    """A tooltip."""


@dataclass(frozen=True, slots=True)
class RowNote:
    """The price of a bottleneck."""

    text: str
    saves: bool


@dataclass(frozen=True, slots=True)
class DiagramRow:
    """A layer, or one of the first copy of a repeated block, which stands for all."""

    index: int
    label: str
    spatial: Cell
    channels: Cell
    price: str
    """Its weights or FLOPs."""
    share: float
    """Of the network's, with all copies."""
    hint: str
    facts: LayerFacts
    copies: Sequence[int]
    """The layers that it stands for: its own, and its counterparts in the copies of the block."""
    notes: tuple[RowNote, ...] = ()
    mark: str = ""
    """How it differs from the other network of a comparison."""
    overlay: str = ""
    """What is laid over the graph, and how long its bar is."""
    overlay_share: float = 0

    @property
    def name(self) -> str:
        return f"L{self.index}"

    @property
    def is_bold(self) -> bool:
        return bool(self.facts.node.weights)

    @property
    def is_join(self) -> bool:
        """It joins, adds or gates what others made."""
        return self.facts.node.layer.role in ("cat", "add", "gate")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that stand for `count` copies; one row and one copy where nothing repeats."""

    rows: tuple[DiagramRow, ...]
    count: int = 1
    last: int = 0
    """The last layer of the last copy."""
    grows: bool = False

    @property
    def repeat_texts(self) -> tuple[str, str]:
        """`× 3`, `to L15`: how often it comes, and up to which layer."""
        return f"× {self.count}", f"to L{self.last}"


@dataclass(frozen=True, slots=True)
class Card:
    """Consecutive layers at one scale."""

    size: tuple[int, int]
    scale: str
    """`1/8` of the input's length, where it is known."""
    span: str
    """`L3–L7`."""
    cost: tuple[str, ...]
    """`1.56M weights`, `9.81 GFLOPs`, every copy included."""
    share: float
    """Of the network's weights or FLOPs."""
    blocks: tuple[Block, ...]
    is_continued: bool = False
    """It goes on from the column before."""

    def title(self, gap: str = COLUMN_SEPARATOR) -> str:
        """`56×56   (1/8)`."""
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
    """A detection head."""

    index: int
    source: int
    """The layer that projects to it."""
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"L{self.index}"


@dataclass(frozen=True, slots=True)
class Link:
    """A tensor that crosses from card to card; -1 is the input."""

    source: int
    target: int
    label: str
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class DiagramModel:
    """Everything on the page."""

    name: str
    answer: str
    """In one sentence."""
    totals: tuple[str, ...]
    summary: NetworkSummary
    """Of what is drawn."""
    facts: tuple[str, ...]
    input_text: str
    cards: tuple[Card, ...]
    heads: tuple[HeadCard, ...]
    links: tuple[Link, ...]
    has_repeats: bool
    layers: int
    """Layers of the whole network."""
    by: Measure
    """What the bars measure."""
    overlay: Overlay | None = None

    @property
    def price_name(self) -> str:
        return "FLOPs" if self.by == "flops" else "weights"

    @property
    def price_legend(self) -> str:
        return f"share of the network's {self.price_name}"
