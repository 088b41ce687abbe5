"""`darkparse emit`: write a network as PyTorch source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse.cli.common import (
    cfg_argument,
    compile_cfg,
    network_options,
    report_written,
    text_output_option,
    write_text,
)
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.export import to_source
from darkparse.network.compile_options import CompileOptions

if TYPE_CHECKING:
    from darkparse.syntax import Config


@dataclass(frozen=True, slots=True)
class EmitJob:
    """Parameters of `darkparse emit`."""

    cfg: str | Config
    compile_options: CompileOptions
    output: Path | None
    flat: bool


@click.command(name="emit", cls=HelpCommand)
@cfg_argument
@network_options
@text_output_option
@click.option("--flat", is_flag=True, help="Write one line per layer, without blocks and stages.")
@takes(EmitJob)
def command(job: EmitJob) -> None:
    """Generate PyTorch source code.

    The file imports only torch. Its class returns exactly the outputs of darkparse's module, has the same state_dict
    keys, and loads Darknet weights with load_darknet_weights.

    \b
    Example:
      darkparse emit yolov3 -o yolov3.py
    """
    network = compile_cfg(job.cfg, job.compile_options)
    text = to_source(network, flat=job.flat)
    write_text(text, job.output)
    if job.output is not None:
        report_written(job.output, f"{text.count(chr(10))} lines")
