"""`darkparse list`: list the networks that ship with darkparse."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from darkparse.cli.common import print_table, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.output import format_option, print_document
from darkparse.cli.show import as_csv
from darkparse.network.zoo import ShippedNetwork, load_shipped_networks

if TYPE_CHECKING:
    from rich.table import Table

HIDDEN_FIRST = ("reduces", "FLOPs", "weights", "year")
"""Columns to hide on a narrow terminal, in this order."""


@click.command(name="list", cls=HelpCommand)
@format_option("text", "csv", "json")
def command(form: str) -> None:
    """List the networks that darkparse ships with.

    Each name can replace the path of a cfg. FLOPs count a multiply-add as two, at the size of the cfg. `reduces` is how
    height and width shrink: by strided convolutions, by pooling, or mixed. The last column is the size of the .weights
    file that fits; darkparse ships the weights of `shapes` only.

    \b
    Examples:
      darkparse list
      darkparse show yolov7-tiny
    """
    entries = [as_values(entry) for entry in load_shipped_networks()]
    if form == "json":
        print_document("list", {"networks": entries})
    elif form == "csv":
        click.echo(as_csv([_flatten(values) for values in entries]), nl=False)
    else:
        print_table(lambda hidden: as_table(entries, hidden), HIDDEN_FIRST)
        stdout().print(f"{len(entries)} networks; titles of papers: --format json", style="dim", soft_wrap=True)


def as_values(entry: ShippedNetwork) -> dict[str, Any]:
    """Return the members of a network in the JSON document."""
    paper, network = entry.paper, entry.network
    return {
        "name": entry.name,
        "description": entry.description,
        "paper": paper and {"authors": paper.authors, "title": paper.title, "year": paper.year, "where": paper.where},
        "input": [network.input_shape.c, network.input_shape.h, network.input_shape.w],
        "dialect": network.dialect.name,
        "parameters": network.cost.params,
        "flops": 2 * network.cost.macs,
        "reductions": entry.reductions,
        "weights": entry.weights,
        "weights_bytes": entry.weights_bytes,
    }


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    paper = values["paper"] or {"authors": "", "title": "", "year": "", "where": ""}
    channels, height, width = values["input"]
    return {**values, "paper": paper["title"], "year": paper["year"], "input": f"{height}x{width}x{channels}"}


def as_table(entries: list[dict[str, Any]], hidden: Collection[str]) -> Table:
    """Return the networks as a table without some columns."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    rows = [_format_row(values) for values in entries]
    shown = [name for name in rows[0] if name not in hidden]
    for name in shown:
        table.add_column(name, justify="left" if name in ("name", "paper", "reduces") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def _format_row(values: dict[str, Any]) -> dict[str, str]:
    channels, height, width = values["input"]
    paper = values["paper"]
    return {
        "name": values["name"],
        "paper": paper["where"] if paper else "",
        "year": str(paper["year"]) if paper else "",
        "input": f"{height}×{width}×{channels}" if height * width > 1 else str(channels),
        "parameters": f"{values['parameters']:,}",
        "FLOPs": f"{values['flops'] / 1e9:,.2f} G",
        "reduces": values["reductions"],
        "weights": f"{values['weights_bytes'] / 1e6:,.1f} MB",
    }
