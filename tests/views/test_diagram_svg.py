"""The picture says what the network is: facts read back from the SVG's text, texts in their places,
DOT as golden files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import darkparse
from darkparse.network import Network
from darkparse.views.diagram.theme import ThemeName
from tests.conftest import SHARED
from tests.views.networks import CFGS, compile_once
from tests.views.svg import rows, texts


@cache
def _drawn(path: Path) -> tuple[Network, str, float]:
    """Return the network, its SVG, and the seconds of CPU time that drawing took."""
    start = time.process_time()
    network = darkparse.compile(path)
    return network, darkparse.draw(network).svg(), time.process_time() - start


@pytest.mark.parametrize("path", CFGS)
def test_draw_takes_under_3_seconds_of_cpu_time(path: Path) -> None:
    assert _drawn(path)[2] < 3


@pytest.mark.parametrize("path", CFGS)
def test_svg_texts_do_not_overlap(path: Path) -> None:
    found = sorted(texts(_drawn(path)[1]), key=lambda t: t.top)
    assert len(found) > 10
    for number, a in enumerate(found):
        for b in found[number + 1 :]:
            if b.top >= a.bottom - 1:
                break
            assert a.right <= b.left + 1 or b.right <= a.left + 1, f"{a.words!r} overlaps {b.words!r}"


@pytest.mark.parametrize("path", CFGS)
def test_svg_texts_stay_in_their_cells(path: Path) -> None:
    cells = [text for text in texts(_drawn(path)[1]) if text.cell is not None]
    assert cells
    for text in cells:
        assert text.cell is not None
        left, top, right, bottom = text.cell
        assert left - 0.5 <= text.left, text.words
        assert text.right <= right + 0.5, text.words
        assert top <= text.top <= text.bottom <= bottom + 1, text.words


@pytest.mark.parametrize("name", ["yolov1", "yolov3"])
def test_svg_texts_of_row_share_baseline(name: str) -> None:
    """Bold names and plain ones of one size alike; `<B>` puts them two points higher."""
    found = texts(darkparse.draw(compile_once(name)).svg())
    wrapped = {text.layer for text in found if text.words == "(linear)"}
    pairs = [
        (number, label)
        for number, label in pairwise(found)
        if number.words == f"L{number.layer}" and number.layer not in wrapped
    ]
    found_at = {(round(label.bottom - label.top), round(label.top - number.top, 1)) for number, label in pairs}
    assert len(found_at) == len({height for height, _ in found_at})


@pytest.mark.parametrize("name", ["yolov1", "yolov2"])
def test_svg_card_costs_are_right_aligned(name: str) -> None:
    """With a dash between layers and without."""
    costs = [
        text.right for text in texts(darkparse.draw(compile_once(name)).svg()) if re.match(r"L\d.*FLOPs$", text.words)
    ]
    assert len(costs) > 4
    assert max(costs) - min(costs) <= 2


@pytest.mark.parametrize("path", CFGS)
def test_svg_shapes_equal_network(path: Path) -> None:
    """Every row's height × width and channels, to the digit."""
    network, svg, _ = _drawn(path)
    shown = rows(svg)
    assert set(network.heads) <= set(shown)
    for index, words in shown.items():
        node = network.nodes[index]
        if node.layer.role == "head" or node.in_shape is None:
            continue
        first = next(i for i, word in enumerate(words) if re.match(r"[▼=▲] (vector|\d)", word))
        channels = " ".join(words[first + 1 :])
        assert _size_at_the_end(words[first]) == (
            (node.out_shape.h, node.out_shape.w) if node.out_shape.is_map else "vector"
        )
        assert _count_at_the_end(channels) == node.out_shape.c, (index, words)


def _size_at_the_end(cell: str) -> tuple[int, int] | str:
    after = re.split("→", cell.split(" (")[0].lstrip("▼=▲ "))[-1]
    if after == "vector":
        return after
    height, _, width = after.partition("×")
    return int(height), int(width or height)


def _count_at_the_end(cell: str) -> int:
    """The channels that go out; a growing repeat's first copy stands before the dots,
    a joined map's behind the sign."""
    text = cell.replace(",", "").split(" … ")[0].split(": ")[0].split(" (")[0]
    if cell.startswith("→") or " = " in text:
        return int(re.findall(r"\d+", text)[0 if cell.startswith("→") else -1])
    return int(re.findall(r"\d+", text.split("→")[-1])[0])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("yolov1", "1×1 convolutions: 7 of 9 reduce channels, 2 do not (L6, L17)"),
        ("yolov3", "1×1 convolutions: 34 of 34 reduce channels; 3 more project to the heads"),
        ("yolov4", "1×1 convolutions: 30 of 63 reduce channels, 33 do not (L2, L4, L8, L15, L18, L21, L23, L28 …)"),
        ("yolov1", "Height×width: 448→7 (÷64) in 6 halving steps: L0, L1, L3, L8, L19, L25"),
        (
            "yolov1",
            "Pairs (1×1 then k×k): 7 save 12.7M weights and 10.6 GFLOPs "
            "over direct k×k (28.8M weights, 25 GFLOPs); 2 cost more",
        ),
        (
            "yolov3",
            "Bottleneck pairs (1×1 then k×k): 32 save 45.3M weights and 103 GFLOPs "
            "over direct k×k (100M weights, 225 GFLOPs)",
        ),
        (
            "yolov4",
            "Pairs (1×1 then k×k): 15 save 36M weights and 50.7 GFLOPs "
            "over direct k×k (70.4M weights, 109 GFLOPs); 25 cost more",
        ),
    ],
)
def test_svg_contains_answer(name: str, sentence: str) -> None:
    svg = darkparse.draw(compile_once(name)).svg()
    lines = " ".join(text.words.strip() for text in texts(svg))
    assert f"• {sentence}" in lines


@pytest.mark.parametrize("name", ["yolov1", "yolov3", "yolov4"])
def test_svg_signs_sum_to_pointwise_stats(name: str) -> None:
    """Unfolded, as many 1×1 rows carry ▼ in their channels cell as the title says."""
    network = compile_once(name)
    shown = rows(darkparse.draw(network, fold=False).svg())
    pointwise = {i: words for i, words in shown.items() if any(word.startswith("conv 1×1") for word in words)}
    reducing = [i for i, words in pointwise.items() if any(re.match(r"▼ \d+→\d+ \(÷", word) for word in words)]
    silent = [i for i, words in pointwise.items() if any("no reduction, mixes channels only" in word for word in words)]
    projecting = [i for i, words in pointwise.items() if any(word.startswith("→") for word in words)]
    assert {"yolov1": (7, 2, 0), "yolov3": (34, 0, 3), "yolov4": (30, 33, 3)}[name] == (
        len(reducing),
        len(silent),
        len(projecting),
    )


@pytest.mark.parametrize("name", ["yolov1", "yolov3"])
def test_svg_bottleneck_savings_equal_network(name: str) -> None:
    network = compile_once(name)
    notes = [
        text.words
        for text in texts(darkparse.draw(network, fold=False).svg())
        if re.search(r"└ (bottleneck|block) L", text.words)
    ]
    assert len(notes) == len(network.bottlenecks)
    for note, block in zip(sorted(notes, key=_first_layer), network.bottlenecks, strict=True):
        share = re.search(r"(saves|costs) (\d+)%", note)
        assert share is not None
        exact = 100 * block.saved_weights / block.direct_weights
        assert round(abs(exact)) == int(share[2])
        assert (share[1] == "saves") == (exact > 0)


def _first_layer(note: str) -> int:
    match = re.search(r"L(\d+)", note)
    assert match is not None
    return int(match[1])


@pytest.mark.parametrize("name", ["yolov1", "yolov2", "yolov3", "yolov4", "yolov4-tiny", "darknet53"])
def test_dot_matches_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"views/{name}.dot", darkparse.draw(compile_once(name)).dot)


@pytest.mark.slow
@pytest.mark.skipif(
    not SHARED.is_dir(),
    reason="needs Darknet's reference numbers in ../shared, which are not published; tests/data/reference has a part",
)
@pytest.mark.parametrize("path", CFGS)
@pytest.mark.parametrize("options", [{"fold": False}, {"direction": "LR"}, {"notes": False, "theme": "print"}], ids=str)
def test_draw_with_any_option_draws_every_network(path: Path, options: dict[str, object]) -> None:
    svg = darkparse.draw(compile_once(path), **options).svg()  # type: ignore[arg-type]
    assert "height×width" in svg


def test_default_theme_follows_the_color_scheme_and_others_do_not() -> None:
    network = darkparse.compile("yolov3-tiny")
    assert "@media (prefers-color-scheme:dark)" in darkparse.draw(network).svg()
    assert "prefers-color-scheme" not in darkparse.draw(network, theme="print").svg()
    assert "prefers-color-scheme" not in darkparse.draw(network, theme="dark").svg()


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_svg_colors_apply_to_diagrams_of_its_theme_only(theme: ThemeName) -> None:
    svg = darkparse.draw("yolov3-tiny", theme=theme).svg()
    assert f'class="darkparse darkparse-{theme}"' in svg
    assert set(re.findall(r"([^{}>]+)\{--page:", svg)) == {f".darkparse-{theme}"}
