"""`darkparse show`: print a network as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from darkparse._utils.text import pluralize
from darkparse.cli.common import cfg_argument, compile_cfg, network_options, print_table, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.network.analysis.memory import compute_training_memory
from darkparse.network.compile_options import CompileOptions
from darkparse.network.training import bind_net_training
from darkparse.views.layer_info import layer_facts
from darkparse.views.overlay import OVERLAYS
from darkparse.views.text.table import shrink_widths, table, totals, wrap_text
from darkparse.views.values import layer_values, network_values

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.views.text.table import TableRow

MIN_WIDTHS = {"layer": 21, "input": 12, "reduces": 14}
"""Minimum widths, in characters, to which columns shrink on a narrow terminal."""
COLUMN_GAP = 3
"""Characters between two columns."""


@dataclass(frozen=True, slots=True)
class ShowJob:
    """Parameters of `darkparse show`."""

    cfg: str | Config
    compile_options: CompileOptions
    form: str
    columns: str
    batch: int | None


@click.command(name="show", cls=HelpCommand)
@cfg_argument
@network_options
@format_option("text", "csv", "json", "yaml")
@click.option(
    "--columns",
    metavar="NAMES",
    default="",
    show_default=False,
    help=f"Additional columns: {', '.join(OVERLAYS)} (comma-separated).",
)
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Print the training memory for mini-batches of N images."
)
@takes(ShowJob)
def command(job: ShowJob) -> None:
    """Print a table of layers.

    Shapes are height × width × channels. BFLOPs count a multiply-add as two, as AlexeyAB's Darknet does. The last
    column is the factor by which a layer reduces (÷) or expands (×) its input.

    Additional columns: memory is the size of each output in bytes, receptive is the receptive field in pixels.

    \b
    Examples:
      darkparse show yolov3
      darkparse show my.cfg --size 608 --columns memory,receptive
      darkparse show my.cfg --format csv > layers.csv
    """
    network = compile_cfg(job.cfg, job.compile_options)
    if job.form == "yaml":
        click.echo(network.to_yaml(), nl=False)
        return
    more = _extra_columns(network, job.columns)
    if job.form == "json":
        layers = [
            layer_values(facts) | {name: texts[facts.index] for name, texts in more.items()}
            for facts in layer_facts(network)
        ]
        print_document("show", {"network": network_values(network), "layers": layers})
        return
    rows = table(network)
    if job.form == "csv":
        click.echo(
            as_csv([asdict(row) | {name: texts[row.index] for name, texts in more.items()} for row in rows]), nl=False
        )
    else:
        console = stdout()
        print_table(
            lambda out: as_table(rows, more, without=out, width=console.width), ("BFLOPs", "parameters", "input")
        )
        console.print(f"{network.name}: {totals(network)}", soft_wrap=True)
        if job.batch is not None:
            console.print(_describe_training_memory(network, job.batch), soft_wrap=True)
        console.print(f"dialect {network.dialect.name}: {network.dialect_reason}", style="dim", soft_wrap=True)


def _describe_training_memory(network: Network, images: int) -> str:
    memory = compute_training_memory(network, moments=2 if bind_net_training(network, quiet=True).adam else 1)
    parts = {
        "parameters": memory.parameters,
        "gradients": memory.gradients,
        "optimizer state": memory.optimizer,
        "outputs": images * memory.outputs,
    }
    total = f"{memory.minimum(images) / 1e6:,.0f} MB"
    sizes = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in parts.items())
    return (
        f"training with mini-batches of {pluralize(images, 'image')}: at least {total} ({sizes}); this is a lower "
        "bound, libraries and temporary values need more"
    )


def _extra_columns(network: Network, names: str) -> dict[str, tuple[str, ...]]:
    """Return the requested columns by name."""
    requested = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in requested if name not in OVERLAYS]:
        raise click.UsageError(f"unknown column {unknown[0]!r}; expected one of {', '.join(OVERLAYS)}")
    return {name: OVERLAYS[name](network).texts for name in requested}


def as_table(
    rows: tuple[TableRow, ...],
    more: Mapping[str, Sequence[str]] | None = None,
    *,
    without: Collection[str] = (),
    width: int | None = None,
) -> Table:
    """Return the rows as a rich table without some columns; wrap texts to a width if that is enough.

    Each column is one cell of many lines, because rich takes four times as long to lay out separate cells.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rich_table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    columns: dict[str, Sequence[str]] = {
        "": [f"L{row.index}" for row in rows],
        "layer": [row.layer for row in rows],
        "input": [row.input for row in rows],
        "output": [row.output for row in rows],
        "parameters": [f"{row.params:,}" if row.params else "" for row in rows],
        "BFLOPs": [f"{row.bflops:.3f}" if row.bflops else "" for row in rows],
        "reduces": [row.reduction for row in rows],
        **(more or {}),
    }
    columns = {name: cells for name, cells in columns.items() if name not in without}
    widths = [max(map(len, (name, *cells))) for name, cells in columns.items()]
    if width is not None:
        min_widths = [min(own, MIN_WIDTHS.get(name, own)) for name, own in zip(columns, widths, strict=True)]
        widths = shrink_widths(widths, width - COLUMN_GAP * (len(widths) - 1), min_widths)
    texts = [Text() for _ in columns]
    for number, cells in enumerate(zip(*columns.values(), strict=True)):
        lines = [wrap_text(cell, own) for cell, own in zip(cells, widths, strict=True)]
        height = max(map(len, lines))
        for name, text, part in zip(columns, texts, lines, strict=True):
            text.append("\n" * (number > 0))
            text.append(
                "\n".join(part + [""] * (height - len(part))), _style(rows[number]) if name == "reduces" else None
            )
    for name in columns:
        rich_table.add_column(name, justify="left" if name in ("layer", "reduces") else "right", no_wrap=True)
    rich_table.add_row(*texts)
    return rich_table


def _style(row: TableRow) -> str:
    if row.reduces:
        return "yellow"
    return "dim" if row.input == row.output else "blue"


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the rows as comma-separated values with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
