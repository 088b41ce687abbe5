"""`darkparse diff`: compare two networks, or the tensors of two weights files."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn

import click

from darkparse.cli.common import CfgType, compile_cfg, network_options, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.network.compile_options import CompileOptions
from darkparse.views.text.network_diff import report_differences
from darkparse.views.values import network_values
from darkparse.weights import compute_layout
from darkparse.weights.buffer import open_source

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.weights import ArrayDifference


@dataclass(frozen=True, slots=True)
class DiffJob:
    """Parameters of `darkparse diff`."""

    a: str
    b: str
    cfg: str | Config | None
    compile_options: CompileOptions
    form: str


@click.command(name="diff", cls=HelpCommand)
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--cfg", type=CfgType(), help="Cfg of both .weights files.")
@network_options
@format_option("text", "markdown", "json")
@takes(DiffJob)
def command(job: DiffJob) -> None:
    """Compare two cfgs, or two weights files of one cfg.

    Two cfgs are compared as networks: layers, options, inputs, shapes, parameters and reductions. Comments and the
    order of options are ignored.

    Two .weights files are compared bit by bit; convert other formats first. One row is printed for each tensor that
    differs: "rms" is the root mean square of the differences, "relative" is rms divided by the root mean square of A.

    Exit status 0 without differences, 1 with differences, 2 if a file cannot be read or does not fit.

    \b
    Examples:
      darkparse diff old.cfg new.cfg
      darkparse diff before.weights after.weights --cfg my.cfg
    """
    if job.cfg is None:
        if job.a.endswith(".weights"):
            raise click.UsageError("comparing weights files requires their cfg; pass it with --cfg")
        _diff_networks(compile_cfg(job.a, job.compile_options), compile_cfg(job.b, job.compile_options), job.form)
    if job.form == "markdown":
        raise click.UsageError("--format markdown is only supported for cfgs; use text or json for weights files")
    from darkparse.weights import diff_weights, read_weights

    blobs = open_source(job.a), open_source(job.b)
    network = compile_cfg(job.cfg, job.compile_options, blobs[0])
    differences = diff_weights(*blobs, network)
    headers = [read_weights(blob, network).file.header for blob in blobs]
    if job.form == "json":
        values = {
            "network": network_values(network),
            "same": not differences,
            "headers": [asdict(header) for header in headers],
            "tensors": [asdict(d) for d in differences],
        }
        print_document("diff-weights", values)
        sys.exit(1 if differences else 0)
    console = stdout()
    if differences:
        console.print(as_table(differences), crop=False, overflow="fold")
    if headers[0] != headers[1]:
        console.print(f"headers differ: {headers[0]}; {headers[1]}", soft_wrap=True)
    console.print(_summary_text(differences, network), soft_wrap=True)
    sys.exit(1 if differences else 0)


def _diff_networks(first: Network, second: Network, form: str) -> NoReturn:
    difference = report_differences(first, second)
    if form == "json":
        print_document("diff", {"networks": [*map(network_values, (first, second))], **difference.to_dict()})
    elif form == "markdown":
        click.echo(difference.to_markdown(), nl=False)
    else:
        stdout().print(str(difference), soft_wrap=True)
    sys.exit(1 if difference else 0)


def as_table(differences: tuple[ArrayDifference, ...]) -> Table:
    """Return the differing tensors as a rich table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name in ("", "layer", "tensor", "shape", "values that differ", "largest", "rms", "relative"):
        table.add_column(name, justify="left" if name in ("layer", "tensor") else "right", no_wrap=True)
    for d in differences:
        shape = "×".join(map(str, d.shape))
        count = f"{d.differing:,} of {d.values:,}"
        numbers = (f"{value:.3g}" for value in (d.largest, d.root_mean_square, d.relative))
        table.add_row(f"L{d.layer}", d.kind, d.tensor, shape, count, *numbers)
    return table


def _summary_text(differences: tuple[ArrayDifference, ...], network: Network) -> str:
    total = len(compute_layout(network))
    if not differences:
        return f"all {total} tensors are equal"
    layers = len({d.layer for d in differences})
    worst = max(differences, key=lambda d: d.root_mean_square)
    where = f"largest in {worst.tensor} of layer {worst.layer} [{worst.kind}], {worst.root_mean_square:.3g} rms"
    return f"{len(differences)} of {total} tensors differ, in {layers} layer{'' if layers == 1 else 's'}; {where}"
