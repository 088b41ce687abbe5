"""What a terminal would obey never reaches it, from whichever text and command; rich's own colors do."""

from __future__ import annotations

import io
import re
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest

from darkparse.cli import main
from darkparse.cli.common import stderr, stdout
from darkparse.cli.terminal import replace_control_characters, safe_console, safe_streams
from tests.conftest import ROOT

OBEYED = "\x07\x08\x1b\x7f\x85\x9b\u202e\u2066"
EVIL = f"a{OBEYED}[31mb"
NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CFG = f"{NET}[convolutional]\nfilters=4\nactivation={{0}}\n{{0}}=1\nstride=1{{0}}\n[softmax]\n"


def _is_safe(text: str) -> bool:
    return bool(text) and not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cfg with odd characters in its name and its texts."""
    monkeypatch.chdir(tmp_path)
    name = f"{EVIL}.cfg"
    Path(name).write_text(CFG.format(EVIL), "utf-8")
    return name


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "{}"],
        ["show", "{}", "--format", "csv"],
        ["show", "{}", "--format", "json"],
        ["show", "{}", "--format", "yaml"],
        ["explain", "{}"],
        ["check", "{}"],
        ["check", "{}.none"],
        ["weights", "{}"],
        ["weights", "{}", "{}"],
        ["draw", "{}"],
        ["draw", "{}", "-o", "{}/x.svg"],
        ["show", "{}", "--size", "{}"],
        ["{}"],
        ["convert", "{}", "{}", "-o", "{}.npz"],
    ],
    ids=" ".join,
)
def test_commands_print_no_control_characters(
    arguments: list[str], evil: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        main([argument.format(evil) for argument in arguments])
    captured = capsys.readouterr()
    assert _is_safe(captured.out + captured.err)


def test_safe_streams_replace_control_characters_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    with safe_streams():
        click.echo(EVIL)
        click.echo(EVIL, err=True)
        click.secho(EVIL, fg="red", err=True)
        print(EVIL, file=sys.stderr)
        sys.stdout.writelines([EVIL, "\n"])
        stdout().print(EVIL, style="red")
        table = Table(title=EVIL)
        table.add_column(EVIL)
        table.add_row(EVIL)
        stderr().print(table)
    out, err = capsys.readouterr()
    assert _is_safe(out)
    assert _is_safe(err)
    assert out.count("[31mb") == 3
    assert err.count("[31mb") == 4


def test_console_keeps_its_own_colors() -> None:
    file = io.StringIO()
    console = safe_console()(file=file, force_terminal=True, color_system="standard", highlight=False, markup=False)
    console.print("\x1b\x9b\u202e", style="red")
    assert file.getvalue() == "\x1b[31m???\x1b[0m\n"


def test_console_prints_emoji_codes_and_markup_verbatim() -> None:
    from rich.table import Table

    table = Table(":dog:", title=":dog:", caption=":dog:")
    table.add_row("[red]:dog:")
    for is_terminal in (False, True):
        file = io.StringIO()
        safe_console()(file=file, force_terminal=is_terminal, width=80).print(":dog:", table, "[red]:dog:")
        assert file.getvalue().count(":dog:") == 6
        assert file.getvalue().count("[red]") == 2
    for path in (ROOT / "darkparse").rglob("*.py"):
        for call in re.findall(r"TextColumn\([^)]*{task[^)]*\)", path.read_text("utf-8")):
            assert "markup=False" in call, path


def test_safe_streams_pass_bytes_unchanged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with safe_streams():
        click.echo(b"\x1b\x00", nl=False)
    assert capfdbinary.readouterr().out == b"\x1b\x00"


def test_replace_control_characters_keeps_lines_and_letters() -> None:
    text = "a\tb\n×÷…é日本\U0001f600"
    assert replace_control_characters(text) == text


def test_consoles_are_created_in_terminal_module_only() -> None:
    for path in (ROOT / "darkparse").rglob("*.py"):
        if path.name != "terminal.py":
            assert not re.search(r"(?<!TYPE_CHECKING)\bConsole\(", path.read_text("utf-8")), path
