"""Arguments, options, consoles and warnings that commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, TypeVar

import click

from darkparse._utils.files import atomic_write
from darkparse.cli.terminal import safe_console
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import DIALECTS
from darkparse.network.detection_settings import DetectionSettings
from darkparse.syntax.files import MAX_CFG_BYTES, read_limited

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.console import Console
    from rich.table import Table

    from darkparse.network import Network
    from darkparse.network.compile_options import CompileOptions
    from darkparse.syntax import Config
    from darkparse.weights import FileBuffer

F = TypeVar("F", bound=Callable[..., Any])

MAX_WARNINGS = 3
NOTICE_DELAY = 2.0
"""Seconds."""
FRACTION = click.FloatRange(0, 1)


class CfgType(click.ParamType):  # type: ignore[type-arg]
    """A path to a cfg, the name of a cfg that ships with darkparse, or `-` for standard input.

    The shell completes names.
    """

    name = "cfg"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | Config:
        if value != "-":
            return value  # type: ignore[no-any-return]
        from darkparse.syntax import parse
        from darkparse.syntax.reader import make_source

        if sys.stdin is None:  # closed by the parent process
            raise DarkparseError("<stdin>: standard input is closed")
        return parse(make_source(read_limited(sys.stdin.buffer, "<stdin>", MAX_CFG_BYTES), "<stdin>"))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from darkparse.syntax import find_shipped_cfgs

        names = [CompletionItem(name) for name in find_shipped_cfgs() if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A size: `416`, or height by width as in `320x640`."""

    name = "N|HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, int]:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        match = re.fullmatch(r"(\d{1,9})(?:[x×X](\d{1,9}))?", value)
        if not match or int(match[1]) < 1 or (match[2] and int(match[2]) < 1):
            self.fail(f"invalid size {value!r}; expected N or HxW, e.g. 416 or 320x640", param, ctx)
        return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))


dialect_option = click.option(
    "--dialect",
    type=click.Choice(["auto", *DIALECTS]),
    default="auto",
    help="Darknet fork to follow (auto: detect it).",
)


size_option = click.option("--size", type=SizeType(), show_default="from the cfg", help="Input size.")


def cfg_argument(function: F) -> F:
    """Add the CFG argument."""
    return click.argument("cfg", type=CfgType())(function)


def network_options(function: F) -> F:
    """Add the options that control how a cfg is read."""
    function = click.option("--strict", is_flag=True, help="Treat warnings as errors.")(function)
    return dialect_option(size_option(function))


def reorg_option(function: F) -> F:
    """Add the option that controls how `[reorg]` is read."""
    kinds = click.Choice(["reorg", "reorg3d"])
    help = "Algorithm of [reorg] (reorg3d: AlexeyAB, early 2018)."
    return click.option("--reorg", type=kinds, help=help)(function)


def setting_option(*names: str, default: Any = None, type: Any = FRACTION, help: str) -> Callable[[F], F]:
    """Return the option for a field of `DetectionSettings`, by default with the default of the field."""
    default = getattr(DetectionSettings, names[0].removeprefix("--")) if default is None else default
    return click.option(*names, type=type, default=default, help=help)


def text_output_option(function: F) -> F:
    """Add the option for the output file, which `write_text` takes."""
    place = click.Path(path_type=Path, dir_okay=False)
    return click.option(
        "-o", "--out", "--output", "output", type=place, show_default="standard output", help="File to write."
    )(function)


def compile_cfg(cfg: str | Config, options: CompileOptions, weights: str | FileBuffer | None = None) -> Network:
    """Compile a CFG argument and print its first warnings to standard error.

    The dialect is detected from the weights file too, if there is one.
    """
    if weights is None:
        from darkparse.network import compile

        network = compile(cfg, options)
    else:
        from darkparse.weights import compile_with_weights

        network = compile_with_weights(cfg, weights, options)
    print_warnings(network)
    return network


def print_warnings(network: Network) -> None:
    """Print the first warnings about a cfg to standard error, one per line."""
    diagnostics = network.diagnostics
    for diagnostic in diagnostics[:MAX_WARNINGS]:
        stderr().print(diagnostic.headline, soft_wrap=True)
    if len(diagnostics) > MAX_WARNINGS:
        more = len(diagnostics) - MAX_WARNINGS
        stderr().print(f"… and {more} more: darkparse check {network.config.source.name}", soft_wrap=True)


class WarningPrinter:
    """Prints warnings about images to standard error: one line for each of the first, then the number of others."""

    def __init__(self, console: Console) -> None:
        self._console, self._count = console, 0

    def add(self, name: str, remarks: Iterable[str]) -> None:
        for remark in remarks:
            self._count += 1
            if self._count <= MAX_WARNINGS:
                self._console.print(f"{name}: {remark}", style="yellow", soft_wrap=True)

    def end(self) -> None:
        if self._count > MAX_WARNINGS:
            self._console.print(f"… and {self._count - MAX_WARNINGS:,} more", style="yellow")


def write_text(text: str, output: Path | None) -> None:
    """Write UTF-8 text to a file atomically, or to standard output if the path is None or `-`."""
    data = text.encode("utf-8", "surrogateescape")
    if output is not None and str(output) != "-":
        with atomic_write(output) as part:
            part.write_bytes(data)
    elif sys.stdout.isatty():
        click.echo(text, nl=False)
    else:
        click.echo(data, nl=False)


def report_written(path: str | Path, message: str = "") -> None:
    """Print the written file to standard error; without rich, whose import takes longer than a small command."""
    click.echo(f"wrote {path}{message and f': {message}'}", err=True)


@contextmanager
def slow_notice(what: str) -> Iterator[None]:
    """Print what is running to standard error if it takes longer than two seconds."""
    timer = Timer(NOTICE_DELAY, lambda: stderr().print(f"{what} …", soft_wrap=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def stdout() -> Console:
    """Return the console for output: with colors on a terminal, and without truncated lines elsewhere."""
    console = safe_console()()
    return console if console.is_terminal else safe_console()(width=1000)


def print_table(make: Callable[[Collection[str]], Table], expendable: Iterable[str]) -> None:
    """Print a table; hide expendable columns while it is wider than the terminal, then exceed the width.

    Args:
        make: Returns the table without the given columns.
        expendable: Columns to hide, in this order.
    """
    console, hidden = stdout(), set[str]()
    wide_options = safe_console()(width=1000).options
    for name in (*expendable, None):
        table = make(hidden)
        width = table.__rich_measure__(console, wide_options).maximum
        if width <= console.width or name is None:
            break
        hidden.add(name)
    console.width = max(width, console.width)
    _print_trimmed(console, table)


def _print_trimmed(console: Console, table: Table) -> None:
    """Print a table without trailing blanks."""
    from rich.segment import Segment, Segments

    segments: list[Segment] = []
    for line in console.render_lines(table, pad=False):
        while line and not line[-1].text.strip():
            line.pop()
        segments += [*line[:-1], *(Segment(last.text.rstrip(), last.style) for last in line[-1:]), Segment.line()]
    console.print(Segments(segments), end="")


def stderr() -> Console:
    """Return the console for messages, on standard error."""
    return safe_console()(stderr=True)


def report_error(problem: DarkparseError) -> None:
    """Print an error, prefixed by the name of the program unless it shows its location."""
    text = str(problem)
    first_line = text.partition("\n")[0]
    if ": error: " in first_line or ": warning: " in first_line:
        stderr().print(text, soft_wrap=True)
    else:
        stderr().print(f"darkparse: error: {text}", soft_wrap=True)
