"""hank-ai's Darknet: AlexeyAB's arithmetic and file, and a reader that refuses slips."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.diagnostics import Diagnostic
from darkparse.errors import CfgError
from darkparse.layers import DIALECTS
from darkparse.network.detect_dialect import choose_dialect
from darkparse.weights import Header
from tests.network.test_cases import assert_told, findings
from tests.network.test_findings import run_check

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"
CONV = "[convolutional]\nfilters=21\nsize=1\nstride=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0,1,2\nanchors=10,14, 23,27, 37,58\nclasses=2\nnum=3\n"
GOOD = NET + CONV + YOLO


def refused(text: str) -> list[Diagnostic]:
    """Where the reader stops, in a text that is refused for nothing else."""
    found = [d for d in findings(text, "hank-ai") if d.severity == "error"]
    assert {d.code for d in found} <= {"refused"}
    return found


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        (GOOD.replace("size=1", "size=1\nsize=3"), "8:1", "size"),
        (GOOD.replace("size=1", "sise=1"), "7:1", "has no option 'sise'; did you mean size?"),
        (NET + "max_crop=2\n" + CONV, "5:1", "unsupported option 'max_crop' in [net]"),
        (NET + "center=1\n" + CONV, "5:1", "unsupported option 'center' in [net]"),
        (GOOD + "uc_normalizer=1\n", "15:1", "unsupported option 'uc_normalizer' in [yolo]"),
        (GOOD + CONV + "[reorg]\nextra=1\n", "20:1", "unsupported section [reorg]"),
        (GOOD + "[ softmax ]\n", "15:1", "[ softmax ]; remove the spaces"),
        (GOOD + "[silence]\n", "15:1", "unsupported section [silence]"),
        (GOOD.replace("linear", "silu"), "9:12", "unknown activation 'silu'; Darknet's name for it is swish"),
        (GOOD.replace("linear", "linear;"), "9:12", "unknown activation 'linear;'; did you mean linear?"),
        (GOOD.replace("size=1", "size=1x1"), "7:6", "invalid value for size, got '1x1'"),
        (GOOD.replace("size=1", "size=1 1"), "7:6", "invalid value for size, got '1 1'"),
        (NET + "decay=5e-4\n" + CONV, "5:7", "invalid value for decay, got '5e-4'"),
        (NET + "momentum=-\n" + CONV, "5:10", "invalid value for momentum, got '-'"),
        (NET + "momentum=+1\n" + CONV, "5:10", "invalid value for momentum, got '+1'"),
        (GOOD + "iou_loss=ciuo\n", "15:10", "unknown iou_loss 'ciuo'; did you mean ciou?"),
        (NET + "policy=sig\n" + CONV, "5:8", "unknown policy 'sig'"),
        (GOOD + CONV + "[shortcut]\nfrom=-1\nweights_type=per_layer\n", "22:14", "unknown weights_type 'per_layer'"),
        (NET + "policy=st eps\n" + CONV, "5:8", "unknown policy 'st eps'; did you mean step"),
        (NET + "steps=1,2\n" + CONV, "5:7", "steps= is only read with policy=steps or sgdr"),
        (NET + "policy=steps\nsteps=1,2\n" + CONV, "5:1", "it requires steps= and scales="),
        (NET + "B1=.9\n" + CONV, "5:4", "B1= is only read with adam=1"),
        (NET + "contrastive=1\nbatch=8\nsubdivisions=8\n" + CONV, "5:1", "at least twice subdivisions="),
        (GOOD + "counters_per_class=1,2,3\n", "15:1", "expected one number per class"),
        (CONV.join([NET, "", "[sam]\nfrom=-2\nactivation=mish\n"]), "17:1", "not supported in a gate"),
        (NET + ";hue=.1\n" + CONV, "5:1", "a comment that starts with ; and contains ="),
        (NET + "  ;hue = .1\n" + CONV, "5:3", "a comment that starts with ;"),
        (GOOD.replace("=64", "=48"), "1:1", "multiples of 32 if [yolo] is the last layer, got 48 and 48"),
    ],
)
def test_hank_ai_refuses_slip_with_place(text: str, place: str, told: str) -> None:
    (one,) = refused(text)
    assert one.span is not None
    assert f"{one.span.line}:{one.span.column}" == place
    assert one.message.startswith("hank-ai/darknet rejects this: ")
    assert told in one.message


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        NET + "; hue = .1\n#hue=.1\nsaturation=1.5 # more\n" + CONV,
        NET + "adam=1\nB1=.9\npolicy=steps\nsteps=1 2\nscales=.1 .1\n" + CONV,
        GOOD.replace("=64", "=48") + CONV,
        GOOD + "map=\n",
        CONV.join([NET, "", "[shortcut]\nfrom=-2\nweights_type=per_feature\nweights_normalization=avg_relu\n"]),
        GOOD + "dontloadscales=0\nstopbackward=1\nlearning_rate=.5\n",
    ],
)
def test_hank_ai_accepts_cfg(text: str) -> None:
    assert not refused(text)


@pytest.mark.parametrize("line", ["filters: 8", "fil ters=8", "filters#=8", "stride", "filters=#8", "=8"])
def test_hank_ai_skips_line_that_is_not_an_option(line: str) -> None:
    found = findings(NET + CONV + "[conv]\n" + line + "\n", "hank-ai")
    assert_told(found, "warning", "no-value", "11:1", "hank-ai/darknet skips this line")
    assert darkparse.compile(NET + CONV + "[conv]\n" + line + "\n", dialect="hank-ai").nodes[1].out_shape.c == 1


def test_inline_comment_warning_names_the_value_of_each_fork() -> None:
    text = NET + CONV.replace("linear", "leaky # slope .1").replace("21", "21 # heads")
    activations = {
        name: getattr(darkparse.compile(text, dialect=name).nodes[0].layer, "activation", "") for name in DIALECTS
    }
    assert activations == {"pjreddie": "relu", "alexeyab": "relu", "hank-ai": "leaky"}
    cut = "hank-ai/darknet removes the comment and reads 'leaky'"
    old = findings(text.replace(" # heads", ""), "alexeyab")
    assert_told(old, "warning", "inline-comment", "9:12", "'leaky#slope.1', Darknet uses relu instead", cut)
    told = findings(text, "hank-ai")
    assert_told(told, "warning", "inline-comment", "9:12", cut, "in other forks the comment is part of the value")


def test_hank_ai_list_accepts_any_separator() -> None:
    text = GOOD.replace("0,1,2", "0 1 2").replace("10,14, 23,27", "10x14; 23 27") + "[route]\nlayers=-1 -2 # both\n"
    head, route = darkparse.compile(text, darkparse.CompileOptions(strict=True), dialect="hank-ai").nodes[1:]
    assert head.layer.options("mask", "anchors") == {"mask": (0, 1, 2), "anchors": (10, 14, 23, 27, 37, 58)}
    assert route.inputs == (1, 0)


def test_hank_ai_list_without_number_is_error() -> None:
    found = findings(GOOD + "[route]\nlayers=none\n", "hank-ai")
    assert_told(found, "error", "value", "16:8", "invalid value for layers, got 'none'; expected an integer")


def test_hank_ai_refusals_are_reported_beside_shape_error() -> None:
    text = "hue=1e-1\n".join([NET, CONV.replace("21", "20") + "pad=a\n" + YOLO])
    with pytest.raises(CfgError) as raised:
        darkparse.compile(text, dialect="hank-ai")
    codes = [d.code for d in raised.value.diagnostics]
    assert codes.count("refused") >= 1
    assert {"refused", "value"} <= set(codes)
    codes = [d.code for d in findings(text.replace("pad=a\n", ""), "hank-ai")]
    assert codes == ["refused", "head"]


def test_hank_ai_network_equals_alexeyab() -> None:
    theirs, mine = (darkparse.compile(GOOD, dialect=name) for name in ("alexeyab", "hank-ai"))
    assert mine.dialect.parent is theirs.dialect
    assert [node.modules for node in mine.nodes] == [node.modules for node in theirs.nodes]
    assert mine.stored_floats == theirs.stored_floats
    assert (mine.dialect.version, mine.dialect.seen_limit) == (theirs.dialect.version, theirs.dialect.seen_limit)
    assert darkparse.load(mine, Header().pack() + bytes(4 * mine.stored_floats)).network is mine


def test_choose_dialect_never_picks_hank_ai() -> None:
    for text in (GOOD, "yolov4", "yolov3", NET + CONV.replace("linear", "leaky # x")):
        for version in (None, (0, 2, 5)):
            assert choose_dialect(darkparse.read(text), version=version).dialect.name != "hank-ai"


def test_hank_ai_cfg_round_trips(tmp_path: Path) -> None:
    network = darkparse.compile(NET + CONV.replace("linear", "leaky # x"), dialect="hank-ai")
    for again in (darkparse.from_yaml(darkparse.to_yaml(network)), darkparse.edit(network, size=32)):
        assert again.dialect is network.dialect
        assert [node.layer for node in again.nodes] == [node.layer for node in network.nodes]


def test_check_names_fork_that_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(GOOD.replace("size=1", "size=1\nsize=3"))
    assert "1 warning; compiles, 2 layers, dialect pjreddie" in run_check(path)
    told = run_check(path, "--dialect", "hank-ai", code=2)
    assert told.endswith("1 error, 0 warnings; compiles, but this Darknet fork rejects it\n")
