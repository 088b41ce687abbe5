"""Each cfg under errors/ says on its first lines what is wrong with it, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

import darkparse
from darkparse.cli import main
from darkparse.errors import CfgError
from darkparse.network.compile_options import CompileOptions
from tests.conftest import DATA

CASES = sorted((DATA / "errors").glob("*.cfg"))
EXPECT = "# expect "


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_compile_error_has_expected_place_and_message(path: Path) -> None:
    expected = [line.removeprefix(EXPECT) for line in path.read_text("utf-8").splitlines() if line.startswith(EXPECT)]
    with pytest.raises(CfgError) as raised:
        darkparse.compile(path, dialect="alexeyab")
    errors = [d for d in raised.value.diagnostics if d.severity == "error"]
    assert [f"{d.span.line}:{d.span.column}: {d.message}" for d in errors if d.span] == expected


def test_head_filters_error_notes_both_places() -> None:
    with pytest.raises(CfgError) as raised:
        darkparse.compile(CASES[0].parent / "head_filters.cfg")
    assert "head_filters.cfg:8:9: note: layer 0 [convolutional] outputs 32×32×250" in str(raised.value)


@pytest.mark.parametrize("name", ["unknown_kind", "no_digit", "route_forward", "maps_that_do_not_fit", "no_input"])
def test_commands_on_broken_cfg_exit_2_with_place(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = CASES[0].parent / f"{name}.cfg"
    for command in (["show", path], ["explain", path], ["check", path], ["draw", path, "-o", "/nowhere/x.svg"]):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in command])
        assert stop.value.code == 2
        captured = capsys.readouterr()
        assert f"{path}:" in (captured.out + captured.err).replace("\n", "")


def test_strict_turns_warnings_into_errors() -> None:
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4 # four\n"
    assert len(darkparse.compile(text).diagnostics) == 1
    with pytest.raises(CfgError, match="<text>:6:9: error: filters: Darknet reads 4 and ignores '#four'"):
        darkparse.compile(text, darkparse.CompileOptions(strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CompileOptions(size=0), "at least 1×1"),
        (CompileOptions(size=(32, -1)), "at least 1×1"),
        (CompileOptions(dialect="darknet"), "unknown dialect 'darknet'; expected one of auto, pjreddie, alexeyab"),
        (CompileOptions(reorg="other"), "reorg must be"),
    ],
)
def test_compile_with_invalid_option_raises(options: CompileOptions, message: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.compile("yolov2", options)


def test_compile_vector_input_with_size_raises() -> None:
    with pytest.raises(darkparse.DarkparseError, match="takes a vector"):
        darkparse.compile("[net]\ninputs=4\n[connected]\noutput=2\n", size=32)
