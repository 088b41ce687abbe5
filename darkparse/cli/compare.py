"""`darkparse compare`: where another implementation goes another way."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse.cli.common import stderr, stdout
from darkparse.cli.detector import DetectorOptions, detector_options, load_detector
from darkparse.cli.jobs import takes

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.evaluation import Comparison, OutputDifference


@dataclass(frozen=True, slots=True)
class CompareJob:
    """Parameters of `darkparse compare`."""

    detector: DetectorOptions
    image: Path
    against: Path
    tolerance: float
    every_layer: bool
    as_json: bool


@click.command(name="compare")
@detector_options
@click.argument("image", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="The other's layers as .npz (keys 0, 1, … and perhaps input), or its model as .onnx.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Part of a layer's RMS.",
)
@click.option("--all", "every_layer", is_flag=True, help="Print a row for every layer.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@takes(CompareJob)
def command(job: CompareJob) -> None:
    """Find the first layer whose output differs from another implementation's, and the likely cause.

    The picture goes through darkparse and, if --against is an ONNX model, through that. Known mistakes (the epsilon of
    the other dialect's batch norm, the order of [reorg], padding, activations) are tried on the layer at fault; the
    one with which it agrees is named. Exit status 0 if all layers agree, 1 if one differs.
    """
    import torch

    from darkparse.evaluation import compare, open_reference

    detector = load_detector(replace(job.detector, device="cpu", half=False), fold=False)
    prepared = detector.prepare(job.image)
    for remark in prepared.warnings:
        stderr().print(f"{job.image}: {remark}", style="yellow", soft_wrap=True)
    values = prepared.values[None]
    with stderr().status(f"Comparing {detector.network.name} with {job.against} …"):
        comparison = compare(
            detector.model, torch.from_numpy(values), open_reference(job.against, values), tolerance=job.tolerance
        )
    if job.as_json:
        click.echo(json.dumps(as_dict(comparison), indent=1, ensure_ascii=False))
    else:
        _print(comparison, job.against, job.every_layer)
    sys.exit(1 if comparison.first else 0)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The findings as plain values."""
    layers = [
        {"layer": d.node.index, "kind": d.node.kind, "worst": d.worst, "relative": d.relative, "place": d.place}
        for d in comparison.differences
    ]
    return {
        "first": comparison.first.node.index if comparison.first else None,
        "cause": comparison.cause,
        "layers": layers,
    }


def _print(comparison: Comparison, against: Path, every_layer: bool) -> None:
    console = stdout()
    if every_layer:
        console.print(_make_table(comparison))
    total = len(comparison.differences)
    if comparison.first is None:
        worst = max((d.relative for d in comparison.differences), default=0.0)
        console.print(f"{total} layers agree with {against}, the worst within {worst:.1e} of its RMS", soft_wrap=True)
        return
    first = comparison.first
    before = [d for d in comparison.differences if d.node.index < first.node.index]
    if before:
        worst = max(d.relative for d in before)
        console.print(f"{len(before)} layers before it agree, the worst within {worst:.1e} of its RMS", soft_wrap=True)
    console.print(
        f"L{first.node.index} {first.node.summary} [{first.node.kind}] is the first that differs: by "
        f"{first.worst:.3g}, "
        f"{_format_relative(first.relative)} its RMS, at {_format_place(first)}: {first.ours:.6g} here, "
        f"{first.theirs:.6g} there",
        style="bold",
        soft_wrap=True,
    )
    console.print(f"{first.node.section.span}", style="dim", soft_wrap=True)
    if comparison.cause:
        text = f"likely cause: {comparison.cause}; with that the layer agrees within "
        text += f"{comparison.with_cause:.1e} of its RMS"
    else:
        text = "no known mistake explains it: are the weights the same?"
    console.print(text, soft_wrap=True)


def _format_relative(relative: float) -> str:
    return f"{relative * 100:.2g} % of" if relative < 1 else f"{relative:.3g} times"


def _format_place(first: OutputDifference) -> str:
    if len(first.place) == 3:
        return "channel {}, row {}, column {}".format(*first.place)
    return f"position {', '.join(map(str, first.place))}"


def _make_table(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("", "layer", "difference", "of its RMS"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    start = comparison.first.node.index if comparison.first else len(comparison.differences)
    for d in comparison.differences:
        style = "red" if d.node.index >= start else ""
        table.add_row(
            *(Text(t, style) for t in (f"L{d.node.index}", d.node.summary, f"{d.worst:.2e}", f"{d.relative:.1e}"))
        )
    return table
