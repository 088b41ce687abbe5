"""`darkparse draw`: draw a network as a diagram."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import click

from darkparse.cli.common import CfgType, compile_cfg, network_options, report_written, slow_notice, stderr
from darkparse.cli.jobs import takes
from darkparse.errors import RendererError
from darkparse.network.compile_options import CompileOptions
from darkparse.views.overlay import Overlay, time_overlay

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.views.diagram.diagram import Layout
    from darkparse.views.diagram.elements import Measure
    from darkparse.views.diagram.layout.page import Direction
    from darkparse.views.diagram.theme import ThemeName

EXIT_NO_RENDERER = 3
FORMATS = ("svg", "png", "pdf", "html", "dot", "gv", "mmd", "md")
ENDINGS = f"{', '.join(f'.{ending}' for ending in FORMATS[:-1])} or .{FORMATS[-1]}"


class LayersType(click.ParamType):  # type: ignore[type-arg]
    """A range of layers such as `62-84`, or one layer."""

    name = "a-b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        match = re.fullmatch(r"L?(\d{1,9})(?:[-–:]L?(\d{1,9}))?", str(value))
        if not match or int(match[2] or match[1]) < int(match[1]):
            self.fail(f"{value!r} is no range of layers; write 62-84", param, ctx)
        return range(int(match[1]), int(match[2] or match[1]) + 1)


@dataclass(frozen=True, slots=True)
class DrawJob:
    """Parameters of `darkparse draw`."""

    cfgs: tuple[str | Config, ...]
    compile_options: CompileOptions
    output: Path | None
    form: str | None
    theme: ThemeName
    direction: Direction
    layout: Layout
    layers: range | None
    no_fold: bool
    no_notes: bool
    dpi: float
    by: Measure
    overlay: Literal["memory", "time", "receptive"] | None


@click.command(name="draw")
@click.argument("cfgs", metavar="CFG [CFG|WEIGHTS]", nargs=-1, required=True, type=CfgType())
@network_options
@click.option(
    "-o",
    "--out",
    "--output",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Output file; its suffix is the format: {ENDINGS} [default: NAME.svg].",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Write in this format, whatever the name.",
)
@click.option(
    "--theme", type=click.Choice(["light", "dark", "print"]), default="light", show_default=True, help="Colours."
)
@click.option(
    "--direction",
    type=click.Choice(["TB", "LR"]),
    default="TB",
    show_default=True,
    help="Scales downwards or to the right.",
)
@click.option(
    "--layout",
    type=click.Choice(["darkparse", "graphviz"]),
    default="darkparse",
    show_default=True,
    help="What places the cards of SVG, PNG and PDF: darkparse, or an installed Graphviz.",
)
@click.option("--layers", type=LayersType(), help="Draw these layers only, as 62-84.")
@click.option("--no-fold", is_flag=True, help="Write out every copy of a repeated block.")
@click.option("--no-notes", is_flag=True, help="Leave out what each bottleneck saves.")
@click.option("--dpi", type=click.FloatRange(10, 1200), default=150, show_default=True, help="PNG resolution in DPI.")
@click.option(
    "--by",
    type=click.Choice(["weights", "flops"]),
    default="weights",
    show_default=True,
    help="What the bars are a share of.",
)
@click.option(
    "--overlay",
    type=click.Choice(["memory", "time", "receptive"]),
    help="One more column: bytes of each output, measured milliseconds, or what a layer sees of the input.",
)
@takes(DrawJob)
def command(job: DrawJob) -> None:
    """Draw a network as SVG, PNG, PDF, HTML, DOT or Mermaid: a card a scale, a row a layer, and what each reduces.

    Sizes are height × width × channels. Of two networks, both are drawn side by side with what differs marked.
    WEIGHTS decide the dialect, and are run for `--overlay time`, which runs others without.
    Exit status 3 if nothing that is installed renders the format.
    """
    from darkparse.views.diagram.diagram import draw

    if len(job.cfgs) > 2:
        raise click.UsageError(f"one network, or two to compare, not {len(job.cfgs)}")
    weights = job.cfgs[1] if len(job.cfgs) > 1 and _is_weights(job.cfgs[1]) else None
    cfgs = job.cfgs if weights is None else job.cfgs[:1]
    networks = [compile_cfg(cfg, job.compile_options, weights) for cfg in cfgs]
    target = job.output or Path(f"{'-'.join(network.name for network in networks)}.{job.form or 'svg'}")
    if job.form is None and not target.suffix:
        raise click.UsageError(f"{target}: the ending says how to write it: {ENDINGS}; or choose --format")
    diagram = draw(
        *networks,
        fold=not job.no_fold,
        notes=not job.no_notes,
        layers=job.layers,
        direction=job.direction,
        layout=job.layout,
        theme=job.theme,
        dpi=job.dpi,
        by=job.by,
        overlay=_time_layers(networks, weights) if job.overlay == "time" else job.overlay,
    )
    try:
        with slow_notice(f"drawing {target}"):
            diagram.render(target, job.form)
    except RendererError as problem:
        stderr().print(f"darkparse: error: {problem}", soft_wrap=True)
        sys.exit(EXIT_NO_RENDERER)
    report_written(target)


def _is_weights(argument: str | Config) -> TypeGuard[str]:
    return isinstance(argument, str) and Path(argument).suffix not in ("", ".cfg")


def _time_layers(networks: Sequence[Network], weights: str | None) -> Overlay:
    """Measure the time of each layer of one network on random input."""
    import torch

    from darkparse.model.loading import load
    from darkparse.model.optimize.profiling import layer_seconds

    if len(networks) > 1:
        raise click.UsageError("--overlay time takes one network")
    shape = networks[0].input_shape
    with slow_notice(f"running {networks[0].name}"):
        x = torch.rand(1, *shape) if shape.is_map else torch.rand(1, shape.size)
        return time_overlay(layer_seconds(load(networks[0], weights, optimize=True), x))
