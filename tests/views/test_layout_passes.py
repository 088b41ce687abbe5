"""Each pass of the layout by itself: what it adds to the page, on networks of one column, of several, and sideways."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import pytest

from darkparse.views.diagram.build import build_diagram
from darkparse.views.diagram.layout import passes as layout
from darkparse.views.diagram.layout.boxes import Box, compute_column_widths
from darkparse.views.diagram.layout.grid import build_grid
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.spacing import CARD_SPACING
from tests.views.networks import compile_once

PAGES: list[tuple[str, Direction]] = [("yolov1", "TB"), ("yolov3", "TB"), ("yolov4", "TB"), ("yolov4", "LR")]
pages = pytest.mark.parametrize(("name", "direction"), PAGES)


@cache
def _after(step: str, name: str, direction: Direction) -> Page:
    """The page behind a pass and all before it."""
    grid = build_grid(build_diagram(compile_once(name)))
    page = Page(grid, compute_column_widths(grid.model.cards), direction)
    for one in layout.PASSES:
        page = one(page)
        if one.__name__ == step:
            return page
    raise AssertionError(f"there is no pass {step}")


def _without(page: Page, *fields: str) -> dict[str, object]:
    return {key: value for key, value in vars(page).items() if key not in fields}


@pytest.mark.parametrize("number", range(1, len(layout.PASSES)))
def test_pass_changes_only_its_own_fields(number: int) -> None:
    """It gives another page, and the one that it took is as it was."""
    before = _after(layout.PASSES[number - 1].__name__, "yolov3", "TB")
    kept = dict(_without(before))
    after = layout.PASSES[number](before)
    assert after is not before
    assert _without(before, "grid_boxes", "box", "row_names") == {
        key: value for key, value in kept.items() if key not in ("grid_boxes", "box", "row_names")
    }


@pages
def test_boxes_pass_places_every_card_once(name: str, direction: Direction) -> None:
    """A card, a head or the input at each place, and no place with two cards."""
    page = _after("boxes", name, direction)
    assert len(page.cards) == len(page.model.cards)
    assert len(page.heads) == len(page.model.heads)
    assert len({(card.column, card.level) for card in page.cards}) == len(page.cards)
    assert all(box.width > 0 < box.height and box.x == box.y == 0 for box in page.boxes)


@pages
def test_route_plan_pass_routes_every_link(name: str, direction: Direction) -> None:
    """Every link has its way; between neighbors of one column it is straight."""
    page = _after("route_plan", name, direction)
    assert len(page.routes) == len(page.model.links) + len(page.model.heads)
    assert any(route.is_straight for route in page.routes)
    for route in page.routes:
        if route.is_straight and direction == "TB":
            assert page.box[route.source].column == page.box[route.target].column


@pages
def test_horizontal_channels_pass_gives_lanes(name: str, direction: Direction) -> None:
    """Whoever takes a horizontal channel has a lane there."""
    page = _after("horizontal_channels", name, direction)
    for route in page.routes:
        if route.via == "horizontal channel":
            assert route.key in page.horizontal_channels[route.horizontal_channel].lane_of
    assert all(0 < lanes.count <= len(lanes.lane_of) for lanes in page.horizontal_channels.values())


@pages
def test_title_pass_sizes_title_and_notes(name: str, direction: Direction) -> None:
    """Of texts as they are wide; the notes beside the first column only where there is another."""
    page = _after("title", name, direction)
    assert page.box["title"].height > 0 < page.box["notes"].height
    assert page.are_notes_beside == (name != "yolov1" and direction == "TB")


@pages
def test_levels_pass_separates_bands(name: str, direction: Direction) -> None:
    """Bands one below the other with room between, and every box on its own."""
    page = _after("levels", name, direction)
    bands = [page.bands[level] for level in sorted(page.bands)]
    assert all(lower[0] - upper[1] >= CARD_SPACING.level_gap for upper, lower in pairwise(bands))
    for box in page.cards:
        assert page.bands[box.level][0] == box.y
        assert box.bottom <= page.bands[box.level][1]


@pages
def test_ports_pass_spreads_links_of_row(name: str, direction: Direction) -> None:
    """The links of one row's end begin at different heights, near its middle."""
    page = _after("ports", name, direction)
    assert all(-6 <= offset <= 6 for offset in page.port_offsets.values())
    for a, b in combinations(page.port_offsets, 2):
        assert a[:2] != b[:2] or page.port_offsets[a] != page.port_offsets[b]


@pages
def test_heads_pass_keeps_heads_apart(name: str, direction: Direction) -> None:
    """Beside a card they touch no other head and no link that passes."""
    page = _after("heads", name, direction)
    for a, b in combinations(page.heads_beside, 2):
        assert a.column != b.column or a.bottom < b.y or b.bottom < a.y
    for head in page.heads_beside:
        (route,) = (route for route in page.routes if route.target == head.name)
        assert abs(head.y + head.height / 2 - page.start_y(route)) <= 480


@pages
def test_vertical_channels_pass_gives_lanes(name: str, direction: Direction) -> None:
    """Two that share a lane are not beside each other."""
    page = _after("vertical_channels", name, direction)
    routed = [route for route in page.routes if route.is_routed]
    assert all(any(route.key in lanes.lane_of for lanes in page.vertical_channels.values()) for route in routed)


@pages
def test_columns_pass_orders_columns(name: str, direction: Direction) -> None:
    """Columns from left to right, lanes and heads in the vertical channel right of their column."""
    page = _after("columns", name, direction)
    columns: dict[int, list[Box]] = {}
    for box in page.grid_boxes:
        columns.setdefault(box.column, []).append(box)
    for left, right in zip(sorted(columns), sorted(columns)[1:], strict=False):
        end = max(box.right for box in columns[left])
        assert end < page.lane_starts[left] < min(box.x for box in columns[right])
    for head in page.heads_beside:
        assert max(box.right for box in columns[head.column]) < head.x


@pages
def test_routes_pass_draws_axis_parallel_lines(name: str, direction: Direction) -> None:
    """Level and upright stretches from the side of one box to that of another."""
    page = _after("routes", name, direction)
    for route in page.routes:
        assert all(x0 == x1 or y0 == y1 for (x0, y0), (x1, y1) in zip(route.points, route.points[1:], strict=False))
        for (x, y), box in ((route.points[0], page.box[route.source]), (route.points[-1], page.box[route.target])):
            assert box.x <= x <= box.right
            assert box.y <= y <= box.bottom
            assert x in (box.x, box.right) or y in (box.y, box.bottom)


@pages
def test_page_size_pass_encloses_boxes_and_routes(name: str, direction: Direction) -> None:
    page = _after("page_size", name, direction)
    assert page.width == max([box.right for box in page.boxes] + [x for r in page.routes for x, _ in r.points])
    assert page.height == max([box.bottom for box in page.boxes] + [y for r in page.routes for _, y in r.points])


@pages
def test_labels_pass_labels_known_routes(name: str, direction: Direction) -> None:
    """The last step, on the page that was chosen."""
    page = layout.labels(_after("page_size", name, direction))
    assert page.labels
    assert all(route in page.routes for _, route in page.labels)
