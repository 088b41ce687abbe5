"""Boxes on the page: columns of cards, rows in cards, and links in the gaps between them.

All lengths are in points; y increases downwards. Cards of the same scale are side by side. A new column begins where
the scale changes direction, so that a U-shaped network looks like a U. If this makes the text of a large network too
small, the cards of each column slide together, and a column may stand below another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from darkparse.views.diagram.elements import Card, DiagramRow, HeadCard
from darkparse.views.diagram.font_metrics import text_width, wrap
from darkparse.views.formatting.words import COLUMN_SEPARATOR

LAYER_FONT, CELL_FONT, SMALL_FONT = 11.0, 9.0, 9.0
HEADER_FONT, COST_FONT, TITLE_FONT, FACT_FONT = 14.0, 10.0, 20.0, 12.0
HEADER_HEIGHT, COLUMN_HEAD_HEIGHT, ROW_HEIGHT, NOTE_HEIGHT, LINE_HEIGHT = 25.0, 16.0, 19.0, 15.0, 14.0
JOIN_HEIGHT, MIN_SINGLE_REPEAT_HEIGHT = 14.0, 28.0
"""Height of a row in small print (joins and gates), and minimum height of a repeated single row.

The latter needs room for two lines of repeat text.
"""
SPACING = 1.0
PADDING = 8.0
"""Total horizontal padding of a cell."""
MIN_LAYER_WIDTH, MAX_LAYER_WIDTH, MAX_CHANNELS_WIDTH = 115.0, 149.0, 262.0
"""Width limits of the layer and channels columns; longer text wraps."""
MIN_NUMBER_WIDTH = 32.0
REPEAT_FONTS = 13.0, 8.0
LEAST_FONT = min(*REPEAT_FONTS, SMALL_FONT, CELL_FONT)
"""Smallest font size of a full diagram."""
HEAD_LINE_HEIGHT, HEAD_PADDING = 15.0, 10.0


@dataclass(frozen=True, slots=True)
class ColumnWidths:
    """Column widths, which all cards share."""

    repeat: float
    number: float
    layer: float
    spatial: float
    channels: float
    weights: float
    overlay: float = 0

    @property
    def widths(self) -> tuple[float, ...]:
        return (self.repeat, self.number, self.layer, self.spatial, self.channels, self.weights, self.overlay)

    @property
    def total(self) -> float:
        """Width of a card, including cell spacing and border."""
        shown = [width for width in self.widths if width]
        return sum(shown) + SPACING * (len(shown) + 1) + 2


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Row with wrapped texts."""

    row: DiagramRow
    label: tuple[str, ...]
    channels: tuple[str, ...]
    notes: tuple[tuple[str, bool], ...]
    """Lines of the notes, each with a flag for whether the bottleneck saves."""
    is_single_repeat: bool
    """Whether the row is the only one of a repeated block."""

    @property
    def height(self) -> float:
        lines = max(len(self.label), len(self.channels))
        height = (JOIN_HEIGHT if self.row.is_join else ROW_HEIGHT) + LINE_HEIGHT * (lines - 1)
        return max(height, MIN_SINGLE_REPEAT_HEIGHT) if self.is_single_repeat else height


@dataclass(frozen=True, slots=True)
class Box:
    """Rectangle at a grid position."""

    name: str
    width: float
    height: float
    column: int = 0
    level: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def row_y(self, index: int) -> float:
        """Return the vertical center of a layer's row, or of the box if it has no rows."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CardBox(Box):
    """Positioned card."""

    card: Card
    rows: tuple[RowLayout, ...]
    has_column_heads: bool
    centers: Mapping[int, float]
    """Vertical center of each row by layer index, relative to the top of the card."""

    def row_y(self, index: int) -> float:
        return self.y + self.centers[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBox(Box):
    """Positioned head."""

    head: HeadCard
    is_beside: bool
    """Whether the head is beside its card; otherwise it is below."""


def compute_column_widths(cards: Sequence[Card]) -> ColumnWidths:
    """Compute column widths that fit every text, up to the limits."""
    rows = [row for card in cards for row in card.rows]
    repeated_blocks = [block for card in cards for block in card.blocks if block.count > 1]

    def max_width(texts: Iterable[str], size: float, *, bold: bool = False, min_width: float = 0) -> float:
        return max([min_width, *(text_width(text, size, bold=bold) + PADDING for text in texts)])

    repeat = max(
        (max(map(text_width, block.repeat_texts, REPEAT_FONTS)) + PADDING for block in repeated_blocks), default=0
    )
    layers = (
        max_width([row.label], LAYER_FONT, bold=row.is_bold, min_width=MIN_LAYER_WIDTH)
        for row in rows
        if not row.is_join
    )
    widths = ColumnWidths(
        repeat,
        number=max_width((f"{row.mark} {row.name}" for row in rows), SMALL_FONT, min_width=MIN_NUMBER_WIDTH),
        layer=min(MAX_LAYER_WIDTH, max(layers, default=MIN_LAYER_WIDTH)),
        spatial=max_width((row.spatial.text for row in rows), CELL_FONT, min_width=70),
        channels=min(MAX_CHANNELS_WIDTH, max_width((row.channels.text for row in rows), CELL_FONT, min_width=160)),
        weights=max_width((row.price for row in rows), SMALL_FONT, min_width=48),
        overlay=max_width((row.overlay for row in rows), SMALL_FONT, min_width=60)
        if any(row.overlay for row in rows)
        else 0,
    )
    header_texts = (f"{card.title()}{card.span}{COLUMN_SEPARATOR.join(card.cost)}" for card in cards)
    header_width = max((text_width(text, HEADER_FONT * 0.86, bold=True) + 40 for text in header_texts), default=0)
    return replace(widths, channels=widths.channels + max(0, header_width - sum(widths.widths)))


def label_font_size(row: DiagramRow) -> float:
    """Return the font size of a row's label."""
    return CELL_FONT if row.is_join else LAYER_FONT


def build_card_box(card: Card, widths: ColumnWidths, *, has_column_heads: bool) -> CardBox:
    """Build the box of a card, with wrapped texts and row heights."""
    note_width = widths.layer + widths.spatial + widths.channels + widths.weights + widths.overlay - PADDING
    rows = tuple(
        _row_layout(row, widths, note_width, is_single_repeat=len(block.rows) == 1 < block.count)
        for block in card.blocks
        for row in block.rows
    )
    y = 1 + SPACING + HEADER_HEIGHT + SPACING
    if has_column_heads:
        y += COLUMN_HEAD_HEIGHT + SPACING
    centers = {}
    for row in rows:
        centers[row.row.index] = y + row.height / 2
        y += row.height + SPACING + len(row.notes) * (NOTE_HEIGHT + SPACING)
    return CardBox(
        card.name, widths.total, y + 1, card=card, rows=rows, has_column_heads=has_column_heads, centers=centers
    )


def _row_layout(row: DiagramRow, widths: ColumnWidths, note_width: float, *, is_single_repeat: bool) -> RowLayout:
    notes = [
        (f"{'└' if number == 0 else '   '} {line}", note.saves)
        for note in row.notes
        for number, line in enumerate(wrap(note.text, note_width - text_width("└ ", SMALL_FONT), SMALL_FONT))
    ]
    label = wrap(row.label, widths.layer - PADDING, label_font_size(row), bold=row.is_bold)
    channels = wrap(row.channels.text, widths.channels - PADDING, CELL_FONT)
    return RowLayout(row, label, channels, tuple(notes), is_single_repeat)


def build_head_box(head: HeadCard, *, is_beside: bool) -> HeadBox:
    """Build the box of a detection head."""
    width = max(text_width(line, LAYER_FONT, bold=True) for line in head.lines) + 2 * HEAD_PADDING
    height = len(head.lines) * HEAD_LINE_HEIGHT + HEAD_PADDING
    return HeadBox(head.name, width, height, head=head, is_beside=is_beside)
