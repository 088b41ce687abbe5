"""Command lines of Darknet and of other tools: the error has the darkparse command that does the same."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from darkparse.cli.foreign_commands import DARKNET_COMMANDS, OPTIONS, OTHER_COMMANDS, translate
from darkparse.cli.main import COMMANDS, darkparse, main


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            "detector test obj.data my.cfg my.weights dog.jpg -thresh .5 -ext_output",
            "darkparse detect my.cfg my.weights dog.jpg --names obj.data --threshold .5",
        ),
        ("./darknet detector test o.data a.cfg a.weights", "darkparse detect a.cfg a.weights IMAGE --names o.data"),
        (
            "detector train obj.data my.cfg yolov4.conv.137 -map -dont_show",
            "darkparse train obj.data my.cfg yolov4.conv.137 --map",
        ),
        (
            "detector train obj.data my.cfg -gpus 0,1,2",
            "torchrun --nproc-per-node 3 -m darkparse train obj.data my.cfg",
        ),
        (
            "detector map obj.data my.cfg my.weights -iou_thresh .75 -points 11",
            "darkparse evaluate my.cfg my.weights --images obj.data --rule darknet --iou .75",
        ),
        (
            "detector demo d.data a.cfg a.weights -c 0",
            "darkparse detect a.cfg a.weights /dev/video0 --names d.data",
        ),
        (
            "detector calc_anchors d.data -num_of_clusters 6 -width 416 -height 416",
            "darkparse anchors d.data --clusters 6 --size 416",
        ),
        (
            "classifier predict c.data a.cfg a.weights x.png -t 5",
            "darkparse detect a.cfg a.weights x.png --names c.data --top 5",
        ),
        ("classifier valid c.data a.cfg a.weights", "darkparse evaluate a.cfg a.weights --images c.data"),
        ("classifier train c.data a.cfg -topk", "darkparse train c.data a.cfg --map"),
        (
            "partial a.cfg a.weights a.conv.15 15",
            "darkparse convert a.cfg a.weights --upto 15 --seen 0 -o partial.weights",
        ),
        ("predict", "darkparse detect CFG WEIGHTS IMAGE"),
        ("predict model=my.weights source=dog.jpg conf=.4", "darkparse detect CFG my.weights dog.jpg --threshold .4"),
        ("predict my.cfg my.weights 'my dog.jpg'", "darkparse detect my.cfg my.weights 'my dog.jpg'"),
        ("val my.cfg my.weights --data my.data", "darkparse evaluate my.cfg my.weights --images my.data"),
        ("export my.cfg my.weights", "darkparse convert my.cfg my.weights -o network.onnx"),
        ("info yolov3", "darkparse show yolov3"),
    ],
)
def test_translate_command_of_another_tool_returns_ours(typed: str, expected: str) -> None:
    assert translate(shlex.split(typed)) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("detect a.cfg a.weights dog.jpg -thresh .5", "darkparse detect a.cfg a.weights dog.jpg --threshold .5"),
        ("train d.data a.cfg -gpus 0,1", "torchrun --nproc-per-node 2 -m darkparse train d.data a.cfg"),
        ("train d.data a.cfg -map -clear -dont_show", "darkparse train d.data a.cfg --map --clear"),
        ("detect a.cfg a.weights dog.jpg --conf=.3", "darkparse detect a.cfg a.weights dog.jpg --threshold .3"),
    ],
)
def test_main_with_option_of_another_tool_exits_2_with_hint(
    typed: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(shlex.split(typed))
    assert exit_info.value.code == 2
    assert f"hint: {expected}\n" in capsys.readouterr().err


def test_main_with_option_of_another_command_prints_no_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["show", "yolov3", "--device", "cuda"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "No such option '--device'" in error
    assert "hint" not in error


def test_main_with_unknown_command_exits_2_with_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["detector", "test", "obj.data", "my.cfg", "my.weights"])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert "unknown command 'detector'\nhint: darkparse detect my.cfg my.weights IMAGE --names obj.data\n" in error


def test_translate_unknown_word_returns_none() -> None:
    assert translate(["frobnicate", "my.cfg"]) is None
    assert translate([]) is None
    assert translate(["detect", "a", "--frobnicate"], ["--threshold"]) is None


@pytest.mark.parametrize("template", [*(text for _, text in DARKNET_COMMANDS.values()), *OTHER_COMMANDS.values()])
def test_translation_template_names_existing_command_and_options(template: str) -> None:
    name, *words = template.split()
    command = darkparse.get_command(click.Context(darkparse), name)
    assert name in COMMANDS
    assert command is not None
    own = {option for param in command.params for option in param.opts}
    assert {word for word in words if word.startswith("-")} <= own


def test_translated_options_exist_in_some_command() -> None:
    commands = [darkparse.get_command(click.Context(darkparse), name) for name in COMMANDS]
    own = {option for command in commands if command for param in command.params for option in param.opts}
    assert {word for text in OPTIONS.values() for word in text.split() if word.startswith("-")} <= own


def test_words_of_other_tools_hide_no_command() -> None:
    assert not OTHER_COMMANDS.keys() & COMMANDS.keys()
    assert not {words[0] for words in DARKNET_COMMANDS} & COMMANDS.keys()
    assert CliRunner().invoke(darkparse, ["detect", "--help"]).exit_code == 0
