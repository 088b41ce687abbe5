"""Boxes of the overview: stages with their text and strip of ticks, and the bands behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.boxes import Box
from darkparse.views.diagram.overview.content import StageCard, Tick, TickGroup

FONT = 8.0
"""Size of all text in boxes, in points."""
LINE_HEIGHT = 9.2
PADDING, INNER_MARGIN = 4.0, 2.5
"""Space beside the text, and above and below it."""
BAR_HEIGHT = 2.0
"""Height of the bar that shows the share of the network's weights or FLOPs."""
STRIP_HEIGHT, STRIP_GAP = 7.0, 2.0
MIN_TICK, MAX_TICK = 2.0, 6.0
"""Minimum and maximum distance between ticks; the minimum is 1.5 points when 8-point type is scaled to 6 points."""
TIMES_GAP = 1.5
"""Space around a number of copies."""
MIN_WIDTH = 56.0
BAND_PADDING = 3.5


@dataclass(frozen=True, slots=True)
class StripItem:
    """Tick, or number of copies, at its position in the strip."""

    x: float
    row: int
    width: float
    tick: Tick | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBox(Box):
    """Positioned box of a stage."""

    stage: StageCard
    strip: tuple[StripItem, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """Area behind the boxes of one part of the network, with its name above the first box."""

    name: str
    x: float
    y: float
    width: float
    height: float


def measure_width(stage: StageCard) -> float:
    """Return the width that the text of a box needs."""
    widths = [text_width(line, FONT, bold=number == 0) for number, line in enumerate(stage.lines)]
    return max([MIN_WIDTH, *(width + 2 * PADDING for width in widths)])


def build_stage_box(stage: StageCard, width: float) -> StageBox:
    """Build the box of a stage with the given width."""
    strip = tuple(_arrange_strip(stage.groups, width - 2 * PADDING))
    rows = 1 + max((item.row for item in strip), default=0)
    height = BAR_HEIGHT + 2 * INNER_MARGIN + len(stage.lines) * LINE_HEIGHT + rows * (STRIP_HEIGHT + STRIP_GAP)
    return StageBox(stage.name, width, height, stage=stage, strip=strip)


def _arrange_strip(groups: Sequence[TickGroup], width: float) -> Iterator[StripItem]:
    """Arrange one tick per layer; if they are too narrow, one copy of each repeated block with its number of copies."""
    total = sum(len(group.ticks) for group in groups)
    if total * MIN_TICK <= width:
        groups = [TickGroup(tuple(tick for group in groups for tick in group.ticks))]
    texts = sum(_times_width(group) for group in groups)
    count = sum(len(group.first_copy) for group in groups)
    step = max(MIN_TICK, min(MAX_TICK, (width - texts) / max(1, count)))
    x, row = 0.0, 0
    for group in groups:
        for tick in group.first_copy:
            if x + step > width + 0.01:
                x, row = 0.0, row + 1
            yield StripItem(x, row, step, tick)
            x += step
        if group.count > 1:
            if x + _times_width(group) > width + 0.01:
                x, row = 0.0, row + 1
            yield StripItem(x + TIMES_GAP, row, _times_width(group) - 2 * TIMES_GAP, text=_times_text(group))
            x += _times_width(group)


def _times_text(group: TickGroup) -> str:
    return f"×{group.count}"


def _times_width(group: TickGroup) -> float:
    return text_width(_times_text(group), FONT) + 2 * TIMES_GAP if group.count > 1 else 0.0
