"""Layout of the overview: stages by scale in columns, with the passes of the full diagram and narrower distances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from darkparse.views.diagram.elements import DiagramModel, Link
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.boxes import Box, compute_column_widths
from darkparse.views.diagram.layout.grid import Grid, Place, compute_places
from darkparse.views.diagram.layout.horizontal import columns, routes, vertical_channels
from darkparse.views.diagram.layout.page import Direction, Page, Port, get_end_port, get_start_port
from darkparse.views.diagram.layout.passes import page_size
from darkparse.views.diagram.layout.routing import plan_routes
from darkparse.views.diagram.layout.spacing import OVERVIEW_SPACING
from darkparse.views.diagram.layout.vertical import horizontal_channels, levels
from darkparse.views.diagram.overview.boxes import (
    BAND_PADDING,
    FONT,
    PADDING,
    Band,
    StageBox,
    build_stage_box,
    measure_width,
)
from darkparse.views.diagram.overview.content import PART_NAMES, Overview, StageCard
from darkparse.views.diagram.overview.title import legend_box, title_box

PORT_SPACING = 7.0
"""Distance between links at the same side of a box."""
BAND_LABEL_HEIGHT = 10.0


def arrange_overview(model: DiagramModel, overview: Overview, *, direction: Direction = "TB") -> Page:
    """Lay out an overview.

    Args:
        model: Diagram content of the network, for its title.
        overview: Stages and links.
        direction: `"TB"` for scales from top to bottom, `"LR"` from left to right.
    """
    grid = Grid(model, tuple(_compute_places(overview)))
    page = Page(grid, compute_column_widths(()), direction, OVERVIEW_SPACING, overview=overview)
    for step in PASSES:
        page = step(page)
    return page


def _compute_places(overview: Overview) -> Iterator[Place]:
    """Yield column and level of each stage; heads are in the last column, or below the only one."""
    stages = [stage for stage in overview.stages if stage.part != "head"]
    place_of: dict[int, Place] = {}
    for parts in (("backbone",), ("neck",)):
        group = [stage for stage in stages if stage.part in parts]
        first = max((column for column, _ in place_of.values()), default=-1) + 1
        place_of |= {s.number: (first + c, v) for s, (c, v) in zip(group, _places(group, stages), strict=True)}
    num_columns = max((column for column, _ in place_of.values()), default=-1) + 1
    first_level = int(any(link.source < 0 for link in overview.links))
    last_level = max((level for _, level in place_of.values()), default=-1)
    used: set[Place] = set()
    for stage in overview.stages:
        if stage.part == "head":
            source = next((link.source for link in overview.links if link.target == stage.number), -1)
            place = (num_columns, place_of[source][1]) if source in place_of else (num_columns, 0)
            if num_columns == 1:
                place = (0, last_level + 1)
            while place in used:
                place = (place[0], place[1] + 1)
            used.add(place)
            place_of[stage.number] = place
        column, level = place_of[stage.number]
        yield column, level + first_level


def _places(group: Sequence[StageCard], stages: Sequence[StageCard]) -> list[Place]:
    """Return column and level of some stages; the levels are those of the scales of all stages."""
    sizes = sorted({stage.size for stage in stages}, key=lambda size: (-size[0] * size[1], -size[0]))
    places = compute_places(group)
    return [(column, sizes.index(stage.size)) for stage, (column, _) in zip(group, places, strict=True)]


def stage_boxes(page: Page) -> Page:
    """Build the boxes of stages and input; boxes in a column are equally wide, and on a level equally high."""
    stages, is_sideways = page.stages, page.direction == "LR"
    places = [place[::-1] if is_sideways else place for place in page.grid.places]
    widths: dict[int, float] = defaultdict(float)
    for stage, (column, _) in zip(stages, places, strict=True):
        widths[column] = max(widths[column], measure_width(stage))
    boxes = [build_stage_box(stage, widths[column]) for stage, (column, _) in zip(stages, places, strict=True)]
    heights: dict[int, float] = defaultdict(float)
    for box, (_, level) in zip(boxes, places, strict=True):
        heights[level] = max(heights[level], box.height)
    placed: list[Box] = [
        replace(box, column=column, level=level, height=heights[level])
        for box, (column, level) in zip(boxes, places, strict=True)
    ]
    if any(link.source < 0 for link in page.links):
        width = text_width(page.model.input_text, FONT, bold=True) + 4 * PADDING
        placed.append(Box("input", width, FONT + PADDING))
    return replace(page, boxes=tuple(placed))


def stage_routes(page: Page) -> Page:
    """Assign every link to its channels; a link to a head runs like one to the next stage."""
    box_of: dict[int, Box] = {box.stage.number: box for box in page.boxes if isinstance(box, StageBox)}
    box_of |= {-1: page.box["input"]} if "input" in page.box else {}
    links = [(_as_chain(link), box_of[link.source], box_of[link.target]) for link in page.links]
    planned = plan_routes(links, page.grid_boxes, is_sideways=page.direction == "LR")
    original = zip(planned, page.links, strict=True)
    return replace(page, routes=tuple(replace(route, link=link) for route, link in original))


def _as_chain(link: Link) -> Link:
    return replace(link, kind="chain") if link.kind == "head" else link


def stage_title(page: Page) -> Page:
    """Build title and legend, as wide as the columns."""
    widths: dict[int, float] = defaultdict(float)
    for box in page.grid_boxes:
        widths[box.column] = max(widths[box.column], box.width)
    gap = page.spacing.min_channel_width + page.spacing.entry_width
    width = sum(widths.values()) + gap * (len(widths) - 1)
    return replace(page, boxes=(*page.boxes, title_box(page.model, width), legend_box(page.model, page.links, width)))


def stage_ports(page: Page) -> Page:
    """Compute the offset of each link end from the middle of its box; a link to the same level stays straight."""
    ends: dict[tuple[int, bool], dict[Port, float]] = defaultdict(dict)
    for route in page.routes:
        if not route.is_straight:
            distance = page.box[route.target].row_y(0) - page.box[route.source].row_y(0)
            for port, offset in ((get_start_port(route), distance), (get_end_port(route), -distance)):
                ends[port[:2]].setdefault(port, offset)
    offsets: dict[Port, float] = {}
    for distances in ends.values():
        for side in (-1, 1):
            ports = sorted((p for p, d in distances.items() if d * side > 0), key=lambda p: abs(distances[p]))
            offsets |= {port: side * PORT_SPACING * number for number, port in enumerate(ports, 1)}
        offsets |= {port: 0.0 for port, distance in distances.items() if distance == 0}
    return replace(page, port_offsets=offsets)


def bands(page: Page) -> Page:
    """Compute the area behind the boxes of each part."""
    return replace(page, parts=tuple(_build_bands(page)))


def _build_bands(page: Page) -> Iterator[Band]:
    for part, name in PART_NAMES.items():
        boxes = [box for box in page.boxes if isinstance(box, StageBox) and box.stage.part == part]
        if not boxes:
            continue
        left, top = min(box.x for box in boxes), min(box.y for box in boxes)
        right, bottom = max(box.right for box in boxes), max(box.bottom for box in boxes)
        name = name if len(boxes) > 1 or part != "head" else "Head"
        x, y = left - BAND_PADDING, top - BAND_LABEL_HEIGHT
        yield Band(name, x, y, right - left + 2 * BAND_PADDING, bottom - y + BAND_PADDING)


PASSES: tuple[Callable[[Page], Page], ...] = (
    stage_boxes,
    stage_routes,
    horizontal_channels,
    stage_title,
    levels,
    stage_ports,
    vertical_channels,
    columns,
    routes,
    bands,
    page_size,
)
