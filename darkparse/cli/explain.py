"""`darkparse explain`: print the facts of the diagram as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from darkparse.cli.common import cfg_argument, compile_cfg, network_options, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.network.compile_options import CompileOptions

if TYPE_CHECKING:
    from darkparse.syntax import Config


# The colors of the diagram, as close as a terminal allows.
STYLES = {
    "heading": "bold reverse",
    "weighted": "bold",
    "reduced": "yellow",
    "kept": "dim",
    "expanded": "blue",
    "projected": "red",
    "saves": "green",
    "costs": "red",
}


class LayerType(click.ParamType):  # type: ignore[type-arg]
    """A layer: `6` or `L6`."""

    name = "n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"[Ll]?(\d+)", str(value))
        if not match:
            self.fail(f"invalid layer {value!r}; expected its index, e.g. 6 or L6", param, ctx)
        return int(match[1])


@dataclass(frozen=True, slots=True)
class ExplainJob:
    """Parameters of `darkparse explain`."""

    cfg: str | Config
    compile_options: CompileOptions
    layer: int | None
    form: str


@click.command(name="explain", cls=HelpCommand)
@cfg_argument
@network_options
@click.option("--layer", type=LayerType(), help="Explain only this layer, in detail.")
@format_option("text", "markdown", "json")
@takes(ExplainJob)
def command(job: ExplainJob) -> None:
    """List what each layer reduces and what each bottleneck saves.

    A bottleneck is compared with a direct convolution. Sizes are height × width × channels. Weights exclude biases and
    batch norm. FLOPs count a multiply-add as two.

    \b
    Examples:
      darkparse explain yolov3
      darkparse explain yolov3 --layer 79
    """
    from rich.text import Text

    from darkparse.views.text.explanation import explain

    explanation = explain(compile_cfg(job.cfg, job.compile_options), job.layer)
    console = stdout()
    if job.form == "json":
        print_document("explain" if job.layer is None else "explain-layer", explanation.as_dict())
    elif job.form == "markdown":
        click.echo(explanation.markdown(), nl=False)
    elif console.is_terminal:
        for line in explanation.lines(console.width):
            console.print(Text.assemble(*((text, STYLES.get(meaning, "")) for text, meaning in line)), soft_wrap=True)
    else:
        click.echo(str(explanation))
