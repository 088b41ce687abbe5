"""Cfgs that people got wrong in public, each with the facts that its author must be told: place, numbers, remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.diagnostics import Diagnostic
from darkparse.errors import CfgError
from tests.conftest import DATA

CASES = DATA / "cases"
NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"
CONV = "[convolutional]\nfilters={}\nsize=1\nstride=1\nactivation={}\n"
YOLO = "[yolo]\nmask=0,1,2\nanchors=10,14, 23,27, 37,58\nclasses=2\nnum=3\n"
HEAD = CONV.format(21, "linear") + YOLO


def findings(cfg: str | Path, dialect: str | None = None) -> tuple[Diagnostic, ...]:
    """All that is said about a cfg, whether it compiles or not."""
    try:
        return darkparse.compile(cfg, dialect=dialect).diagnostics
    except CfgError as problem:
        return problem.diagnostics


def assert_told(found: tuple[Diagnostic, ...], severity: str, code: str, place: str, *facts: str) -> None:
    """There is one finding of this severity and code, it stands there, and it says all that."""
    (one,) = (d for d in found if (d.severity, d.code) == (severity, code))
    assert one.span is not None
    assert f"{one.span.line}:{one.span.column}" == place
    for fact in facts:
        assert fact in str(one), fact


@pytest.mark.parametrize(
    ("name", "severity", "code", "place", "facts"),
    [
        (
            "dup-filters",
            "error",
            "head",
            "13:1",
            ["21 channels", "got 255", "filters=21", "classes=80", ":7:9: note"],
        ),
        (
            "dup-filters",
            "warning",
            "duplicate",
            "10:1",
            ["duplicate option filters, Darknet uses the first", "in line 7"],
        ),
        ("channel-typo", "error", "input-size", "1:1", ["channels= is missing"]),
        ("channel-typo", "warning", "unknown-option", "4:1", ["did you mean channels?"]),
        ("size-100x60", "error", "sizes", "33:1", ["layer 3 outputs 16×26×16", "layer 1 outputs 15×25×16"]),
        ("size-100x60", "error", "sizes", "33:1", ["multiples of 8", "96×56", "104×64", ":30:1: note", ":14:1: note"]),
        ("anchors-6-of-9", "warning", "anchors", "14:6", ["anchors 6 to 8", "6 pairs", "0.5×0.5"]),
        ("anchors-9-num-6", "warning", "anchors", "15:9", ["got 18", "at most 12 for num=6", "past their array"]),
        (
            "anchors-in-cells",
            "warning",
            "anchors",
            "15:9",
            ["0.57", "[yolo] expects anchors in pixels", "[region] in grid cells"],
        ),
        ("layers-no-comma", "warning", "joined-digits", "167:8", ["-18", "comma"]),
        ("silu", "warning", "unknown-activation", "12:12", ["uses relu instead", "swish"]),
        ("leaky-capital", "warning", "unknown-activation", "12:12", ["did you mean leaky?"]),
        ("utf16-le", "warning", "encoding", "1:1", ["UTF-16", "UTF-8"]),
        ("page", "error", "not-a-cfg", "1:1", ["HTML page", "download the raw file"]),
        ("names", "error", "not-a-cfg", "1:1", [".names list"]),
        ("depthwise", "error", "unknown-kind", "14:1", ["6 times, first in line 14", "[convolutional]", "groups="]),
        ("route-lhalf", "error", "unknown-kind", "14:1", ["use [route] with groups=2 and group_id=0"]),
        ("new-coords-linear", "warning", "new-coords", "19:12", ["logistic", "linear", ":11:12: note"]),
    ],
)
def test_published_mistake_is_reported_with_place_and_remedy(
    name: str, severity: str, code: str, place: str, facts: list[str]
) -> None:
    assert_told(findings(CASES / f"{name}.cfg"), severity, code, place, *facts)


def test_shortcut_of_two_sizes_warns_in_alexeyab() -> None:
    path = CASES / "shortcut-sizes.cfg"
    assert not findings(path)
    facts = ["exits here", "parser.c:979", "64×64×8", "32×32×16", "pjreddie/darknet adds the overlapping part"]
    assert_told(findings(path, "alexeyab"), "warning", "sizes", "23:6", *facts)


def test_correct_case_has_no_findings() -> None:
    assert not findings(CASES / "colour.cfg")


@pytest.mark.parametrize(
    ("text", "severity", "code", "place", "facts"),
    [
        # Numbers with a space between them.
        (f"{HEAD}[route]\nlayers=-1 0\n", "warning", "joined-digits", "16:8", ["'-1 0'", "reads -10"]),
        (HEAD.replace("mask=0,1,2", "mask=0 1 2"), "warning", "joined-digits", "11:6", ["reads 012"]),
        (HEAD.replace("=21", "=2 1"), "warning", "joined-digits", "6:9", ["reads 21"]),
        (HEAD.replace("14, 23", "14 23"), "warning", "joined-digits", "12:12", ["reads 1423"]),
        (f"{HEAD}[route]\nlayers=-1 -2\n", "warning", "odd-value", "16:8", ["ignores '-2'", "comma"]),
        # Anchors.
        (HEAD.replace("anchors", "#"), "warning", "anchors", "10:1", ["head without anchors=", "0.5×0.5"]),
        (HEAD.replace(",58", ""), "warning", "anchors", "12:9", ["got 5", "expected pairs"]),
        (
            HEAD.replace("10,14, 23,27, 37,58", "1.08,1.19, 3.42,4.41, 16.62,10.52"),
            *("warning", "anchors", "12:9", ["1.08 to 16.62 pixels", "[region] in grid cells"]),
        ),
        (
            CONV.format(21, "linear") + "[region]\nanchors=10,14, 116,90, 373,326\nclasses=2\nnum=3\n",
            *(
                "warning",
                "anchors",
                "11:9",
                ["373", "64×64", "[region] expects anchors in grid cells", "[yolo] in pixels"],
            ),
        ),
        # Heads and what stands before them.
        (HEAD.replace("linear", "logistic"), "warning", "new-coords", "10:1", ["activation=linear", "got logistic"]),
        (
            HEAD + CONV.format(24, "linear") + YOLO.replace("classes=2", "classes=3"),
            *("warning", "classes", "23:9", ["got 3 here", "2 in layer 1", ":13:9: note"]),
        ),
        (HEAD.replace("21", "14"), "error", "head", "10:1", ["filters=21", "mask= and anchors= for 2 anchors"]),
        (HEAD.replace("21", "20"), "error", "head", "10:1", ["filters=21", "classes=", "mask=", "anchors="]),
        # Maps of two sizes.
        (
            f"{CONV.format(8, 'linear')}[maxpool]\nsize=2\nstride=2\n[sam]\nfrom=0\n",
            *("error", "sizes", "13:1", ["layer 1 outputs 32×32×8", "layer 0 outputs 64×64×8"]),
        ),
        (
            f"{CONV.format(8, 'linear')}[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,0\n[softmax]\n",
            *("warning", "sizes", "14:8", ["32×32", "64×64", "vector of 40960"]),
        ),
        # Names from elsewhere.
        (f"{CONV.format(8, 'SiLU')}{HEAD}", "warning", "unknown-activation", "9:12", ["swish"]),
        (f"{CONV.format(8, 'mishs')}{HEAD}", "warning", "unknown-activation", "9:12", ["did you mean mish?"]),
        (f"{CONV.format(8, 'linear;')}{HEAD}", "warning", "unknown-activation", "9:12", ["did you mean linear?"]),
        (f"{CONV.format(8, 'leaky # x')}{HEAD}", "warning", "inline-comment", "9:12", ["leaky?", "hank-ai"]),
        (f"[Focus]\n{HEAD}", "error", "unknown-kind", "5:1", ["YOLOv5", "[reorg3d]"]),
        (f"[se]\n{HEAD}", "error", "unknown-kind", "5:1", ["[scale_channels]"]),
        (f"[concat]\n{HEAD}", "error", "unknown-kind", "5:1", ["[route]"]),
        (f"[implicit_add]\n{HEAD}", "error", "unknown-kind", "5:1", ["YOLOR", "[implicit]"]),
        (f"[DepthWise_Conv]\n{HEAD}", "error", "unknown-kind", "5:1", ["groups="]),
        (f"{HEAD}{NET}{HEAD}", "error", "second-net", "15:1", ["two cfgs in this file"]),
        (HEAD.replace("filters=21", "filters: 21"), "warning", "unknown-option", "6:1", ["did you mean filters=21?"]),
        (HEAD.replace("filters=21", "filters: 21"), "error", "head", "10:1", ["got 1 from the layer before:"]),
    ],
)
def test_similar_mistake_is_reported_with_place_and_remedy(
    text: str, severity: str, code: str, place: str, facts: list[str]
) -> None:
    assert_told(findings(NET + text, "alexeyab"), severity, code, place, *facts)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"\n<html>\n", "HTML page"),
        (b"person\ntraffic light\n", ".names list"),
        (b"classes = 2\ntrain = a.txt\nnames = obj.names\n", ".data file"),
        (b"# YOLOv5\nnc: 80\nbackbone:\n  - [1, 2]\n", "YAML"),
        (b'{"a": 1}', "JSON"),
        (b'[\n {"a": 1}\n]', "JSON"),
        (b"import torch\n", "Python"),
        (b'name: "net"\nlayer {\n}\n', "Caffe"),
        (b"PK\x03\x04" + bytes(40), "PyTorch checkpoint"),
        (b"\x80\x02}q\0" + bytes(40), "pickle"),
        (b"\x08\x07\x12\x07pytorch" + bytes(40), "ONNX"),
        (b"\0\0\0\0\2\0\0\0\0\0\0\0" + bytes(40), r"\.weights file; pass the cfg first"),
        (b"[net]\rwidth=8\rheight=8\r[conv]\r", "lines end in CR"),
        ("<html>\n".encode("utf-16"), "HTML page"),
    ],
)
def test_read_of_other_file_type_names_it(data: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "file.cfg"
    path.write_bytes(data)
    with pytest.raises(darkparse.DarkparseError, match=what):
        darkparse.read(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_read_utf_16_reports_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.cfg"
    path.write_bytes((NET + HEAD).encode(encoding))
    assert [d.code for d in findings(path)] == ["encoding"]
    assert (
        darkparse.compile(path).nodes == darkparse.compile(NET + HEAD).nodes or len(darkparse.compile(path).nodes) == 2
    )


@pytest.mark.parametrize(
    ("lacking", "told"), [("width", "width= is"), ("height", "height= is"), ("channels", "channels= is")]
)
def test_missing_part_of_input_size_is_named(lacking: str, told: str) -> None:
    text = NET.replace(lacking, "angle") + HEAD
    assert_told(findings(text), "error", "input-size", "1:1", f"{told} missing")


def test_repeated_mistake_is_one_finding() -> None:
    found = findings(NET + CONV.format(8, "silu") * 112 + HEAD)
    assert_told(found, "warning", "unknown-activation", "9:12", "112 times, first in line 9", "swish")
    assert len(found) == 1


def test_input_size_is_suggested_only_where_it_fits() -> None:
    odd = f"{CONV.format(8, 'linear')}[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,0\n{HEAD}"
    (one,) = findings(NET + odd)
    assert one.code == "sizes"
    assert "multiples" not in str(one)
