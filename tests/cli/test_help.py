"""Help texts: commands in groups, options under headings, no word split at the end of a line."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from darkparse.cli.help import DEFAULT_HEADING, HEADINGS, HelpCommand, HelpContext, find_position
from darkparse.cli.main import COMMAND_GROUPS, COMMANDS, darkparse

WIDTHS = (80, 120)
SECTION = re.compile(r"^(\w[\w ]*):\n((?:  .*\n?)+)", re.MULTILINE)


def load_command(name: str) -> click.Command:
    with click.Context(darkparse) as ctx:
        command = darkparse.get_command(ctx, name)
    assert command is not None
    return command


def run_help(*command: str, width: int = 80) -> str:
    result = CliRunner().invoke(darkparse, [*command, "--help"], prog_name="darkparse", terminal_width=width)
    assert result.exit_code == 0, result.output
    return result.stdout


def split_words(text: str) -> set[str]:
    """Split a text at white space, and not at hyphens, slashes or brackets."""
    return set(text.replace("\b", " ").split())


def test_main_help_lists_every_command_in_its_group() -> None:
    sections = dict(SECTION.findall(run_help()))
    assert list(sections) == [*COMMAND_GROUPS, "Options"]
    for group, commands in COMMAND_GROUPS.items():
        lines = [line.split(maxsplit=1) for line in sections[group].splitlines()]
        assert lines == [[name, summary] for name, summary in commands.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_in_table_is_first_sentence_of_command_help(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert isinstance(command, HelpCommand)
    assert (command.help or "").partition("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_heading_and_description(name: str) -> None:
    command = load_command(name)
    options = [option for option in command.params if isinstance(option, click.Option)]
    headings = {option.opts[-1]: list(HEADINGS)[find_position(name, option)[0]] for option in options}
    assert [option for option, heading in headings.items() if heading == DEFAULT_HEADING] == []
    for option in options:
        assert re.fullmatch(r"[A-Z[].*\.", option.help or ""), f"{option.opts[-1]}: {option.help}"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_has_no_empty_section_and_no_split_word(name: str, width: int) -> None:
    command, text = load_command(name), run_help(name, width=width)
    assert max(map(len, text.splitlines())) <= width
    sections = SECTION.findall(text)
    assert [heading for heading, _ in sections] == [heading for heading in HEADINGS if f"\n{heading}:\n" in text]
    for heading, lines in sections:
        assert re.match(r"  -", lines), heading
    words = split_words(command.help or "")
    for option in command.params:
        words |= split_words((isinstance(option, click.Option) and option.help) or "")
    assert words <= split_words(text)


def test_option_without_heading_is_shown_before_runtime_options() -> None:
    option = click.Option(["--unlisted"], is_flag=True, help="Do more.")
    device = click.Option(["--device"], metavar="DEVICE", help="Device to run on.")
    size = click.Option(["--size"], type=int, default=416, show_default=True, help="Input size.")
    command = HelpCommand("example", params=[device, option, size], add_help_option=False)
    with HelpContext(command, terminal_width=80) as ctx:
        sections = dict(SECTION.findall(command.get_help(ctx)))
    assert list(sections) == ["Input", "Options", "Runtime"]
    assert sections["Input"].strip() == "--size INTEGER   Input size.  [default: 416]"
    assert sections["Options"].strip() == "--unlisted       Do more."


def test_long_choices_are_listed_in_the_description() -> None:
    choices = ["letterbox", "stretch", "crop"]
    option = click.Option(["--resize"], type=click.Choice(choices), show_default="from the dialect", help="Fit images.")
    command = HelpCommand("example", params=[option], add_help_option=False)
    with HelpContext(command, terminal_width=100) as ctx:
        text = command.get_help(ctx)
    assert "--resize RESIZE  Fit images.  [letterbox, stretch, crop; default: from the dialect]" in text
