"""The page: nothing overlaps, links go round the cards, scales form a U."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Literal

import pytest

import darkparse
from darkparse.views.diagram.build import build_diagram
from darkparse.views.diagram.font_metrics import text_width, wrap
from darkparse.views.diagram.layout.grid import compute_places
from darkparse.views.diagram.layout.page import Direction, Page
from darkparse.views.diagram.layout.passes import arrange
from darkparse.views.diagram.layout.routing import Point
from darkparse.views.diagram.title import LEGEND_FONT, TextBox, notes_box, title_box
from tests.conftest import needs_shared, original_cfgs, shipped_cfgs
from tests.views.networks import CFGS

Layout = Direction | Literal["narrow"]
LAYOUTS: tuple[Layout, ...] = ("TB", "LR", "narrow")


@cache
def _page(path: Path, layout: Layout) -> Page:
    direction: Direction = "TB" if layout == "narrow" else layout
    return arrange(build_diagram(darkparse.compile(path)), direction=direction, narrow=layout == "narrow")


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_boxes_do_not_overlap(path: Path, direction: Layout) -> None:
    boxes = _page(path, direction).boxes
    for number, a in enumerate(boxes):
        for b in boxes[:number]:
            apart = a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y
            assert apart, f"{a.name} {b.name}"


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_links_go_round_the_boxes(path: Path, direction: Layout) -> None:
    page = _page(path, direction)
    for route in page.routes:
        for (x0, y0), (x1, y1) in zip(route.points, route.points[1:], strict=False):
            assert x0 == x1 or y0 == y1
            for box in page.boxes:
                inside = (
                    max(x0, x1) > box.x + 1
                    and min(x0, x1) < box.right - 1
                    and max(y0, y1) > box.y + 1
                    and min(y0, y1) < box.bottom - 1
                )
                assert not inside, f"{route.link} crosses {box.name}"


@pytest.mark.parametrize("path", CFGS)
def test_no_link_crosses_the_way_to_a_head(path: Path) -> None:
    page = _page(path, "TB")
    heads = [route for route in page.routes if route.link.kind == "head"]
    for head, other in product(heads, page.routes):
        if other.link.source != head.link.source and not other.is_straight:
            assert not any(_cross(a, b) for a in pairwise(head.points) for b in pairwise(other.points)), (
                head.link,
                other.link,
            )


def _cross(a: tuple[Point, Point], b: tuple[Point, Point]) -> bool:
    """Whether two stretches meet, of which each is level or upright."""
    (ax, ay), (bx, by) = (tuple(sorted(values) for values in zip(*stretch, strict=True)) for stretch in (a, b))
    return ax[0] <= bx[1] and bx[0] <= ax[1] and ay[0] <= by[1] and by[0] <= ay[1]


@pytest.mark.parametrize("name", ["yolov1", "yolov2"])
def test_the_head_of_a_single_column_stands_below(name: str) -> None:
    page = arrange(build_diagram(darkparse.compile(name)))
    (head,), last = page.heads, page.cards[-1]
    assert head.y > last.bottom
    assert head.x + head.width / 2 == last.x + last.width / 2


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_one_line_has_one_meaning(path: Path, direction: Layout) -> None:
    """Links of two kinds, as of one map that goes on and is reused, run beside each other."""
    for a, b in combinations(_page(path, direction).routes, 2):
        if a.link.kind != b.link.kind:
            assert not any(_run_together(x, y) for x in pairwise(a.points) for y in pairwise(b.points)), (
                a.link,
                b.link,
            )


def _run_together(a: tuple[Point, Point], b: tuple[Point, Point]) -> bool:
    """Whether two stretches share more than a point."""
    (ax, ay), (bx, by) = (tuple(sorted(values) for values in zip(*stretch, strict=True)) for stretch in (a, b))
    shared = min(ax[1], bx[1]) - max(ax[0], bx[0]), min(ay[1], by[1]) - max(ay[0], by[0])
    return min(shared) >= 0 and max(shared) > 1 and (ax[0] == ax[1]) == (bx[0] == bx[1])


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_labels_stand_on_nothing(path: Path, direction: Layout) -> None:
    page = _page(path, direction)
    for number, (label, route) in enumerate(page.labels):
        assert not any(label.overlaps(other) for other, _ in page.labels[:number]), label
        assert not any(label.intersects(box.x, box.y, box.right, box.bottom) for box in page.boxes), label
        for other in page.routes:
            for (x0, y0), (x1, y1) in pairwise(other.points) if other is not route else ():
                assert not label.intersects(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), (label, other.link)


def test_both_ends_of_a_reused_map_say_whose_it_is() -> None:
    """A repeated block is read at the last layer of its last copy."""
    page = arrange(build_diagram(darkparse.compile("yolov3")))
    found = {(label.text, route.link.target) for label, route in page.labels if route.link.kind == "reused"}
    assert found == {("L61 · 38×38×512", 86), ("L61", 86), ("L36 · 76×76×256", 98), ("L36", 98)}


@pytest.mark.parametrize("path", CFGS)
def test_every_link_is_drawn_from_row_to_row(path: Path) -> None:
    page = _page(path, "TB")
    expected = {(link.source, link.target) for link in page.model.links} | {
        (h.source, h.index) for h in page.model.heads
    }
    assert {(route.link.source, route.link.target) for route in page.routes} == expected
    for route in page.routes:
        assert len(route.points) >= 2


@pytest.mark.parametrize("path", CFGS)
def test_beside_another_it_is_one_column(path: Path) -> None:
    page = _page(path, "narrow")
    assert {box.column for box in page.cards} == {0}
    assert [box.name for box in sorted(page.cards, key=lambda box: box.y)] == [card.name for card in page.model.cards]


@pytest.mark.parametrize("path", CFGS)
def test_a_page_is_no_larger_than_a_sheet_can_show(path: Path) -> None:
    """A3 at 40 % is about 4100 × 2900 points of 1/72 inch: small, and still to be read."""
    page = _page(path, "TB")
    assert max(page.width, page.height) <= 3300
    assert min(page.width, page.height) <= 2700


@needs_shared
@pytest.mark.parametrize(
    ("name", "points"),
    [("resnet152", 8), ("csdarknet53-omega", 6), ("densenet201", 7), ("vgg-16", 8.5), ("enet-coco", 4)],
)
def test_text_can_be_read_on_a_sheet(name: str, points: float) -> None:
    """What the small print of 9 points shrinks to on A3."""
    path = next(path for path in original_cfgs() if path.stem == name)
    assert 9 * _page(path, "TB").scale > points


def test_a_chain_at_one_scale_goes_on_in_the_next_column() -> None:
    layers = "".join(f"[convolutional]\nfilters={8 + number % 37}\nsize=3\npad=1\n" for number in range(200))
    picture = build_diagram(darkparse.compile(f"[net]\nwidth=16\nheight=16\nchannels=3\n{layers}"))
    page = arrange(picture)
    heights = [box.height for box in page.cards]
    assert len(heights) == len({box.column for box in page.cards}) > 2
    assert max(heights) < 1.2 * min(heights)
    assert [row.row.index for box in page.cards for row in box.rows] == [row.index for row in picture.cards[0].rows]


@pytest.mark.parametrize(("name", "columns"), [("yolov1", 1), ("yolov3", 2), ("yolov4", 3)])
def test_columns_of_scales_are_kept_where_more_would_say_less(name: str, columns: int) -> None:
    page = arrange(build_diagram(darkparse.compile(name)))
    assert len({box.column for box in page.cards}) == columns


@pytest.mark.parametrize(
    ("name", "columns"), [("yolov1", 1), ("yolov2", 1), ("yolov3", 2), ("yolov4", 3), ("yolov3-tiny", 2)]
)
def test_columns(name: str, columns: int) -> None:
    places = compute_places(build_diagram(darkparse.compile(name)).cards)
    assert len({column for column, _ in places}) == columns


def test_the_u_of_yolov3() -> None:
    """Down to the smallest map, then up again beside the maps of the same size."""
    assert compute_places(build_diagram(darkparse.compile("yolov3")).cards) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (0, 5),
        (1, 4),
        (1, 3),
    ]


def test_cards_of_one_scale_stand_side_by_side() -> None:
    page = _page(next(p for p in shipped_cfgs() if p.stem == "yolov4"), "TB")
    tops: dict[tuple[int, int], set[float]] = {}
    for box in page.cards:
        assert box.card is not None
        tops.setdefault(box.card.size, set()).add(box.y)
    assert all(len(ys) == 1 for ys in tops.values())


def test_the_title_is_as_wide_as_the_page_lets_it() -> None:
    """The legend is one line where there is room; a name that is wider is cut."""
    picture = build_diagram(darkparse.compile("yolov4"))
    legends = [
        [line for _, line in notes_box(picture, room).lines if line and line[0].size == LEGEND_FONT]
        for room in (300, 1200)
    ]
    assert [len(lines) for lines in legends] == [2, 1]
    block = title_box(replace(picture, name="name" * 100), 1200)
    assert 1100 < block.width <= 1200
    name = block.lines[0][1][0].text
    assert name.startswith("namename")
    assert name.endswith("…")


@pytest.mark.parametrize("path", CFGS)
def test_the_answer_stands_under_the_title_where_the_eye_starts(path: Path) -> None:
    page = _page(path, "TB")
    title = page.box["title"]
    assert (title.x, title.y) == (0, 0)
    assert isinstance(title, TextBox)
    name, answer = (line[0].text for _, line in title.lines[:2])
    assert name.startswith(page.model.name[:20])
    assert page.model.answer.startswith(answer)
    assert all(box is title or box.y >= title.bottom for box in page.boxes)


def test_room_lies_between_the_widest_font_and_the_narrowest() -> None:
    """DejaVu Sans has digits of 636 thousandths, PT Sans Narrow of 450; small letters of 0.547 and 0.5."""
    wide, narrow = (1000 * digit * 0.519 / height for digit, height in ((0.636, 0.547), (0.45, 0.5)))
    assert wide / 1.2 < 10 * text_width("5", 100) < narrow / 0.75
    assert text_width("Hello", 10, bold=True) > text_width("Hello", 10)


def test_wrap() -> None:
    assert wrap("a bb ccc", 1000, 10) == ("a bb ccc",)
    assert wrap("aaa bbb ccc", text_width("aaa bbb", 10) + 1, 10) == ("aaa bbb", "ccc")
    assert wrap("wider", 1, 10) == ("wider",)
