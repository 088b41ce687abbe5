"""`darkparse check`: everything that is odd about a cfg."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from darkparse.cli.common import cfg_argument, counted, network_options, stdout
from darkparse.syntax import CfgError

if TYPE_CHECKING:
    from darkparse.syntax import Config


@click.command(name="check")
@cfg_argument
@network_options
def command(cfg: str | Config, size: int | tuple[int, int] | None, dialect: str, strict: bool) -> None:
    """Check a cfg: print every error and warning with its place, and what Darknet makes of it.

    Exit status 0 if the cfg compiles, 2 if it does not, or if there are warnings with --strict.
    """
    from rich.text import Text

    from darkparse.network import compile

    console = stdout()
    try:
        network = compile(cfg, size=size, dialect=dialect)
        found, verdict = (
            network.diagnostics,
            f"compiles, {counted(len(network.nodes), 'layer')}, dialect {network.dialect.name} "
            f"({network.dialect_reason})",
        )
    except CfgError as problem:
        found, verdict = problem.diagnostics, "does not compile; what depends on this was not looked at yet"
    for diagnostic in found:
        console.print(Text(str(diagnostic), style="red" if diagnostic.severity == "error" else ""), soft_wrap=True)
    errors = sum(d.severity == "error" for d in found)
    count = f"{counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}"
    name = cfg if isinstance(cfg, str) else cfg.source.name
    console.print(f"{name}: {count}; {verdict}", soft_wrap=True)
    sys.exit(2 if errors or (strict and found) else 0)
