"""`darkparse compare`: find the first difference from another implementation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse._utils.text import pluralize
from darkparse.cli.common import stderr, stdout
from darkparse.cli.detector import DetectorOptions, dtype_option, load_detector, model_options
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.views.values import network_values

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.evaluation import BoxComparison, Comparison, OutputDifference


@dataclass(frozen=True, slots=True)
class CompareJob:
    """Parameters of `darkparse compare`."""

    detector: DetectorOptions
    image: Path
    against: Path
    tolerance: float
    every_layer: bool
    form: str


@click.command(name="compare", cls=HelpCommand)
@model_options
@click.argument("image", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Reference outputs (.npz) or reference model (.onnx).",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    default=1e-3,
    help="Allowed difference relative to the layer's RMS.",
)
@dtype_option
@click.option("--all", "every_layer", is_flag=True, help="Print a row for every layer.")
@format_option("text", "json")
@takes(CompareJob)
def command(job: CompareJob) -> None:
    """Find the first layer that differs from another implementation.

    Runs IMAGE through darkparse and through the ONNX model of --against, or reads the reference outputs from an .npz
    file: one array per layer, with the keys 0, 1, … and optionally input. Decoded boxes and scores are compared too if
    there are any.

    For the first layer that differs, known mistakes are tried (batch norm, padding, activations, anchors, mask,
    scale_x_y). A mistake that explains the difference is printed.

    Exit status 0 without differences, 1 with differences.

    \b
    Example:
      darkparse compare yolov3 yolov3.weights dog.jpg --against other.onnx
    """
    import torch

    from darkparse.evaluation import compare, open_reference

    detector = load_detector(replace(job.detector, device="cpu", engine="torch"), fold=False)
    prepared = detector.prepare(job.image)
    for remark in prepared.warnings:
        stderr().print(f"{job.image}: {remark}", style="yellow", soft_wrap=True)
    values = prepared.values[None]
    with stderr().status(f"Comparing {detector.network.name} with {job.against} …"):
        comparison = compare(
            detector.model, torch.from_numpy(values), open_reference(job.against, values), tolerance=job.tolerance
        )
    if job.form == "json":
        print_document("compare", {"network": network_values(detector.network), **as_dict(comparison)})
    else:
        _print(comparison, job.against, job.every_layer)
    sys.exit(1 if comparison.differs else 0)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the findings as plain values."""
    layers = [
        {"layer": d.node.index, "kind": d.node.kind, "worst": d.worst, "relative": d.relative, "place": d.place}
        for d in comparison.differences
    ]
    return {
        "first": comparison.first.node.index if comparison.first else None,
        "cause": comparison.cause,
        "layers": layers,
        "layers_not_compared": [node.index for node in comparison.unmatched],
        "boxes": _boxes_as_dict(comparison.boxes) if comparison.boxes else None,
    }


def _boxes_as_dict(boxes: BoxComparison) -> dict[str, Any]:
    differences = [
        {
            "layer": d.node.index,
            "quantity": d.quantity,
            "relative": d.relative,
            "differs": d.differs,
            "cause": d.cause,
            "layout": d.layout,
        }
        for d in boxes.differences
    ]
    return {"differences": differences, "not_compared": boxes.not_compared}


def _print(comparison: Comparison, against: Path, every_layer: bool) -> None:
    console = stdout()
    if every_layer:
        console.print(_make_table(comparison))
    lines = [*_layer_lines(comparison, against), *_box_lines(comparison.boxes)]
    for text, style in lines:
        console.print(text, style=style, soft_wrap=True)


def _layer_lines(comparison: Comparison, against: Path) -> Iterator[tuple[str, str]]:
    """Yield the results of the layers, each line with its style."""
    first = comparison.first
    agreeing = [d for d in comparison.differences if first is None or d.node.index < first.node.index]
    if agreeing:
        worst = max(d.relative for d in agreeing)
        subject = f"layers agree with {against}" if first is None else "layers before it agree"
        yield f"{len(agreeing)} {subject}, largest difference {worst:.1e} of the layer's RMS", ""
    if comparison.unmatched:
        names = ", ".join(f"L{node.index}" for node in comparison.unmatched)
        yield f"layers not compared: {names} (no matching value in {against})", ""
    if first is not None:
        yield from _difference_lines(comparison, first)


def _difference_lines(comparison: Comparison, first: OutputDifference) -> Iterator[tuple[str, str]]:
    yield (
        f"L{first.node.index} {first.node.summary} [{first.node.kind}] is the first that differs: by "
        f"{first.worst:.3g}, "
        f"{_format_relative(first.relative)} its RMS, at {_format_place(first)}: {first.ours:.6g} here, "
        f"{first.theirs:.6g} there",
        "bold",
    )
    yield f"{first.node.section.span}", "dim"
    if comparison.cause is None:
        yield "no known mistake explains it; check that the weights are the same", ""
        return
    remaining = f"with that the layer agrees within {comparison.with_cause:.1e} of its RMS"
    yield f"likely cause: {comparison.cause}; {remaining}", ""


def _box_lines(boxes: BoxComparison | None) -> Iterator[tuple[str, str]]:
    """Yield the results of the decoded boxes, each line with its style."""
    if boxes is None:
        return
    for d in boxes.differing:
        yield f"boxes of L{d.node.index} {d.node.summary} [{d.node.kind}] differ by {d.description}", "bold"
        yield f"likely cause: {d.cause}" if d.cause else "no known mistake explains it", ""
    if boxes.differences and not boxes.differing:
        worst = max(d.relative for d in boxes.differences)
        heads = pluralize(len({d.node.index for d in boxes.differences}), "head")
        yield f"boxes of {heads} agree ({boxes.differences[0].layout}), largest difference {worst:.1e}", ""
    if boxes.not_compared:
        yield f"boxes not compared: {boxes.not_compared}", ""


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
