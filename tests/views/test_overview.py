"""The overview: every layer in one box, costs that add up, nothing that overlaps, and type that stays legible."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import darkparse
from darkparse.errors import DarkparseError
from darkparse.network.analysis.stages import find_stages
from darkparse.network.node import Cost
from darkparse.views.diagram.build import build_diagram
from darkparse.views.diagram.diagram import Diagram
from darkparse.views.diagram.font_metrics import text_width
from darkparse.views.diagram.layout.page import Direction
from darkparse.views.diagram.overview.boxes import FONT, MIN_TICK, PADDING, Band, StageBox
from darkparse.views.diagram.overview.content import Overview, build_overview
from tests.conftest import needs_shared, original_cfgs, original_params, shipped_cfgs
from tests.views.networks import CFGS, compile_once
from tests.views.svg import SVG, texts

DIRECTIONS: tuple[Direction, ...] = ("TB", "LR")


def _path(name: str) -> Path:
    paths = [*shipped_cfgs(), *original_cfgs()]
    return next((path for path in paths if path.stem == name), Path(name))


@cache
def _draw(path: Path, direction: Direction = "TB") -> Diagram:
    return darkparse.draw(compile_once(path), detail="stages", direction=direction)


def _overview(name: str) -> Overview:
    return build_overview(darkparse.compile(_path(name)))


def _boxes(diagram: Diagram) -> list[StageBox]:
    return [box for box in diagram.sheet.pages[0].page.boxes if isinstance(box, StageBox)]


@pytest.mark.parametrize("path", CFGS)
def test_stages_contain_every_layer_once(path: Path) -> None:
    network = compile_once(path)
    layers = [index for stage in find_stages(network) for index in stage.layers]
    assert sorted(layers) == list(range(len(network.nodes)))


@pytest.mark.parametrize("path", CFGS)
def test_costs_of_stages_add_up_to_that_of_the_network(path: Path) -> None:
    diagram = _draw(path)
    (overview,), (network,) = diagram.overviews, diagram.networks
    assert sum((stage.cost for stage in overview.stages), Cost()) == network.cost
    assert sum(stage.share for stage in overview.stages) == pytest.approx(1 if network.cost.params else 0)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("path", CFGS)
def test_boxes_of_an_overview_do_not_overlap(path: Path, direction: Direction) -> None:
    page = _draw(path, direction).sheet.pages[0].page
    for a, b in combinations(page.boxes, 2):
        apart = a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y
        assert apart, f"{a.name} {b.name}"


@pytest.mark.parametrize("path", CFGS)
def test_bands_of_an_overview_do_not_overlap_and_contain_their_boxes(path: Path) -> None:
    page = _draw(path).sheet.pages[0].page
    for a, b in combinations(page.parts, 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
        assert apart, f"{a.name} {b.name}"
    for box in _boxes(_draw(path)):
        assert any(_contains(band, box) for band in page.parts), box.name


def _contains(band: Band, box: StageBox) -> bool:
    return (
        band.x <= box.x and box.right <= band.x + band.width and band.y <= box.y and box.bottom <= band.y + band.height
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("path", CFGS)
def test_links_of_an_overview_go_round_the_boxes(path: Path, direction: Direction) -> None:
    page = _draw(path, direction).sheet.pages[0].page
    for route in page.routes:
        for (x0, y0), (x1, y1) in pairwise(route.points):
            assert x0 == x1 or y0 == y1
            for box in page.boxes:
                inside_x = max(x0, x1) > box.x + 1 and min(x0, x1) < box.right - 1
                inside_y = max(y0, y1) > box.y + 1 and min(y0, y1) < box.bottom - 1
                assert not (inside_x and inside_y), f"{route.link} crosses {box.name}"


@pytest.mark.parametrize("path", CFGS)
def test_text_and_ticks_of_a_stage_fit_into_its_box(path: Path) -> None:
    for box in _boxes(_draw(path)):
        assert 3 <= len(box.stage.lines) <= 4
        for number, line in enumerate(box.stage.lines):
            assert text_width(line, FONT, bold=number == 0) <= box.width - 2 * PADDING + 0.01, line
        for item in box.strip:
            assert item.x + item.width <= box.width - 2 * PADDING + 0.1 or item.x == 0
            assert item.width >= MIN_TICK - 0.01
        for a, b in pairwise(box.strip):
            assert b.row > a.row or b.x >= a.x + a.width - 0.01


@pytest.mark.parametrize("path", CFGS)
def test_strip_shows_each_layer_or_one_copy_with_count(path: Path) -> None:
    for box in _boxes(_draw(path)):
        shown = [item.tick.index for item in box.strip if item.tick]
        if len(shown) < len(box.stage.layers):
            assert any(item.text for item in box.strip)
            shown = [tick.index for group in box.stage.groups for tick in group.ticks]
        assert shown == list(box.stage.layers)


@pytest.mark.parametrize("path", CFGS)
def test_no_type_of_an_overview_is_smaller_than_its_font(path: Path) -> None:
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', _draw(path).svg())]
    assert min(sizes) == FONT


@needs_shared
@pytest.mark.parametrize(
    ("name", "points", "width", "height"),
    [
        ("yolov3", 6.5, 241, None),
        ("yolov4-tiny", 6.5, 241, None),
        ("yolov4", 8, 505, 650),
        ("yolov7", 8, 505, 650),
        pytest.param("yolov4-p6", 8, 505, 650, marks=pytest.mark.slow),
        pytest.param("cspx-p7-mish", 8, 505, 650, marks=pytest.mark.slow),
    ],
)
def test_overview_fits_column_or_page(name: str, points: float, width: float, height: float | None) -> None:
    size = _draw(_path(name)).sheet.size
    assert size[0] * points / FONT <= width
    assert height is None or size[1] * points / FONT <= height


def test_overview_of_yolov4_names_blocks_scales_and_reductions() -> None:
    stages = _overview("yolov4").stages
    assert [stage.part for stage in stages].count("backbone") == 6
    assert [(stage.span, stage.block) for stage in stages[1:7]] == [
        ("L1–L10", "CSP"),
        ("L11–L23", "CSP × 2"),
        ("L24–L54", "CSP × 8"),
        ("L55–L85", "CSP × 8"),
        ("L86–L104", "CSP × 4"),
        ("L105–L116", "SPP"),
    ]
    assert stages[4].lines == ("38×38×512 (1/16)", "CSP × 8", "1×1: 2 of 12 reduce", "7.01M · 20.3 GFLOPs")
    assert [stage.span for stage in stages if stage.part == "head"] == ["L137–L139", "L148–L150", "L159–L161"]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("yolov3", ["Conv", "Residual", "Residual × 2", "Residual × 8", "Residual × 8", "Residual × 4", "Conv × 5"]),
        ("yolov4-tiny", ["Conv", "CSP", "CSP", "CSP", "Max pool, Conv × 2"]),
        ("darknet53", ["Conv", "Residual", "Residual × 2", "Residual × 8", "Residual × 8", "Residual × 4"]),
    ],
)
def test_overview_names_the_blocks_of_the_backbone(name: str, blocks: list[str]) -> None:
    assert [stage.block for stage in _overview(name).stages][: len(blocks)] == blocks


@needs_shared
@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet50", ["Conv", "Bottleneck × 3", "Bottleneck × 4", "Bottleneck × 6", "Bottleneck × 3"]),
        ("densenet201", ["Conv", "Dense × 6", "Dense × 12", "Dense × 48", "Dense × 32"]),
        ("efficientnet_b0", ["MBConv", "MBConv × 2", "MBConv × 5", "MBConv × 3", "MBConv × 5"]),
        ("yolov7", ["Conv", "Conv × 2", "ELAN", "ELAN", "ELAN", "ELAN", "SPP", "ELAN", "ELAN", "ELAN", "ELAN"]),
    ],
)
def test_overview_names_the_blocks_of_other_families(name: str, blocks: list[str]) -> None:
    assert [stage.block for stage in _overview(name).stages][: len(blocks)] == blocks


@needs_shared
def test_stage_of_convolution_before_stride_is_its_readers() -> None:
    """L15 of yolov7 is a 1×1 at 160×160 that only the 3×3 with stride 2 reads, beside the pooled path."""
    network = darkparse.compile(_path("yolov7"))
    stage = next(stage for stage in find_stages(network) if 15 in stage.layers)
    assert (network.nodes[15].out_shape.h, stage.size) == (160, (80, 80))


def test_stage_of_convolution_before_upsampling_is_the_larger() -> None:
    network = compile_once("yolov3")
    stage = next(stage for stage in find_stages(network) if 84 in stage.layers)
    assert network.nodes[85].kind == "upsample"
    assert (network.nodes[84].out_shape.h, stage.size) == (19, (38, 38))


def test_heads_stand_on_the_level_of_their_source() -> None:
    page = _draw(_path("yolov4")).sheet.pages[0].page
    heads = [route for route in page.routes if route.link.kind == "head"]
    assert len(heads) == 3
    for route in heads:
        assert len(route.points) == 2
        assert route.points[0][1] == route.points[1][1]
        assert page.box[route.source].y == page.box[route.target].y


def test_skips_of_an_overview_are_straight_and_dashed() -> None:
    diagram = _draw(_path("yolov4"))
    skips = [route for route in diagram.sheet.pages[0].page.routes if route.link.kind == "reused"]
    assert {(route.link.source, route.link.target) for route in skips} == {(4, 7), (3, 8), (7, 10), (6, 12)}
    assert all(len(route.points) == 2 for route in skips)
    assert diagram.svg().count('class="edge reused small"') == 4


@pytest.mark.parametrize("path", CFGS)
def test_overview_is_valid_svg_with_one_link_per_stage(path: Path) -> None:
    svg = _draw(path).svg()
    links = ElementTree.fromstring(svg).findall(f".//{SVG}a")
    assert len(links) == len(_draw(path).overviews[0].stages)
    assert all(link.find(f"{SVG}title") is not None for link in links)
    assert {"Backbone"} <= {text.words for text in texts(svg)} or _draw(path).overviews[0].stages[0].part != "backbone"


def test_overview_of_layer_range_shows_only_these() -> None:
    diagram = darkparse.draw("yolov3", detail="stages", layers=range(62, 85))
    shown = [index for stage in diagram.overviews[0].stages for index in stage.layers]
    assert sorted(shown) == list(range(62, 85))
    assert "L62–L74" in diagram.svg()


def test_two_overviews_stand_side_by_side_with_marks() -> None:
    diagram = darkparse.draw("yolov3", "yolov3-tiny", detail="stages")
    first, second = diagram.sheet.pages
    assert first.x + first.page.width < second.x
    assert {stage.mark for overview in diagram.overviews for stage in overview.stages} >= {"≠"}
    names = re.findall(r'id="((?:n2_)?stage\d+)"', diagram.svg())
    assert len(names) == len(set(names)) > 10


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_overview_is_drawn_in_every_format(tmp_path: Path, theme: str) -> None:
    diagram = darkparse.draw("yolov3", detail="stages", theme=theme)  # type: ignore[arg-type]
    assert diagram.render(tmp_path / "a.svg").read_bytes().startswith(b"<svg")
    assert diagram.render(tmp_path / "a.html").read_bytes().startswith(b"<!doctype")
    assert "Residual × 8" in diagram.render(tmp_path / "a.dot").read_text("utf-8")


def test_overlay_and_stages_do_not_go_together() -> None:
    with pytest.raises(DarkparseError, match="an overlay requires detail 'layers', got 'stages'"):
        darkparse.draw("yolov3", detail="stages", overlay="memory")
    with pytest.raises(DarkparseError, match="detail"):
        darkparse.draw("yolov3", detail="boxes")  # type: ignore[arg-type]


def test_to_graphviz_of_stages_has_a_node_per_stage() -> None:
    source = darkparse.to_graphviz("yolov3", detail="stages").source
    overview = build_overview(compile_once("yolov3"))
    nodes = set(re.findall(r"^\s*(stage\d+) \[label", source, re.MULTILINE))
    assert nodes == {stage.name for stage in overview.stages}
    assert source.count("#L") == len(overview.stages)
    assert re.search(r"stage6 -> stage8 \[.*dir=back", source) or re.search(r"stage8 -> stage6 \[.*dir=back", source)


def test_width_is_that_of_the_page_and_type_stays_legible() -> None:
    for width, detail in ((241, "stages"), ("17cm", "stages"), (1400, "layers")):
        diagram = darkparse.draw("yolov3", width=width)
        assert diagram.detail == detail
        svg = diagram.svg()
        match = re.search(r' width="([\d.]+)pt"', svg)
        points = width if not isinstance(width, str) else 17 * 72 / 2.54
        assert match is not None
        assert float(match[1]) == pytest.approx(points, rel=1e-4)
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)]
        assert min(sizes) * diagram.sheet.scale >= 6


def test_width_that_is_too_small_names_the_least_that_works() -> None:
    with pytest.raises(DarkparseError, match=r"got 60pt; expected at least (\d+)pt") as raised:
        darkparse.draw("yolov3", width="60pt")
    match = re.search(r"least (\d+)pt", str(raised.value))
    assert match is not None
    least = int(match[1])
    assert darkparse.draw("yolov3", width=least).sheet.scale * FONT >= 6
    with pytest.raises(DarkparseError, match="too small"):
        darkparse.draw("yolov3", width=least - 1)


@pytest.mark.parametrize("width", ["wide", "-3pt", "0pt", "17", "1e5cm", "99999cm", "", "nanpt"])
def test_invalid_width_is_one_clear_error(width: str) -> None:
    with pytest.raises(DarkparseError, match=r"invalid width, got .*expected a length such as 241pt"):
        darkparse.draw("yolov3-tiny", width=width)


@pytest.mark.parametrize("detail", ["layers", "stages"])
def test_without_title_only_the_legend_is_left(detail: str) -> None:
    with_title, without = (
        darkparse.draw("yolov3-tiny", detail=detail, title=title)  # type: ignore[arg-type]
        for title in (True, False)
    )
    words = {text.words for text in texts(without.svg())}
    assert "yolov3-tiny" not in words
    assert not any("GFLOPs (" in text for text in words)
    assert any("reduced" in text for text in words)
    assert without.sheet.height < with_title.sheet.height


@needs_shared
@pytest.mark.parametrize("path", original_params())
def test_stages_of_any_network_have_a_block_and_a_scale(path: Path) -> None:
    overview = build_overview(compile_once(path))
    model = build_diagram(compile_once(path))
    assert len(overview.stages) <= 4 * len(model.cards) + len(model.heads)
    assert all(stage.shape and stage.block for stage in overview.stages)


def test_notebook_html_has_overview_diagram_and_zoom() -> None:
    bundle = darkparse.draw("yolov3-tiny")._repr_mimebundle_()
    assert bundle["text/html"].count("<svg ") == 2
    assert 'aria-label="Stages of ' in bundle["text/html"]
    assert 'type="checkbox" class="darkparse-zoom"' in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert bundle["image/svg+xml"] in bundle["text/html"]
    assert darkparse.draw("yolov3-tiny", detail="stages")._repr_mimebundle_()["text/html"].count("<svg ") == 1


@pytest.mark.parametrize(("name", "has_head"), [("yolov1", True), ("resnet50", False)])
def test_overview_legend_has_a_projection_only_of_networks_with_one(name: str, has_head: bool) -> None:
    assert (">to a head<" in darkparse.draw(name, detail="stages").svg()) == has_head


def test_lines_of_an_overview_title_do_not_begin_with_a_separator() -> None:
    words = [text.words for text in texts(darkparse.draw("yolov3", detail="stages").svg())]
    assert "leaky activation" in words
    assert not any(text.startswith("·") for text in words)
