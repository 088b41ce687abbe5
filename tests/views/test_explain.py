"""`darkparse explain`: the seed question's answer, in every form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import darkparse
from darkparse import DarkparseError
from darkparse.cli import main
from darkparse.views.layer_info import layer_facts
from darkparse.views.text.layer_report import layer_report
from tests.views.networks import CFGS, compile_once


def test_explain_yolov1_names_layers_that_do_not_reduce() -> None:
    text = str(darkparse.explain(darkparse.compile("yolov1")))
    assert "7 of the 9 1×1 convolutions reduce the channels." in text
    assert "L6 (1×1, 256→256) and L17 (1×1, 512→512) reduce nothing and mix channels only." in text
    assert "L6+L7: 1.25M weights against 1.18M for one direct 3×3 256→512: 6% more." in text


def test_layer_report_counts_cfg_lines_by_newline_only() -> None:
    """A form feed, or another character that some take for a line's end, ends no line of a cfg."""
    text = "[net]\r\nwidth=8\r\nheight=8\r\nchannels=3\r\n[conv]\r\n# a\x0cb\u2028c\r\nfilters=2\r\n"
    report = layer_report(layer_facts(darkparse.compile(text))[0])
    assert report.section == ((5, "[conv]"), (6, "# a\x0cb\u2028c"), (7, "filters=2"))


@pytest.mark.parametrize(
    ("name", "sentences"),
    [
        ("yolov3", ["34 of 34 reduce channels", "L81, L93 and L105 project to their heads, which is not a reduction."]),
        (
            "yolov4",
            [
                "30 of 63 reduce channels",
                "30 of the 63 1×1 convolutions reduce the channels.",
                "L138, L149 and L160 project",
            ],
        ),
    ],
)
def test_explain_known_networks_contains_sentences(name: str, sentences: list[str]) -> None:
    text = str(darkparse.explain(compile_once(name)))
    assert all(sentence in text for sentence in sentences)


def test_explain_rows_equal_diagram() -> None:
    explanation = darkparse.explain(compile_once("yolov3"))
    lines = str(explanation).splitlines()
    for card in explanation.model.cards:
        for row in card.rows:
            (line,) = [line for line in lines if line.split("  ")[0].strip() == row.name]
            assert row.spatial.text in line
            assert row.channels.text in line
            assert all(f"└ {note.text}" in "\n".join(lines) for note in row.notes)


def test_explain_layer_reports_reduction_cost_and_readers() -> None:
    text = str(darkparse.explain(darkparse.compile("yolov1"), 6))
    assert "256 channels in, 256 out: this 1×1 convolution reduces nothing, it mixes channels only." in text
    assert "one direct 3×3 256→512: 1.18M, costs 6% more." in text
    assert "in: 56×56×256 from L5" in text
    assert "out: 56×56×256, read by L7" in text
    assert "cost: 65.5k weights, 66,048 parameters" in text
    assert "receptive field: 37×37" in text
    assert "[convolutional]" in text
    assert "filters=256" in text


@pytest.mark.parametrize(
    ("name", "layer", "sentence"),
    [
        ("yolov1", 31, "A detection head: it decodes 1715"),
        (
            "yolov3",
            81,
            "Its 255 channels = 3 × (80 classes + 5) are what the head L82 decodes: a projection, not a reduction.",
        ),
        ("yolov3", 86, "It concatenates channels: 256 + 512 = 768 (joined); nothing is computed."),
        ("yolov3", 45, "Copy 3 of 8 of a repeated block (L38–L61)."),
        ("yolov1", 3, "It reduces height × width from 112×112 to 56×56 (÷2), by pooling."),
        ("yolov2", 27, "values are only moved, none is lost"),
    ],
)
def test_explain_layer_reasoning_has_expected_sentence(name: str, layer: int, sentence: str) -> None:
    assert sentence in str(darkparse.explain(compile_once(name), layer))


@pytest.mark.parametrize(
    ("layer", "cost"),
    [
        (2, "cost: 2.05k weights, 2,112 parameters, 379 MFLOPs (189M multiply-adds), 0.3% of the network's"),
        (4, "cost: no parameters, no FLOPs, 0.006 BFLOPs as Darknet counts"),
    ],
)
def test_explain_layer_cost_has_expected_line(layer: int, cost: str) -> None:
    """Darknet counts the additions of a shortcut, which are no multiply-adds."""
    assert cost in str(darkparse.explain("yolov3", layer)).splitlines()


def test_explain_recurrent_layer_mentions_state() -> None:
    text = "[net]\ninputs=4\n[gru]\noutput=4\n[connected]\noutput=4\n"
    facts = layer_facts(darkparse.compile(text))
    told = ["It is stateful" in " ".join(layer_report(one).reasoning) for one in facts]
    assert told == [True, False]


def test_layer_report_contains_lines_of_section() -> None:
    network = darkparse.compile("yolov1")
    section = layer_report(layer_facts(network)[6]).section
    lines = network.config.source.text.splitlines()
    assert len(section) > 3
    assert all(lines[number - 1] == text for number, text in section)


def test_explain_missing_layer_raises() -> None:
    with pytest.raises(DarkparseError, match="unknown layer 32; yolov1 has layers 0 to 31"):
        darkparse.explain(darkparse.compile("yolov1"), 32)


def test_explain_markdown_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a_b*c.cfg"
    path.write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=4\n")
    text = darkparse.explain(compile_once(path)).markdown()
    assert text.startswith("# a\\_b\\*c\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1


@pytest.mark.parametrize("path", CFGS)
def test_explain_json_equals_network(path: Path) -> None:
    network = compile_once(path)
    data = json.loads(darkparse.explain(network).json())
    assert data["network"]["totals"]["parameters"] == network.cost.params
    assert data["network"]["totals"]["macs"] == sum(layer["macs"] for layer in data["layers"])
    assert network.cost.params == sum(layer["parameters"] for layer in data["layers"])
    assert data["pointwise"]["total"] == sum(
        len(data["pointwise"][key]) for key in ("reducing", "keeping", "expanding")
    )
    for block in data["bottlenecks"]:
        assert block["saves"] == (block["weights"] < block["direct_weights"])


@pytest.mark.parametrize(
    "arguments", [[], ["--layer", "L6"], ["--format", "md"], ["--format", "json"], ["--layer", "6", "--format", "json"]]
)
def test_explain_command_prints_plain_text(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "yolov1", *arguments])
    out = capsys.readouterr().out
    assert "256→256: no reduction, mixes channels only" in out
    assert "\x1b" not in out


def test_explain_command_on_terminal_prints_color(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    main(["explain", "yolov1"])
    out = capsys.readouterr().out
    assert "\x1b[" in out
    assert "7 of 9 reduce channels" in out


def test_explain_command_with_invalid_layer_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["explain", "yolov1", "--layer", "last"])
    assert stop.value.code == 2
    assert "expected its index, e.g. 6 or L6" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("layer", [None, 5])
def test_explain_lines_fit_width_and_keep_text(width: int, layer: int | None) -> None:
    explanation = darkparse.explain(compile_once("yolov4"), layer)
    narrow = ["".join(text for text, _ in line).rstrip() for line in explanation.lines(width)]
    assert max(map(len, narrow)) <= width
    assert sorted(re.sub(r"\s", "", "".join(narrow))) == sorted(re.sub(r"\s", "", str(explanation)))
