"""Findings name a remedy that is true: the stride, the size, the section or the character that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.diagnostics import Diagnostic
from darkparse.errors import CfgError
from darkparse.layers.foreign_names import FOREIGN_KINDS
from darkparse.layers.names import describe_unknown_kind
from darkparse.network.training_lint import lint_training
from tests.conftest import DATA
from tests.network.test_cases import findings

CASES = DATA / "cases"
NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nfilters={}\nsize=3\nstride={}\npad=1\nactivation=linear\n"
HEAD = """\
[convolutional]
filters=21
size=1
activation=linear
[yolo]
{}
anchors=4,5, 9,12, 20,18
classes=2
num=3
"""


def find(cfg: str | Path, code: str, dialect: str | None = None) -> Diagnostic:
    """Return the only finding of a code."""
    (finding,) = (finding for finding in findings(cfg, dialect) if finding.code == code)
    return finding


def test_upsample_with_wrong_factor_names_stride_that_fits() -> None:
    finding = find(CASES / "upsample-2.cfg", "sizes")
    assert "layer 3 upsamples by 2: set stride=4 in line 32 to match the sizes" in finding.message
    text = (CASES / "upsample-2.cfg").read_text().replace("[upsample]\nstride=2", "[upsample]\nstride=4")
    assert not darkparse.compile(text).diagnostics


@pytest.mark.parametrize(
    ("between", "layers", "hint"),
    [
        ("[upsample]\nstride=2\n", "-1,0", "layer 2 upsamples by 2: set stride=4 in line 18"),
        ("[upsample]\n", "0,-1", "layer 2 upsamples by 2: set stride=4 in line 17"),
        ("[upsample]\nstride=2\n" + CONV.format(4, 1), "-1,0", "layer 2 upsamples by 2: set stride=4 in line 18"),
        ("[upsample]\nstride=1\n", "-1,0", "layer 2 upsamples by 1: set stride=4 in line 18"),
        ("[upsample]\nstride=2\n", "-1,1", "layer 2 [upsample] resizes 8×8 to 16×16: remove it to match the sizes"),
        ("[reorg]\nstride=2\n", "-1,1", "layer 2 [reorg] resizes 8×8 to 4×4: remove it to match the sizes"),
        ("[upsample]\nstride=2\n", "-1,0,1", ""),
    ],
)
def test_join_of_two_sizes_names_layer_that_resizes(between: str, layers: str, hint: str) -> None:
    text = NET + CONV.format(4, 1) + CONV.format(4, 4) + between + f"[route]\nlayers={layers}\n" + CONV.format(4, 1)
    finding = find(text, "sizes")
    assert ("; " + hint in finding.message) if hint else "stride=" not in finding.message


def test_input_size_that_fits_comes_before_a_stride() -> None:
    finding = find(CASES / "size-100x60.cfg", "sizes")
    assert "stride=" not in finding.message
    assert "multiples of 8" in str(finding)


def test_reorg_of_odd_map_names_sizes_that_fit() -> None:
    finding = find(CASES / "reorg-13.cfg", "shape")
    assert "writes past its buffer" in finding.message
    assert "multiples of 16 fit as input size: 96×96 or 112×112" in str(finding)
    for size in (96, 112):
        assert darkparse.compile(CASES / "reorg-13.cfg", size=size).nodes[1].out_shape.h * 16 == size


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ("[reorg]\nstride=3\n", "multiples of 3 fit as input size: 30×30 or 33×33"),
        ("[upsample]\nstride=-3\n", "multiples of 3 fit as input size: 30×30 or 33×33"),
        (CONV.format(9, 2) + "[reorg3d]\nstride=3\n", "multiples of 6 fit as input size: 30×30 or 36×36"),
    ],
)
def test_map_that_does_not_divide_names_sizes_that_fit(layers: str, sizes: str) -> None:
    assert sizes in str(find(NET.replace("channels=3", "channels=9") + layers + CONV.format(2, 1), "shape"))


def test_route_of_vector_and_map_names_both_inputs() -> None:
    text = (
        f"{NET}{CONV.format(8, 1)}[connected]\noutput=10\nactivation=linear\n[route]\nlayers=-1,0\n{CONV.format(4, 1)}"
    )
    finding = find(text, "shape")
    assert finding.span is not None
    assert finding.span.text == "[route]"
    assert finding.message.endswith("layer 1 outputs 10 values and layer 0 outputs 32×32×8")
    assert [note.span.text for note in finding.notes if note.span] == ["[connected]", "[convolutional]"]


@pytest.mark.parametrize(
    ("name", "code", "facts"),
    [
        ("reorg-old", "unknown-kind", ["use [reorg]", "computes [reorg3d] for [reorg]"]),
        ("quantize-conv", "unknown-kind", ["computes it without rounding", "the same weights"]),
        ("connected-transpose", "unknown-option", ["this matrix transposed", "inputs × outputs"]),
    ],
)
def test_kind_or_option_of_another_fork_is_explained(name: str, code: str, facts: list[str]) -> None:
    message = find(CASES / f"{name}.cfg", code).message
    for fact in facts:
        assert fact in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("quantized_convolutional", "without rounding"),
        ("QuantConv2d", "without rounding"),
        ("depthwise_convolutional", "groups="),
        ("prelu", "slope is learned"),
        ("extract", "groups= and group_id="),
        ("implicit_add", "YOLOR"),
        ("implicit_mul_2d", "YOLOR"),
        ("shift_channels", "folded into the bias"),
        ("control_channels", "[scale_channels]"),
        ("select_channels_2d", "logistic"),
        ("alternate_channels", "joins the constant"),
        ("deformableconvolutional", "without the offsets"),
        ("BatchNorm2d", "[batchnorm]"),
        ("se", "[scale_channels]"),
        ("relu6", "activation=relu6"),
        ("Mish", "activation=mish"),
    ],
)
def test_unknown_kind_of_known_fork_gets_remedy(kind: str, fact: str) -> None:
    message = find(f"{NET}{CONV.format(4, 1)}[{kind}]\n", "unknown-kind").message
    assert fact in message.partition("]")[2]


def test_remedies_name_sections_that_exist() -> None:
    known = darkparse.layers.REGISTRY
    for key, remedy in FOREIGN_KINDS.items():
        assert describe_unknown_kind(key, known) == f": {remedy}"
        names = [part.partition("]")[0] for part in remedy.split("[")[1:]]
        assert all(name in known or name.startswith("implicit_") for name in names), (key, names)


def test_region_anchors_in_pixels_are_reported() -> None:
    text = (CASES / "region-224.cfg").read_text()
    assert not findings(text)
    line = next(line for line in text.splitlines() if line.startswith("anchors"))
    for anchors, is_told in (("10,14, 23,27, 37,58, 81,82, 135,169", True), ("1,2, 3,4, 5,6, 6,7, 7,7", False)):
        told = [f for f in findings(text.replace(line, f"anchors={anchors}")) if f.code == "anchors"]
        assert bool(told) == is_told, anchors


@pytest.mark.parametrize("mask", ["mask=0 1 2", "mask = 0  1 2 ", "mask=0，1，2"])
def test_slip_in_mask_is_reported_before_advice_about_filters(mask: str) -> None:
    with pytest.raises(CfgError) as raised:
        darkparse.compile(NET + HEAD.format(mask))
    message = str(raised.value)
    assert "with mask=0,1,2 it fits" in message
    assert "filters=" not in message.partition("note:")[0].partition("with mask=0,1,2")[0].replace("num", "")
    assert any(reason in message.partition("this head")[0] for reason in ("has no commas", "U+FF0C"))


def test_slip_in_mask_and_wrong_filters_are_both_reported() -> None:
    message = find(NET + HEAD.format("mask=0 1 2").replace("filters=21", "filters=30"), "head").message
    assert message.index("has no commas") < message.index("set filters=21 there")


def test_fullwidth_character_before_head_is_named() -> None:
    text = NET + HEAD.format("mask=0,1,2").replace("filters=21", "filters＝21")
    assert "'filters＝21' in line 6 ('＝' (U+FF1D) is not '=')" in find(text, "head").message
    assert find(text, "unknown-option").message.endswith("'＝' (U+FF1D) is not '='; did you mean filters=21?")


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        (f"{NET}[convolutional]\nfilters=1６\n", "odd-value", "'６' (U+FF16) is not '6'"),
        (f"{NET}[convolutional]\nfilters=１6\n", "value", "'１' (U+FF11) is not '1'"),
        (
            f"{NET}[convolutional]\nfilters：16\n",
            "unknown-option",
            "'：' (U+FF1A) is not ':'; did you mean filters=16?",
        ),
        (f"{NET}[convolutional]\nstride=\u22121\n", "value", "'−' (U+2212) is not '-'"),
        (f"{NET}[convolutional]\npad=\u00a01\n", "value", "U+00A0 (no-break space) is not a space"),
        (f"{NET}[convolutional]\npad=\u200b1\n", "value", "U+200B (zero width space) is an invisible character"),
        (f"{NET}[convolutional]\n＃ a comment\n", "unknown-option", "'＃' (U+FF03) is not '#'"),
        (f"{NET}[conv\u043elutional]\n", "unknown-kind", "'о' (U+043E) is not ASCII"),
        ("［net］\nwidth=32\n[conv]\n", "outside-section", "'［' (U+FF3B) is not '['"),
        ("[net］\nwidth=32\n[conv]\n", "header", "'］' (U+FF3D) is not ']'"),
    ],
)
def test_character_that_looks_like_ascii_is_named(text: str, code: str, hint: str) -> None:
    told = [finding.message for finding in findings(text) if finding.code == code]
    assert any(hint in message for message in told), told


def test_bytes_of_other_encoding_are_not_taken_for_lookalikes() -> None:
    text = b"[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nsiz\xb5\xda=3\n".decode(
        "utf-8", "surrogateescape"
    )
    assert "U+" not in find(text, "unknown-option").message


def test_lint_of_compiled_case_keeps_line() -> None:
    network = darkparse.compile(CASES / "anchor-0-unused.cfg")
    assert [f.span.line for f in lint_training(network) if f.span] == [75]
