"""`darkparse edit`: change a cfg."""

from __future__ import annotations

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
    stderr,
    text_output_option,
    write_text,
)
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.network import to_cfg
from darkparse.network.anchor_lint import lint_anchors
from darkparse.network.compile_options import CompileOptions, Size

if TYPE_CHECKING:
    from darkparse.syntax import Config


def _parse_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.replace(" ", "").strip(",").split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers; write 10,14,23,27,…", ctx, param) from None


@dataclass(frozen=True, slots=True)
class EditJob:
    """Parameters of `darkparse edit`."""

    cfg: str | Config
    output: Path | None
    classes: int | None
    size: Size | None
    upto: int | None
    anchors: tuple[float, ...] | None
    dialect: str
    strict: bool


@click.command(name="edit", cls=HelpCommand)
@cfg_argument
@text_output_option
@click.option("--classes", type=click.IntRange(min=1), help="Number of classes; filters= before the heads follows.")
@click.option("--size", type=SizeType(), help="Input size.")
@click.option("--upto", type=click.IntRange(min=1), metavar="N", help="Keep only the layers before layer N.")
@click.option("--anchors", callback=_parse_numbers, metavar="W,H,…", help="Anchors of all heads.")
@dialect_option
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@takes(EditJob)
def command(job: EditJob) -> None:
    """Change the classes, input size, anchors or depth of a cfg.

    Comments and training options are unchanged.

    \b
    Example:
      darkparse edit yolov4.cfg --classes 3 -o my.cfg
    """
    from darkparse.network import edit

    network = compile_cfg(job.cfg, CompileOptions(dialect=job.dialect, strict=job.strict))
    changed = edit(network, classes=job.classes, size=job.size, upto=job.upto, anchors=job.anchors)
    if job.upto is not None and job.classes is not None and not changed.heads and network.heads:
        stderr().print(f"No head is left in the first {job.upto} layers, so --classes changed nothing.", soft_wrap=True)
    for finding in lint_anchors(changed) if job.anchors is not None else ():
        stderr().print(finding.headline, soft_wrap=True)
    text, before = to_cfg(changed), network.config.source.text
    if "\r\n" in before:
        text = text.replace("\n", "\r\n")
    write_text("\ufeff" * before.startswith("\ufeff") + text, job.output)
    if job.output is not None:
        message = f"{pluralize(len(changed.nodes), 'layer')}, input {changed.input_shape}"
        if job.classes is not None and "#" in text:
            message += "; comments are as they were, and may speak of the old classes"
        report_written(job.output, message)
