"""What changed in a network, and one tidy style that changes nothing in it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import darkparse
from darkparse.syntax import Config, read
from darkparse.syntax.config import strip_whitespace
from darkparse.syntax.formatter import format_cfg
from darkparse.views.text.network_diff import code_span, report_differences
from tests.commands import run_command
from tests.conftest import examples, original_params, shipped_cfgs

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n\n"
CONV = "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=leaky\n\n"
HEAD = "[convolutional]\nfilters=7\nactivation=linear\n\n[yolo]\nclasses=2\nanchors=1,2\n"
BEFORE = NET + CONV * 2 + "[route]\nlayers=-1,0\n\n" + HEAD


def _told(after: str, before: str = BEFORE) -> list[str]:
    found = report_differences(darkparse.compile(before), darkparse.compile(after))
    return [f"{one.sign} {one.place}: {', '.join(map(str, one.changes))}" for one in found.layers]


def test_diff_of_equivalent_text_is_empty() -> None:
    after = "# a comment\n" + BEFORE.replace("filters=8\nsize=3", "size = 3\nfilters=8").replace("-1,0", "1,-2")
    found = report_differences(darkparse.compile(BEFORE), darkparse.compile(after))
    assert not found
    assert str(found) == "<text> → <text>: the same network"


def test_diff_of_changed_filters_lists_options_shapes_and_costs() -> None:
    assert _told(BEFORE.replace("filters=8", "filters=4", 1)) == [
        "≠ L0: filters 8 → 4, channels out 8 → 4, parameters 224 → 112, reduction C ×2.67 → C ×1.33",
        "≠ L1: parameters 584 → 296, reduction none → C ×2",
        "≠ L2: channels out 16 → 12, reduction C ×2 (joined) → C ×1.5 (joined)",
        "≠ L3: parameters 119 → 91",
    ]


def test_diff_of_extra_layer_marks_it_added_or_removed() -> None:
    more = BEFORE.replace("[route]\nlayers=-1,0", "[maxpool]\nstride=1\nsize=3\n\n[route]\nlayers=-2,0")
    assert _told(more) == ["+ L2: output 64×64×8"]
    assert _told(BEFORE, more) == ["- L2: "]


def test_diff_of_rewired_route_names_inputs() -> None:
    before = NET + CONV * 3 + "[route]\nlayers=-1,0\n\n" + HEAD
    assert _told(before.replace("-1,0", "-1,1"), before) == ["≠ L3: reads L2, L0 → L2, L1"]


def test_diff_of_two_input_sizes_reports_totals_only() -> None:
    found = report_differences(darkparse.compile("yolov3"), darkparse.compile("yolov3", size=416))
    assert not found.layers
    assert [total.name for total in found.totals] == ["input", "FLOPs"]
    assert "input 608×608×3 → 416×416×3" in str(found)


def test_diff_of_changed_classes_lists_heads_and_filters() -> None:
    network = darkparse.compile("yolov3")
    found = report_differences(network, darkparse.edit(network, classes=3))
    assert [one.after for one in found.layers] == [81, 82, 93, 94, 105, 106]
    assert "| ≠ | L82 | YOLO head | classes 80 → 3<br>channels out 255 → 24 |" in found.to_markdown()


@pytest.mark.parametrize("text", ["a`b", "``", "`", "", " ", " a ", "a\n# b\u202e", "a|b", "<a>&lt;", "@a #1"])
def test_code_span_of_any_text_renders_as_one_code_line(text: str) -> None:
    shown = html.escape("".join(c if c.isprintable() else "?" for c in text) or " ", quote=False)
    assert MarkdownIt().render(code_span(text)) == f"<p><code>{shown}</code></p>\n"


@pytest.mark.parametrize("value", ["@octocat", "[a](http:b)", "<img>", "www.example.org", "#1", "a|b", "`|`", "*a*"])
def test_markdown_diff_puts_untrusted_values_in_code_spans(value: str) -> None:
    before = NET + CONV + "[softmax]\ntree=a.tree\n"
    after = report_differences(darkparse.compile(before), darkparse.compile(before.replace("a.tree", f"{value}.tree")))
    row = after.to_markdown().splitlines()[-1]
    assert re.search(r"(`+) ?tree a\.tree → .*\1 \|$", row)
    assert value.replace("|", r"\|") in row


def test_diff_command_exits_1_and_lists_changes(tmp_path: Path) -> None:
    a, b = tmp_path / "a.cfg", tmp_path / "b.cfg"
    a.write_text(BEFORE)
    b.write_text(BEFORE.replace("leaky", "mish", 1))
    same, other = run_command("diff", a, a), run_command("diff", a, b)
    assert (same.returncode, other.returncode) == (0, 1)
    assert "activation leaky → mish" in other.stdout
    data = json.loads(run_command("diff", a, b, "--format", "json").stdout)
    assert not data["same"]
    assert data["layers"][0]["changes"] == [{"name": "activation", "before": "leaky", "after": "mish"}]
    assert "activation leaky → mish" in run_command("diff", a, b, "--format", "markdown").stdout
    assert "pass it with --cfg" in run_command("diff", "a.weights", "b.weights").stderr


# The tidy style.


def _meaning(config: Config) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [(s.kind, [(o.key, o.text) for o in s.options]) for s in (config.net, *config.sections)]


def _comments(text: str) -> list[str]:
    return [
        strip_whitespace(line) for line in text.strip("\ufeff").split("\n") if strip_whitespace(line)[:1] in ("#", ";")
    ]


@pytest.mark.parametrize("path", [*shipped_cfgs(), *original_params(fast_bytes=3000)])
def test_format_of_cfg_keeps_meaning_and_comments(path: Path) -> None:
    config = read(path)
    text = format_cfg(config)
    assert _meaning(read(text)) == _meaning(config)
    assert _comments(text) == _comments(config.source.text)
    assert format_cfg(read(text)) == text


LINES = st.text(st.sampled_from("a1 \t,#;=.-"), max_size=12)


@examples(200)
@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_format_of_any_lines_keeps_meaning_and_comments(lines: list[str], end: str) -> None:
    config = read(end.join(["[ n e t ]", *lines[:4], "[conv]", *lines[4:], ""]))
    text = format_cfg(config)
    assert _meaning(read(text)) == _meaning(config)
    assert _comments(text) == _comments(config.source.text)
    assert format_cfg(read(text)) == text


def test_format_normalizes_spaces_and_blank_lines() -> None:
    text = "\ufeff  [net]\n width = 8\n\n\n# one\n[ conv ]\nfilters =1 8  #two\n[yolo]\nanchors = 1,2,3, 4\nmask=0, 1\n"
    tidied = "[net]\nwidth=8\n\n# one\n[conv]\nfilters=1 8 #two\n\n[yolo]\nanchors=1,2, 3,4\nmask=0,1\n"
    assert format_cfg(read(text)) == format_cfg(read(text.replace("\n", "\r\n"))) == tidied


def test_format_command_rewrites_file_and_check_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "a.cfg"
    path.write_text(BEFORE.replace("=", " = "))
    assert run_command("format", path, "--check").returncode == 1
    assert " = " in path.read_text()
    assert run_command("format", path).returncode == 0
    assert path.read_text() == BEFORE
    assert run_command("format", path, "--check").returncode == 0
