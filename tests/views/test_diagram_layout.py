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
from tests.views.networks import CFGS, compile_once

Layout = Direction | Literal["narrow"]
LAYOUTS: tuple[Layout, ...] = ("TB", "LR", "narrow")


@cache
def _page(path: Path, layout: Layout) -> Page:
    direction: Direction = "TB" if layout == "narrow" else layout
    return arrange(build_diagram(compile_once(path)), direction=direction, narrow=layout == "narrow")


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_page_boxes_do_not_overlap(path: Path, direction: Layout) -> None:
    boxes = _page(path, direction).boxes
    for number, a in enumerate(boxes):
        for b in boxes[:number]:
            apart = a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y
            assert apart, f"{a.name} {b.name}"


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_page_links_cross_no_box(path: Path, direction: Layout) -> None:
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
def test_page_links_do_not_cross_head_links(path: Path) -> None:
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
def test_page_of_one_column_has_head_below(name: str) -> None:
    page = arrange(build_diagram(compile_once(name)))
    (head,), last = page.heads, page.cards[-1]
    assert head.y > last.bottom
    assert head.x + head.width / 2 == last.x + last.width / 2


@pytest.mark.parametrize("direction", LAYOUTS)
@pytest.mark.parametrize("path", CFGS)
def test_page_links_of_two_kinds_do_not_overlap(path: Path, direction: Layout) -> None:
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
def test_page_labels_overlap_nothing(path: Path, direction: Layout) -> None:
    page = _page(path, direction)
    for number, (label, route) in enumerate(page.labels):
        assert not any(label.overlaps(other) for other, _ in page.labels[:number]), label
        assert not any(label.intersects(box.x, box.y, box.right, box.bottom) for box in page.boxes), label
        for other in page.routes:
            for (x0, y0), (x1, y1) in pairwise(other.points) if other is not route else ():
                assert not label.intersects(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), (label, other.link)


def test_page_labels_name_reused_map_at_both_ends() -> None:
    """A repeated block is read at the last layer of its last copy."""
    page = arrange(build_diagram(compile_once("yolov3")))
    found = {(label.text, route.link.target) for label, route in page.labels if route.link.kind == "reused"}
    assert found == {("L61 · 38×38×512", 86), ("L61", 86), ("L36 · 76×76×256", 98), ("L36", 98)}


@pytest.mark.parametrize("path", CFGS)
def test_page_routes_cover_every_link(path: Path) -> None:
    page = _page(path, "TB")
    expected = {(link.source, link.target) for link in page.model.links} | {
        (h.source, h.index) for h in page.model.heads
    }
    assert {(route.link.source, route.link.target) for route in page.routes} == expected
    for route in page.routes:
        assert len(route.points) >= 2


@pytest.mark.parametrize("path", CFGS)
def test_page_in_narrow_layout_has_one_column(path: Path) -> None:
    page = _page(path, "narrow")
    assert {box.column for box in page.cards} == {0}
    assert [box.name for box in sorted(page.cards, key=lambda box: box.y)] == [card.name for card in page.model.cards]


@pytest.mark.parametrize("path", CFGS)
def test_page_fits_on_a3(path: Path) -> None:
    """A3 at 40 % is about 4100 × 2900 points of 1/72 inch: small, and still to be read."""
    page = _page(path, "TB")
    assert max(page.width, page.height) <= 3300
    assert min(page.width, page.height) <= 2700


@needs_shared
@pytest.mark.parametrize(
    ("name", "points"),
    [("resnet152", 8), ("csdarknet53-omega", 6), ("densenet201", 7), ("vgg-16", 8.5), ("enet-coco", 4)],
)
def test_page_text_on_a3_is_readable(name: str, points: float) -> None:
    """What the small print of 9 points shrinks to on A3."""
    path = next(path for path in original_cfgs() if path.stem == name)
    assert 9 * _page(path, "TB").scale > points


def test_page_of_long_chain_uses_several_columns() -> None:
    layers = "".join(f"[convolutional]\nfilters={8 + number % 37}\nsize=3\npad=1\n" for number in range(200))
    picture = build_diagram(darkparse.compile(f"[net]\nwidth=16\nheight=16\nchannels=3\n{layers}"))
    page = arrange(picture)
    heights = [box.height for box in page.cards]
    assert len(heights) == len({box.column for box in page.cards}) > 2
    assert max(heights) < 1.2 * min(heights)
    assert [row.row.index for box in page.cards for row in box.rows] == [row.index for row in picture.cards[0].rows]


@pytest.mark.parametrize(("name", "columns"), [("yolov1", 1), ("yolov3", 2), ("yolov3-tiny", 2)])
def test_page_columns_follow_scales(name: str, columns: int) -> None:
    page = arrange(build_diagram(compile_once(name)))
    assert len({box.column for box in page.cards}) == columns


def test_page_of_yolov4_stacks_the_third_column_below_the_second() -> None:
    page = arrange(build_diagram(darkparse.compile("yolov4")))
    second = sorted((box for box in page.cards if box.column == 1), key=lambda box: box.y)
    assert [box.card.size for box in second] == [(76, 76), (38, 38), (38, 38), (19, 19)]
    beside = next(box for box in page.cards if box.column == 0 and box.card.size == (76, 76))
    assert second[0].y == beside.y
    assert page.height == max(box.bottom for box in page.cards if box.column == 0)


def test_page_of_compact_columns_has_equal_gaps() -> None:
    page = arrange(build_diagram(darkparse.compile("yolov3")))
    for column in (0, 1):
        cards = sorted((box for box in page.cards if box.column == column), key=lambda box: box.y)
        assert [b.y - a.bottom for a, b in pairwise(cards)] == pytest.approx(
            [page.spacing.level_gap] * (len(cards) - 1)
        )


@pytest.mark.parametrize(
    ("name", "columns"), [("yolov1", 1), ("yolov2", 1), ("yolov3", 2), ("yolov4", 3), ("yolov3-tiny", 2)]
)
def test_compute_places_uses_expected_columns(name: str, columns: int) -> None:
    places = compute_places(build_diagram(compile_once(name)).cards)
    assert len({column for column, _ in places}) == columns


def test_compute_places_of_yolov3_forms_a_u() -> None:
    """Down to the smallest map, then up again beside the maps of the same size."""
    assert compute_places(build_diagram(compile_once("yolov3")).cards) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (0, 5),
        (1, 4),
        (1, 3),
    ]


def test_page_cards_of_one_scale_are_aligned_where_text_is_legible() -> None:
    page = _page(next(p for p in shipped_cfgs() if p.stem == "yolov3-tiny"), "TB")
    tops: dict[tuple[int, int], set[float]] = {}
    for box in page.cards:
        assert box.card is not None
        tops.setdefault(box.card.size, set()).add(box.y)
    assert all(len(ys) == 1 for ys in tops.values())


def test_title_and_legend_use_page_width() -> None:
    """The legend is one line where there is room; a name that is wider is cut."""
    picture = build_diagram(compile_once("yolov4"))
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
def test_page_answer_is_below_title(path: Path) -> None:
    page = _page(path, "TB")
    title = page.box["title"]
    assert (title.x, title.y) == (0, 0)
    assert isinstance(title, TextBox)
    name, answer = (line[0].text for _, line in title.lines[:2])
    assert name.startswith(page.model.name[:20])
    assert page.model.answer.startswith(answer)
    assert all(box is title or box.y >= title.bottom for box in page.boxes)


def test_text_width_covers_wide_and_narrow_fonts() -> None:
    """DejaVu Sans has digits of 636 thousandths, PT Sans Narrow of 450; small letters of 0.547 and 0.5."""
    wide, narrow = (1000 * digit * 0.519 / height for digit, height in ((0.636, 0.547), (0.45, 0.5)))
    assert wide / 1.2 < 10 * text_width("5", 100) < narrow / 0.75
    assert text_width("Hello", 10, bold=True) > text_width("Hello", 10)


def test_wrap_breaks_at_spaces_only() -> None:
    assert wrap("a bb ccc", 1000, 10) == ("a bb ccc",)
    assert wrap("aaa bbb ccc", text_width("aaa bbb", 10) + 1, 10) == ("aaa bbb", "ccc")
    assert wrap("wider", 1, 10) == ("wider",)
