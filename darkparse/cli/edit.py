"""`darkparse edit`: change a cfg."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse._utils.text import pluralize
from darkparse.cli.common import (
    SizeType,
    cfg_argument,
    compile_cfg,
    dialect_option,
    report_written,
    slow_notice,
    stderr,
    text_output_option,
    write_text,
)
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.datasets.formats import open_dataset
from darkparse.diagnostics import Diagnostic, Source
from darkparse.network.anchor_lint import lint_anchors, repair_masks
from darkparse.network.compile_options import CompileOptions, Size
from darkparse.network.detect_dialect import choose_dialect
from darkparse.network.io.cfg import format_network, is_yaml_path
from darkparse.network.io.edit import edit, replace_options
from darkparse.network.training_schedule import TrainingLength, lint_mini_batch
from darkparse.syntax import parse
from darkparse.training.preparation import prepare

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.syntax import Config


def _parse_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.replace(" ", "").strip(",").split(","))
    except ValueError:
        raise click.BadParameter(f"invalid numbers {value!r}; expected e.g. 10,14,23,27", ctx, param) from None


@dataclass(frozen=True, slots=True)
class EditJob:
    """Parameters of `darkparse edit`."""

    cfg: str | Config
    output: Path | None
    classes: int | None
    size: Size | None
    upto: int | None
    anchors: tuple[float, ...] | None
    fit_anchors: bool
    data: Path | None
    batches: int | None
    net: tuple[tuple[str, str], ...]
    dialect: str
    strict: bool


def _parse_options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [value.partition("=") for value in values]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise click.BadParameter(f"expected KEY=VALUE, e.g. batch=64, got {key!r}", ctx, param)
    return tuple((key.strip(), value) for key, _, value in pairs)


@click.command(name="edit", cls=HelpCommand)
@cfg_argument
@text_output_option
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Data set to prepare the cfg for.")
@click.option("--batches", type=click.IntRange(1), metavar="N", help="Number of batches to train.")
@click.option("--fit-anchors", is_flag=True, help="Compute the anchors from the boxes of --data.")
@click.option("--classes", type=click.IntRange(min=1), help="Number of classes; also sets filters= before the heads.")
@click.option("--size", type=SizeType(), help="Input size.")
@click.option("--upto", type=click.IntRange(min=1), metavar="N", help="Keep only the layers before layer N.")
@click.option("--anchors", callback=_parse_numbers, metavar="W,H,…", help="Anchors of all heads.")
@click.option(
    "--set", "net", multiple=True, callback=_parse_options, metavar="KEY=VALUE", help="Set an option of [net]."
)
@dialect_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@takes(EditJob)
def command(job: EditJob) -> None:
    """Change a cfg, or fit it to a data set.

    --data sets what training on the data set requires: classes, batch, subdivisions that fit the memory, max_batches,
    steps and burn_in. Comments and other options are unchanged.

    \b
    Examples:
      darkparse edit yolov4.cfg --classes 3 -o my.cfg
      darkparse edit yolov4.cfg --data my.data --fit-anchors -o my.cfg
    """
    _check_options(job)
    network = compile_cfg(job.cfg, CompileOptions(dialect=job.dialect, strict=job.strict))
    changed = edit(network, classes=job.classes, size=job.size, upto=job.upto, anchors=job.anchors)
    if job.upto is not None and job.classes is not None and not changed.heads and network.heads:
        stderr().print(f"no head in the first {job.upto} layers; --classes has no effect", soft_wrap=True)
    messages: list[str] = []
    if job.data is not None:
        changed, messages = _prepare(job, changed)
    elif job.net:
        changed = edit(changed, net=dict(job.net))
    for finding in _list_findings(job, changed):
        stderr().print(f"{finding.severity}: {finding.message}", soft_wrap=True)
    text, is_cfg = format_network(changed, job.output), not is_yaml_path(job.output)
    if is_cfg and network.config.source.is_cfg:
        text = _keep_form(text, network.config.source.text)
    write_text(text, job.output)
    if is_cfg and choose_dialect(parse(Source("", text))).dialect is not changed.dialect:
        message = f"no option shows that the cfg is for {changed.dialect.title}; read it with --dialect"
        stderr().print(f"note: {message} {changed.dialect.name}", soft_wrap=True)
    if job.output is not None:
        message = f"{pluralize(len(changed.nodes), 'layer')}, input {changed.input_shape}"
        if is_cfg and (job.classes is not None or job.data is not None) and "#" in text:
            message += "; comments are unchanged and may mention the old classes"
        report_written(job.output, message)
    for message in messages:
        click.echo(message, err=True)


def _keep_form(text: str, before: str) -> str:
    """Return a cfg with the line ends and the byte order mark of the cfg before."""
    return "\ufeff" * before.startswith("\ufeff") + (text.replace("\n", "\r\n") if "\r\n" in before else text)


def _check_options(job: EditJob) -> None:
    """Raise click.UsageError for options that contradict or require each other."""
    for name, is_given in (("--batches", job.batches is not None), ("--fit-anchors", job.fit_anchors)):
        if is_given and job.data is None:
            raise click.UsageError(f"{name} requires --data DATA")
    if job.fit_anchors and job.anchors is not None:
        raise click.UsageError("--anchors and --fit-anchors exclude each other")


def _prepare(job: EditJob, network: Network) -> tuple[Network, list[str]]:
    """Return a network whose cfg trains on the data set, and messages about it."""
    from darkparse.training.data.anchors import fit_anchors

    files, messages = open_dataset(str(job.data)), []
    anchors = None
    if job.fit_anchors:
        with slow_notice("reading labels"):
            fitted = fit_anchors(files, network)
        anchors = fitted.numbers
        messages.append(f"{fitted}: mean IoU {fitted.overlap:.2%} with {pluralize(fitted.boxes, 'object')}")
    plan = prepare(network, files, batches=job.batches, classes=job.classes, options=dict(job.net))
    changed = edit(network, classes=plan.classes, anchors=anchors, net=plan.options)
    if job.fit_anchors:  # new anchors belong to no trained weights, so each of them can be used
        masks = repair_masks(changed).items()
        changed = edit(changed, layers={i: replace_options(changed.nodes[i].layer, mask=mask) for i, mask in masks})
    length = TrainingLength(changed, plan.images, plan.classes)
    settings = " ".join(f"{key}={value}" for key, value in plan.options.items())
    return changed, [f"[net] {settings}", f"{length}", *messages]


def _list_findings(job: EditJob, network: Network) -> Iterator[Diagnostic]:
    """Yield warnings about the changed options."""
    if job.anchors is not None or job.fit_anchors:
        yield from lint_anchors(network)
    if job.data is not None or job.classes is not None or job.anchors is not None:
        yield from lint_mini_batch(network)
