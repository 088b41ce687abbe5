"""`darkparse format`: format cfgs in one style."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from darkparse.cli.common import stderr, write_text
from darkparse.cli.help import HelpCommand
from darkparse.errors import DarkparseError
from darkparse.syntax.formatter import format_cfg


@click.command(name="format", cls=HelpCommand)
@click.argument("cfgs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CFG...")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a cfg would change.")
def command(cfgs: tuple[Path, ...], check: bool) -> None:
    """Format cfgs in one style.

    The style is `key=value` without spaces, one blank line before each section, LF line endings and UTF-8. Comments and
    the network are unchanged.
    """
    from darkparse.syntax import read

    untidy = []
    for path in cfgs:
        config = read(path)
        if not config.source.is_cfg:
            raise DarkparseError(f"{path}: cannot format YAML; expected a cfg")
        text = format_cfg(config)
        if text == config.source.text and config.source.encoding == "utf-8":
            continue
        untidy.append(path)
        if not check:
            write_text(text, config.source.path)
    for path in untidy:
        stderr().print(f"{path}: {'would be reformatted' if check else 'reformatted'}", soft_wrap=True)
    sys.exit(1 if check and untidy else 0)
