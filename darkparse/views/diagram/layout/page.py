"""The page: every box and link, and what is known of their places; the passes of the layout fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from darkparse.views.diagram.elements import DiagramModel, LinkKind
from darkparse.views.diagram.layout.boxes import MARGIN, Box, CardBox, ColumnWidths, HeadBox
from darkparse.views.diagram.layout.grid import Grid
from darkparse.views.diagram.layout.labels import LinkLabel, source_names
from darkparse.views.diagram.layout.routing import LANE_SPACING, Lanes, LinkRoute

Direction = Literal["TB", "LR"]

SHEET_SIZE = (1191.0, 842.0)
"""A3 in points."""

Port = tuple[int, bool, int, LinkKind, Literal["in", "out"]]
"""Where links of one key meet a row: the row, whether at its right end, the key, and the direction."""


@dataclass(frozen=True)
class Page:
    """Boxes and links in their places as far as they are known; y grows downwards."""

    grid: Grid
    column_widths: ColumnWidths
    direction: Direction = "TB"
    boxes: tuple[Box, ...] = ()
    routes: tuple[LinkRoute, ...] = ()
    horizontal_channels: Mapping[int, Lanes] = field(default_factory=dict)
    """The lanes above each level, and below the last."""
    are_notes_beside: bool = False
    """Facts and legend stand right of the first column's upper cards, not above them."""
    bands: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Top and bottom of each level."""
    bottom: float = 0.0
    """Of the last horizontal channel."""
    port_offsets: Mapping[Port, float] = field(default_factory=dict)
    """How far from the middle of its row each link begins and ends."""
    vertical_channels: Mapping[int, Lanes] = field(default_factory=dict)
    """The lanes right of each column, and left of the first (-1)."""
    lane_starts: Mapping[int, float] = field(default_factory=dict)
    """Where the lanes of each vertical channel begin."""
    width: float = 0.0
    height: float = 0.0
    labels: tuple[tuple[LinkLabel, LinkRoute], ...] = ()

    @property
    def model(self) -> DiagramModel:
        return self.grid.model

    @property
    def cards(self) -> tuple[CardBox, ...]:
        return tuple(box for box in self.boxes if isinstance(box, CardBox))

    @property
    def heads(self) -> tuple[HeadBox, ...]:
        return tuple(box for box in self.boxes if isinstance(box, HeadBox))

    @property
    def heads_beside(self) -> tuple[HeadBox, ...]:
        """Heads beside their card, in a vertical channel."""
        return tuple(head for head in self.heads if head.is_beside)

    @cached_property
    def grid_boxes(self) -> tuple[Box, ...]:
        """The boxes that have a place of the grid to themselves."""
        return tuple(box for box in self.boxes if box.name not in ("title", "notes") and box not in self.heads_beside)

    @cached_property
    def box(self) -> Mapping[str, Box]:
        """Boxes by name: `input`, `title`, `notes`, `cardL3` and `L31`."""
        return {box.name: box for box in self.boxes}

    @cached_property
    def row_names(self) -> Mapping[int, str]:
        """What links call the rows that they come from."""
        return source_names(self.model)

    @property
    def last_column(self) -> int:
        return max(box.column for box in self.grid_boxes)

    @property
    def last_level(self) -> int:
        return max(box.level for box in self.grid_boxes)

    @property
    def scale(self) -> float:
        """By how much it shrinks to fit a sheet, upright or across; 1 where it has room."""
        sides = self.width + 2 * MARGIN, self.height + 2 * MARGIN
        return min(1, SHEET_SIZE[0] / max(sides), SHEET_SIZE[1] / min(sides))

    def start_y(self, route: LinkRoute) -> float:
        """Where a link leaves its row."""
        return self.box[route.source].row_y(route.link.source) + self.port_offsets.get(get_start_port(route), 0)

    def end_y(self, route: LinkRoute) -> float:
        """Where a link enters its row: from the right a little lower than from the left,
        so that two at one height do not look like one."""
        offset = 0 if route.enters_left else 4
        return self.box[route.target].row_y(route.link.target) + self.port_offsets[get_end_port(route)] + offset

    def channel_y(self, route: LinkRoute) -> float:
        """The height at which a link runs along its horizontal channel."""
        top = self.bands[route.horizontal_channel][0] if route.horizontal_channel in self.bands else self.bottom
        return top - 12 - LANE_SPACING * self.horizontal_channels[route.horizontal_channel].lane_of[route.key]


def get_start_port(route: LinkRoute) -> Port:
    """Where a link leaves."""
    return route.link.source, route.leaves_right, *route.key, "out"


def get_end_port(route: LinkRoute) -> Port:
    """Where a link enters."""
    return route.link.target, not route.enters_left, *route.key, "in"
