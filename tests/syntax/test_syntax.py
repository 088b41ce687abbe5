"""The front end: nothing is lost, and Darknet's rules for text hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import darkparse
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers.dialect import ALEXEYAB, PJREDDIE
from darkparse.layers.values import ValueTextError, read_choice, read_first, read_float, read_int, read_list
from darkparse.syntax import read
from tests.conftest import examples, original_params, shipped_cfgs

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"


def _bytes(config: darkparse.Config) -> bytes:
    return str(config).encode("utf-8", errors="surrogateescape")


@pytest.mark.parametrize("path", [*shipped_cfgs(), *original_params(fast_bytes=3000)])
def test_read_cfg_round_trips(path: Path) -> None:
    assert _bytes(read(path)) == path.read_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"[net]\r\nwidth=1\r\n\r\n[conv]\r\nfilters = 2\r\n",
        b"\xef\xbb\xbf[net]\nwidth=1\n[conv]",
        b"\xef\xbb\xbf\n\n  [net]\n[conv]\n",
        b"\t [ n e t ]\n w i dth\t=  1  \n\n\n[conv]  \n \t# a comment \xff\xfe\n; another\n",
        b"# first\n\n; second\n[net]\n[conv]\nflag\nempty=\nx = y = z\n=4\n",
    ],
    ids=["crlf", "bom", "bom-and-blank", "spaces-and-bad-bytes", "odd-lines"],
)
def test_read_odd_bytes_round_trips(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.cfg"
    path.write_bytes(data)
    config = read(path)
    assert _bytes(config) == data
    assert (config.net.kind, config.sections[0].kind) == ("net", "conv")


LINES = st.text(st.characters(exclude_characters="\n[", exclude_categories=["Cs"]), max_size=20)


@examples(300)
@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n"]))
@example(["=", " = ", "a=", "=b", "\x0b", "\u00a0x=1", "\ufeff=2"], "\n")
def test_read_any_lines_round_trips(lines: list[str], end: str) -> None:
    text = end.join(["[net]", "[conv]", *lines])
    config = read(text)
    assert str(config) == text
    for option in config.sections[0].options:
        assert option.span.text.strip(" \t\r") == option.span.text
        assert option.key_span.text.replace(" ", "").replace("\t", "").replace("\r", "") == option.key


def test_spans_have_line_column_and_text() -> None:
    config = read("[net]\n  fil ters =  3 # x\nflag\n[conv]\n")
    filters, flag = config.net.options
    assert (str(filters.key_span), filters.key_span.text, str(filters.value_span), filters.value_span.text) == (
        "<text>:2:3",
        "fil ters",
        "<text>:2:15",
        "3 # x",
    )
    assert (str(flag.span), flag.text) == ("<text>:3:1", None)
    assert str(config.sections[0].span) == "<text>:4:1"


def test_span_excerpt_draws_caret() -> None:
    option = read("\ufeff[net]\n\twidth = 3\n[conv]\n").net.options[0]
    assert option.value_span.excerpt() == "    2 |  width = 3\n      |          ^"


def test_span_after_byte_order_mark_starts_at_column_1() -> None:
    assert str(read("\ufeff[net]\n[conv]\n").net.span) == "<text>:1:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "<text>:1:1: error: file has no section; a cfg starts with [net]"),
        ("width=1\n[net]\n[conv]", "<text>:1:1: error: line before the first section; a cfg starts with [net]"),
        ("# x\n\n a=1\n[net]", "<text>:3:2: error: line before the first section; a cfg starts with [net]"),
        ("[conv]\n[net]\n", "<text>:1:1: error: first section must be [net] or [network], got [conv]"),
        ("[net]\nwidth=1\n", "<text>:1:1: error: cfg has no layers; expected at least one section after [net]"),
        (
            "[net]\n [conv\n",
            "<text>:2:2: error: section header without a closing bracket; expected e.g. [convolutional]",
        ),
        ("[net]\n[conv] # x\n", "<text>:2:1: error: text after the closing bracket"),
    ],
)
def test_read_broken_text_is_error_with_place(text: str, message: str) -> None:
    with pytest.raises(CfgError) as raised:
        read(text)
    assert str(raised.value).startswith(message)


def test_read_of_missing_or_other_file_raises(tmp_path: Path) -> None:
    with pytest.raises(DarkparseError, match=r"nothing\.cfg: No such file or directory"):
        read(tmp_path / "nothing.cfg")
    (tmp_path / "x.weights").write_bytes(bytes(100))
    with pytest.raises(DarkparseError, match=r"got a \.weights file; pass the cfg first"):
        read(tmp_path / "x.weights")
    with pytest.raises(DarkparseError, match=r"no cfg of that name ships with darkparse .*yolov3"):
        read("yolov33")
    with pytest.raises(DarkparseError, match="Is a directory"):
        read(tmp_path)


def test_read_name_prefers_file_over_shipped_cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(read("yolov3").sections) == len(read("yolov3.cfg").sections) == 107
    (tmp_path / "yolov3.cfg").write_text(NET + "[conv]\n")
    assert len(read("yolov3.cfg").sections) == 1


# Darknet's rules (semantics a).


def _first(options: str, section: str = "convolutional", dialect: str = "alexeyab") -> Any:
    return darkparse.compile(f"{NET}[{section}]\n{options}", dialect=dialect).nodes[0]


def _codes(options: str, section: str = "convolutional", dialect: str = "alexeyab") -> list[str]:
    return [d.code for d in darkparse.compile(f"{NET}[{section}]\n{options}", dialect=dialect).diagnostics]


def test_compile_deletes_spaces_inside_names() -> None:
    layer: Any = darkparse.compile(f"{NET}[convo lutional]\nf i l ters = 1 6\nactivation = le aky\n").nodes[0].layer
    assert (layer.filters, layer.activation) == (16, "leaky")


def test_duplicate_key_uses_first_and_warns() -> None:
    assert _first("filters=3\nfilters=5\n").out_shape.c == 3
    assert _codes("filters=3\nfilters=5\n") == ["duplicate"]


def test_line_without_equals_hides_later_key() -> None:
    node = _first("activation\nactivation=leaky\n")
    assert node.layer.activation == "logistic"
    assert _codes("activation\nactivation=leaky\n") == ["no-value", "duplicate"]


def test_empty_value_is_skipped_and_later_key_counts() -> None:
    assert _first("filters=\nfilters=5\n").out_shape.c == 5
    assert _codes("filters=\nfilters=5\n") == ["empty-value"]


def test_inline_comment_is_part_of_value() -> None:
    node = _first("filters=4 # four\nactivation=leaky # x\n")
    assert (node.out_shape.c, node.layer.activation) == (4, "relu")
    assert _codes("filters=4 # four\nactivation=leaky # x\n") == ["inline-comment", "inline-comment"]


def test_convolution_and_shortcut_without_options_use_darknets_defaults() -> None:
    node = _first("")
    assert (tuple(node.out_shape), node.layer.activation) == ((1, 8, 8), "logistic")
    shortcut: Any = darkparse.compile(f"{NET}[conv]\n[shortcut]\nfrom=-1\n").nodes[1].layer
    assert shortcut.activation == "linear"


def test_pad_means_half_the_size_and_overrides_padding() -> None:
    assert _first("size=5\npad=1\npadding=0\n").out_shape.h == 8
    assert _first("size=5\npad=0\npadding=1\n").out_shape.h == 6
    assert _first("size=1\npad=1\n").out_shape.h == 8


def test_route_index_zero_is_absolute_and_negative_is_relative() -> None:
    network = darkparse.compile(NET + "[conv]\nfilters=2\n[conv]\nfilters=3\n[route]\nlayers=0,-1\n")
    assert network.nodes[2].inputs == (0, 1)


def test_unknown_kind_in_wrong_case_suggests_nearest() -> None:
    with pytest.raises(CfgError, match=r"unknown layer kind \[Convolutional\]; did you mean \[convolutional\]\?"):
        darkparse.compile(f"{NET}[Convolutional]\n")


def test_unknown_option_warns_and_training_option_does_not() -> None:
    assert _codes("filterz=3\n") == ["unknown-option"]
    assert _codes("stopbackward=1\nlearning_rate=2\nangle=3\n") == []


@pytest.mark.parametrize("kind", sorted(darkparse.layers.REGISTRY))
def test_registry_key_is_kind_or_alias(kind: str) -> None:
    assert kind in (darkparse.layers.REGISTRY[kind].kind, *darkparse.layers.REGISTRY[kind].aliases)


# Numbers as C reads them.


@pytest.mark.parametrize(
    ("text", "value", "complains"),
    [
        ("18", 18, False),
        ("-3", -3, False),
        ("+4", 4, False),
        ("1.9", 1, True),
        ("18#x", 18, True),
        ("1e3", 1, True),
        (".5", 0, True),
    ],
)
def test_read_int_follows_atoi(text: str, value: int, complains: bool) -> None:
    number, complaint = read_int(text, PJREDDIE)
    assert (number, complaint is not None) == (value, complains)


@pytest.mark.parametrize(
    ("text", "value", "complains"),
    [
        ("0.5", 0.5, False),
        (".1", 0.1, False),
        ("1e-3", 1e-3, False),
        ("5.", 5.0, False),
        ("1e", 1.0, True),
        ("2#x", 2.0, True),
        ("0x1p1", 2.0, False),
        ("-0x.8", -0.5, False),
        ("0x10#x", 16.0, True),
        ("0x", 0.0, True),
    ],
)
def test_read_float_follows_atof(text: str, value: float, complains: bool) -> None:
    number, complaint = read_float(text, PJREDDIE)
    assert (number, complaint is not None) == (value, complains)


@pytest.mark.parametrize("text", ["abc", "#3", "-", "", "x1", "inf", "nan"])
def test_number_without_digit_raises(text: str) -> None:
    for reader in (read_int, read_float):
        with pytest.raises(ValueTextError):
            reader(text, PJREDDIE)


def test_number_too_large_for_c_raises() -> None:
    with pytest.raises(ValueTextError, match="expected"):
        read_int("3000000000", PJREDDIE)
    for text in ("1e39", "1e999", "-0x1p128", "0x1p99999"):
        with pytest.raises(ValueTextError, match="expected"):
            read_float(text, PJREDDIE)


def test_read_list_ends_at_comment_and_allows_trailing_comma() -> None:
    assert read_list(read_int)("1,2,3", PJREDDIE) == ((1, 2, 3), None)
    values, complaint = read_list(read_int)("1,2#,3", PJREDDIE)
    assert values == (1, 2)
    assert complaint is not None
    assert read_list(read_int)("1,2,", PJREDDIE).value == (1, 2)


def test_read_first_reads_one_value_in_pjreddie() -> None:
    read_from = read_first(read_int, fork="pjreddie")
    assert read_from("-3,-5", PJREDDIE).value == (-3,)
    assert read_from("-3,-5", ALEXEYAB).value == (-3, -5)


def test_read_choice_maps_aliases_and_fallback() -> None:
    reader = read_choice("none", "relu", fallback="none", aliases={"avg_relu": "relu"})
    assert reader("avg_relu", ALEXEYAB) == ("relu", None)
    assert reader("other", ALEXEYAB).value == "none"
    with pytest.raises(ValueTextError, match="expected one of a, b"):
        read_choice("a", "b")("c", ALEXEYAB)
