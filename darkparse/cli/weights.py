"""`darkparse weights`: print the layout of a weights file and check that it fits a cfg."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from darkparse.cli.common import cfg_argument, compile_cfg, network_options, print_table, report_error, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.errors import WeightsError
from darkparse.network.compile_options import CompileOptions
from darkparse.views.values import network_values
from darkparse.weights.buffer import open_source
from darkparse.weights.diagnosis.layout_report import report_layout
from darkparse.weights.layout import ReadOptions

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.weights import Report, ReportRow

NETWORK_KEYS = ("name", "cfg", "dialect", "dialect_reason")
"""Members of a report that describe the network."""


@dataclass(frozen=True, slots=True)
class WeightsJob:
    """Parameters of `darkparse weights`."""

    cfg: str | Config
    weights: str | None
    compile_options: CompileOptions
    upto: int | None
    header_size: str | None
    form: str


@click.command(name="weights", cls=HelpCommand)
@cfg_argument
@click.argument("weights", required=False, type=click.Path())
@network_options
@click.option("--upto", type=int, metavar="N", help="Use only the layers before layer N.")
@click.option(
    "--header-size",
    type=click.Choice(["16", "20"]),
    show_default="from its version",
    help="Size of the .weights header in bytes.",
)
@format_option("text", "json")
@takes(WeightsJob)
def command(job: WeightsJob) -> None:
    """Print the layout of a weights file and check that it fits a cfg.

    Prints one row per tensor in file order: layer, line in the cfg, tensor, shape, number of floats, offset in bytes,
    and with WEIGHTS the mean and standard deviation of the values. If WEIGHTS do not fit the cfg, the likely causes are
    printed first.

    Exit status 0 if the file fits and its values are plausible, 2 otherwise (e.g. NaN, all zeros).

    \b
    Examples:
      darkparse weights yolov3
      darkparse weights my.cfg my.weights
    """
    network, report = _report(job)
    is_sound = report.fits and not report.findings
    if job.form == "json":
        values = {key: value for key, value in report.to_dict().items() if key not in NETWORK_KEYS}
        print_document("weights", {"network": network_values(network), **values})
        sys.exit(0 if is_sound else 2)
    if not report.fits:
        report_error(WeightsError(str(report), report))
    if report.rows and (job.weights is None or report.header is not None):
        _print_layout(report)
    if not report.fits:
        sys.exit(2)
    style = "yellow" if report.findings else "green"
    stdout().print(str(report), style=style if job.weights else "", soft_wrap=True)
    sys.exit(0 if is_sound else 2)


def _report(job: WeightsJob) -> tuple[Network, Report]:
    options = ReadOptions(upto=job.upto, header_size=int(job.header_size) if job.header_size else None)
    if job.weights is None:
        network = compile_cfg(job.cfg, job.compile_options)
        return network, report_layout(network, options)
    from darkparse.weights import inspect_weights

    file = open_source(job.weights)
    network = compile_cfg(job.cfg, job.compile_options, file)
    return network, inspect_weights(network, file, options)


def _print_layout(report: Report) -> None:
    print_table(lambda out: as_table(report, without=out), ("line", "floats", "layer"))
    console = stdout()
    console.print(f"dialect {report.dialect}: {report.dialect_reason}", style="dim", soft_wrap=True)
    if report.header is not None:
        console.print(f"header: version {report.header}", style="dim", soft_wrap=True)


def as_table(report: Report, *, without: Collection[str] = ()) -> Table:
    """Return the layout as a rich table without some columns.

    Each column is one cell with many lines, because rich takes longer to lay out separate cells.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = report.rows
    columns: dict[str, list[str]] = {
        "": [f"L{row.layer}" for row in rows],
        "layer": [row.kind for row in rows],
        "line": [str(row.line) for row in rows],
        "tensor": [row.tensor for row in rows],
        "shape": ["×".join(map(str, row.shape)) for row in rows],
        "floats": [f"{row.floats:,}" for row in rows],
        "offset": [f"{row.offset:,}" for row in rows],
    }
    if report.header is not None:
        columns["mean"] = [_format_number(row.mean, row) for row in rows]
        columns["deviation"] = [_format_number(row.deviation, row) for row in rows]
    columns = {name: cells for name, cells in columns.items() if name not in without}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in ("layer", "tensor") else "right", no_wrap=True)
    styles = [_style(row, has_file=report.header is not None) for row in rows]
    cells = [
        Text("\n").join(Text(text, style) for text, style in zip(texts, styles, strict=True))
        for texts in columns.values()
    ]
    table.add_row(*cells)
    return table


def _format_number(value: float | None, row: ReportRow) -> str:
    if value is not None:
        return f"{value:.4g}"
    return "cut" if row.floats_in_file else "missing"


def _style(row: ReportRow, *, has_file: bool) -> str:
    return "red" if has_file and (row.floats_in_file < row.floats or row.non_finite) else ""
