"""`check --training` reports anchors, masks, frozen layers and batches that train otherwise than they look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import darkparse
from darkparse.cli.edit import command as edit
from darkparse.diagnostics import Diagnostic
from darkparse.network.anchor_lint import lint_anchors
from darkparse.network.freezing import find_gradient_stops
from darkparse.network.training_lint import lint_training
from tests.conftest import DATA, ROOT

CASES = DATA / "cases"
NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride={}\npad=1\nactivation=leaky\n{}"
LINEAR = "[convolutional]\nfilters={}\nsize=1\nactivation=linear\n"
ANCHORS = "5,7, 9,12, 14,20, 22,30, 40,38, 60,70"


def make_heads(coarse: str, fine: str, anchors: str = ANCHORS, more: str = "") -> str:
    """Return a cfg with a head on a grid of 4×4, then one on a grid of 8×8."""
    heads = [
        LINEAR.format(7 * (mask.count(",") + 1))
        + f"[yolo]\nmask={mask}\nanchors={anchors}\nclasses=2\nnum={(anchors.count(',') + 1) // 2}\n{more}"
        for mask in (coarse, fine)
    ]
    return f"{NET}{CONV.format(8, '')}{CONV.format(2, '')}{heads[0]}[route]\nlayers=0\n{heads[1]}"


def lint(cfg: str | Path, code: str, dialect: str | None = None) -> list[Diagnostic]:
    return [f for f in lint_training(darkparse.compile(cfg, dialect=dialect)) if f.code == code]


@pytest.mark.parametrize("path", [CASES / "anchor-0-unused.cfg", ROOT / "cfgs" / "yolov4-tiny.cfg"])
def test_unused_anchor_of_published_cfg_is_reported_with_mask(path: Path) -> None:
    (finding,) = lint(path, "unused-anchors")
    assert finding.span is not None
    assert finding.span.text == "1,2,3"
    assert "anchor 0 (" in finding.message
    assert "is not used by any head, anchor 3 (" in finding.message
    assert "by two: objects nearest to it in shape train no predictor" in finding.message
    assert finding.message.endswith(f"write mask=0,1,2 in line {finding.span.line} for your own training")
    text, start = path.read_text(), finding.span.start
    assert not lint(f"{text[:start]}0,1,2{text[finding.span.end :]}", "unused-anchors")


def test_masks_that_use_each_anchor_once_are_not_reported() -> None:
    text = make_heads("3,4,5", "0,1,2")
    assert not [f for f in lint_training(darkparse.compile(text)) if f.code in ("unused-anchors", "mask-order")]


def test_more_anchors_than_mask_entries_are_reported() -> None:
    (finding,) = lint(make_heads("3,4,5", "0,1,2", f"{ANCHORS}, 80,90"), "unused-anchors")
    assert "anchor 6 (80×90) is not used by any head" in finding.message
    assert "anchors= has 7 pairs, but the masks select 6" in finding.message


def test_unused_anchors_with_iou_thresh_names_remaining_predictors() -> None:
    (finding,) = lint(make_heads("3,4,5", "1,2,3", more="iou_thresh=.2\n"), "unused-anchors", "alexeyab")
    assert "overlaps them by more than iou_thresh=" in finding.message


def test_anchor_that_another_list_covers_is_not_reported() -> None:
    text = make_heads("0,1", "0,1", "22,30, 60,70").replace("anchors=22,30, 60,70", "anchors=5,7, 9,12", 2)
    text = text.replace("anchors=5,7, 9,12", "anchors=22,30, 60,70, 5,7, 9,12", 1).replace("num=2", "num=4", 1)
    assert not lint(text, "unused-anchors")


def test_masks_in_reverse_order_are_reported_at_the_coarse_head() -> None:
    (finding,) = lint(make_heads("0,1,2", "3,4,5"), "mask-order")
    assert finding.span is not None
    assert finding.span.text == "0,1,2"
    assert (
        "4×4 grid has smaller anchors (5×7 to 14×20) than the 8×8 grid of layer 6 (22×30 to 60×70)" in finding.message
    )


def test_mask_that_names_anchors_backwards_is_reported() -> None:
    (finding,) = lint(make_heads("5,4,3", "0,1,2"), "mask-order")
    assert "in reverse" in finding.message
    assert "mask=3,4,5" in finding.message


def test_edit_anchors_beyond_the_masks_prints_the_finding(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(make_heads("3,4,5", "0,1,2"))
    run = CliRunner().invoke(edit, [str(path), "--anchors", f"{ANCHORS}, 80,90, 99,99"], catch_exceptions=False)
    assert run.exit_code == 0
    assert "anchors 6 (80×90) and 7 (99×99) are not used by any head" in run.stderr
    assert "used by no head" not in CliRunner().invoke(edit, [str(path), "--anchors", ANCHORS]).stderr


@pytest.mark.parametrize(
    ("dialect", "message", "layers"),
    [
        (
            "alexeyab",
            "layers 0 and 1 are frozen; layer 2 receives no gradient, but its batch norm and decay= still change it; "
            "set dont_update= in a section to freeze its weights",
            {1: "It is frozen during training", 2: "It receives no gradient during training", 3: ""},
        ),
        (
            "pjreddie",
            "layers 0 to 2 receive no gradient, but their batch norm and decay= still change them; "
            "set learning_rate=0 in a section to freeze its weights",
            {1: "It receives no gradient during training", 2: "It receives no gradient during training", 3: ""},
        ),
    ],
)
def test_stopbackward_is_reported_by_dialect(dialect: str, message: str, layers: dict[int, str]) -> None:
    (finding,) = lint(CASES / "stopbackward.cfg", "frozen", dialect)
    assert finding.message == f"stopbackward=1: {message}"
    network = darkparse.compile(CASES / "stopbackward.cfg", dialect=dialect)
    for index, text in layers.items():
        explanation = darkparse.explain(network, index)
        assert text in str(explanation)
        assert ("during training" in str(explanation)) == bool(text)
        assert text in (json.loads(explanation.json())["training"] or "")
        assert text in explanation.markdown()


@pytest.mark.parametrize(
    ("values", "dialect", "stops"),
    [
        ({}, "pjreddie", []),
        ({2: 1}, "pjreddie", [(2, None, 0)]),
        ({2: 1, 5: 800}, "pjreddie", [(5, None, 0)]),
        ({2: 1}, "alexeyab", [(2, None, 2)]),
        ({2: 1, 5: 800}, "alexeyab", [(2, None, 2), (5, 800, 2)]),
        ({2: 800}, "alexeyab", [(2, 800, 0)]),
        ({1: 800, 4: 1}, "alexeyab", [(4, None, 4)]),
        ({0: 1}, "alexeyab", [(0, None, 0)]),
        ({3: 0}, "alexeyab", []),
    ],
)
def test_gradient_stops_follow_the_fork(
    values: dict[int, int], dialect: str, stops: list[tuple[int, int | None, int]]
) -> None:
    found = find_gradient_stops(values, darkparse.layers.DIALECTS[dialect])
    assert [(stop.index, stop.until, len(stop.frozen)) for stop in found] == stops


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("", "but its batch norm and decay= still change it"),
        ("decay=0\n", "but its batch norm still changes it"),
    ],
)
def test_frozen_layer_that_still_decays_is_named(net: str, message: str) -> None:
    text = NET + net + CONV.format(2, "stopbackward=1\n") + CONV.format(2, "")
    (finding,) = lint(text, "frozen", "pjreddie")
    assert finding.message.startswith(f"stopbackward=1: layer 0 receives no gradient, {message}")


def test_stop_up_to_an_iteration_names_it() -> None:
    (finding,) = lint(NET + CONV.format(2, "") + CONV.format(2, "stopbackward=800\n"), "frozen", "alexeyab")
    assert "layers 0 and 1 receive no gradient up to iteration 800" in finding.message


def test_batch_below_subdivisions_is_an_empty_mini_batch() -> None:
    findings = [*lint_training(darkparse.compile(CASES / "batch-less.cfg"))]
    assert [f.code for f in findings] == ["batch"]
    assert "mini-batch is empty and nothing is learned; darkparse uses 1 image" in findings[0].message


@pytest.mark.parametrize(("net", "codes"), [
    ("subdivisions=4\n", ["batch"]),
    ("batch=7\nsubdivisions=4\n", ["training"]),
    ("batch=8\nsubdivisions=4\n", []),
    ("batch=4\nsubdivisions=4\n", []),
])  # fmt: skip
def test_batch_and_subdivisions_are_reported_once(net: str, codes: list[str]) -> None:
    network = darkparse.compile(NET + net + CONV.format(2, ""))
    assert [f.code for f in lint_training(network)] == codes


@pytest.mark.parametrize("value", ["abc", "inf", "nan", "1e400", "-1", ""])
def test_lint_of_invalid_stopbackward_has_no_findings(value: str) -> None:
    text = NET + f"decay={value}\n" + CONV.format(2, f"stopbackward={value}\n") + CONV.format(2, "")
    assert not lint(text, "frozen", "alexeyab")


def test_kinds_that_darknet_never_updates_are_reported_for_its_fork() -> None:
    text = f"{NET}{CONV.format(1, '')}[batchnorm]\n[connected]\noutput=2\n[softmax]\n"
    never = "AlexeyAB/darknet never updates layers of this kind"
    for dialect, lines in (("alexeyab", [12, 13]), ("pjreddie", [])):
        found = lint_training(darkparse.compile(text, dialect=dialect))
        assert [one.span.line for one in found if one.span and never in one.message] == lines


@pytest.mark.parametrize(("width", "is_reported"), [(95, False), (94, True)])
def test_unused_anchor_as_large_as_a_used_one_is_not_reported(width: int, is_reported: bool) -> None:
    """The limit is an IoU of 0.95: such anchors have the same shape."""
    head = f"[convolutional]\nfilters=6\n[yolo]\nclasses=1\nnum=2\nmask=0\nanchors=100,100, {width},100\n"
    network = darkparse.compile(f"[net]\nwidth=128\nheight=128\nchannels=3\n{head}")
    assert any("not used by any head" in str(finding) for finding in lint_anchors(network)) is is_reported
