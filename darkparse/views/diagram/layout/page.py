"""Page with all boxes and links; the layout passes fill in positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from darkparse.views.diagram.elements import DiagramModel, Link, LinkKind
from darkparse.views.diagram.layout.boxes import Box, CardBox, ColumnWidths, HeadBox
from darkparse.views.diagram.layout.grid import Grid
from darkparse.views.diagram.layout.labels import LinkLabel, source_names
from darkparse.views.diagram.layout.routing import Lanes, LinkRoute
from darkparse.views.diagram.layout.spacing import CARD_SPACING, Spacing
from darkparse.views.diagram.overview.boxes import Band
from darkparse.views.diagram.overview.content import Overview, StageCard

Direction = Literal["TB", "LR"]

SHEET_SIZE = (1191.0, 842.0)
"""Long and short side of A3 in points."""

Port = tuple[int, bool, int, LinkKind, Literal["in", "out"]]
"""Attachment point of links at a row: row, whether at its right end, source, link kind, and direction."""


@dataclass(frozen=True)
class Page:
    """Boxes and links with the positions that are known so far; y increases downwards."""

    grid: Grid
    column_widths: ColumnWidths
    direction: Direction = "TB"
    spacing: Spacing = CARD_SPACING
    boxes: tuple[Box, ...] = ()
    routes: tuple[LinkRoute, ...] = ()
    horizontal_channels: Mapping[int, Lanes] = field(default_factory=dict)
    """Lanes above each level, and below the last."""
    are_notes_beside: bool = False
    """Whether facts and legend are to the right of the first column's upper cards instead of above them."""
    bands: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Top and bottom of each level."""
    bottom: float = 0.0
    """Bottom of the last horizontal channel."""
    port_offsets: Mapping[Port, float] = field(default_factory=dict)
    """Vertical offset of each end of a link from the middle of its row."""
    vertical_channels: Mapping[int, Lanes] = field(default_factory=dict)
    """Lanes to the right of each column, and to the left of the first (-1)."""
    lane_starts: Mapping[int, float] = field(default_factory=dict)
    """Left end of the lanes of each vertical channel."""
    width: float = 0.0
    height: float = 0.0
    labels: tuple[tuple[LinkLabel, LinkRoute], ...] = ()
    overview: Overview | None = None
    """Stages to draw instead of the cards of the model."""
    parts: tuple[Band, ...] = ()
    """Areas behind the stages of each part."""

    @property
    def model(self) -> DiagramModel:
        return self.grid.model

    @property
    def stages(self) -> tuple[StageCard, ...]:
        return self.overview.stages if self.overview else ()

    @property
    def links(self) -> tuple[Link, ...]:
        """Links between cards, or between stages."""
        return self.overview.links if self.overview else self.model.links

    @property
    def cards(self) -> tuple[CardBox, ...]:
        return tuple(box for box in self.boxes if isinstance(box, CardBox))

    @property
    def heads(self) -> tuple[HeadBox, ...]:
        return tuple(box for box in self.boxes if isinstance(box, HeadBox))

    @property
    def heads_beside(self) -> tuple[HeadBox, ...]:
        """Heads beside their cards, in a vertical channel."""
        return tuple(head for head in self.heads if head.is_beside)

    @cached_property
    def grid_boxes(self) -> tuple[Box, ...]:
        """Boxes that occupy a grid position."""
        return tuple(box for box in self.boxes if box.name not in ("title", "notes") and box not in self.heads_beside)

    @cached_property
    def box(self) -> Mapping[str, Box]:
        """Boxes by name: `input`, `title`, `notes`, `cardL3` and `L31`."""
        return {box.name: box for box in self.boxes}

    @cached_property
    def row_names(self) -> Mapping[int, str]:
        """Source names in link labels, by row."""
        return source_names(self.model)

    @property
    def last_column(self) -> int:
        return max(box.column for box in self.grid_boxes)

    @property
    def last_level(self) -> int:
        return max(box.level for box in self.grid_boxes)

    @property
    def scale(self) -> float:
        """Factor that shrinks the page to fit an A3 sheet in portrait or landscape; at most 1."""
        sides = self.width + 2 * self.spacing.margin, self.height + 2 * self.spacing.margin
        return min(1, SHEET_SIZE[0] / max(sides), SHEET_SIZE[1] / min(sides))

    def start_y(self, route: LinkRoute) -> float:
        """Return the height at which a link leaves its row."""
        return self.box[route.source].row_y(route.link.source) + self.port_offsets.get(get_start_port(route), 0)

    def end_y(self, route: LinkRoute) -> float:
        """Return the height at which a link enters its row.

        Links from the right enter slightly lower, so that two links from opposite sides do not look like one.
        """
        offset = 0 if route.enters_left else 4
        return self.box[route.target].row_y(route.link.target) + self.port_offsets[get_end_port(route)] + offset

    def channel_y(self, route: LinkRoute) -> float:
        """Return the height of a link in its horizontal channel."""
        top = self.bands[route.horizontal_channel][0] if route.horizontal_channel in self.bands else self.bottom
        lane = self.horizontal_channels[route.horizontal_channel].lane_of[route.key]
        return top - self.spacing.channel_offset - self.spacing.lane * lane


def get_start_port(route: LinkRoute) -> Port:
    """Return the port where a link leaves its source."""
    return route.link.source, route.leaves_right, *route.key, "out"


def get_end_port(route: LinkRoute) -> Port:
    """Return the port where a link enters its target."""
    return route.link.target, not route.enters_left, *route.key, "in"
