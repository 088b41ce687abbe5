"""`darkparse draw`: draw a network as a diagram."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeGuard

import click

from darkparse.cli.common import CfgType, compile_cfg, network_options, report_written, slow_notice, stderr
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.watch import watch_files
from darkparse.errors import RendererError
from darkparse.network.compile_options import CompileOptions
from darkparse.syntax.files import YAML_SUFFIXES
from darkparse.views.overlay import Overlay, time_overlay

if TYPE_CHECKING:
    from darkparse.network import Network
    from darkparse.syntax import Config
    from darkparse.views.diagram.diagram import Layout
    from darkparse.views.diagram.elements import Detail, Measure
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
            self.fail(f"invalid layers {value!r}; expected a range, e.g. 62-84", param, ctx)
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
    detail: Detail | None
    width: str | None
    no_title: bool
    watch: bool
    open_result: bool


@click.command(name="draw", cls=HelpCommand)
@click.argument("cfgs", metavar="CFG [CFG|WEIGHTS]", nargs=-1, required=True, type=CfgType())
@network_options
@click.option(
    "-o",
    "--out",
    "--output",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    show_default="NAME.svg",
    help="File to write; its extension selects the format.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Output format, regardless of the extension of --out.",
)
@click.option("--theme", type=click.Choice(["light", "dark", "print"]), default="light", help="Color theme.")
@click.option(
    "--direction",
    type=click.Choice(["TB", "LR"]),
    default="TB",
    help="Draw top to bottom or left to right.",
)
@click.option(
    "--layout",
    type=click.Choice(["darkparse", "graphviz"]),
    default="darkparse",
    help="Layout engine of SVG, PNG and PDF.",
)
@click.option(
    "--detail",
    type=click.Choice(["layers", "stages"]),
    show_default="layers",
    help="Draw one row per layer, or one box per stage.",
)
@click.option("--width", metavar="LENGTH", help="Fit a page width, e.g. 241pt or 17cm, with type of at least 6 pt.")
@click.option("--no-title", is_flag=True, help="Omit name, summary and facts.")
@click.option("--layers", type=LayersType(), help="Draw only these layers, e.g. 62-84.")
@click.option("--no-fold", is_flag=True, help="Draw every copy of a repeated block.")
@click.option("--no-notes", is_flag=True, help="Omit the notes on what each bottleneck saves.")
@click.option("--dpi", type=click.FloatRange(10, 1200), default=150, help="PNG resolution in DPI.")
@click.option(
    "--by",
    type=click.Choice(["weights", "flops"]),
    default="weights",
    help="Quantity that the bars show.",
)
@click.option(
    "--overlay",
    type=click.Choice(["memory", "time", "receptive"]),
    help="Add a column with a value per layer.",
)
@click.option("--watch", is_flag=True, help="Draw again whenever the cfg is saved.")
@click.option("--open", "open_result", is_flag=True, help="Open the result.")
@takes(DrawJob)
def command(job: DrawJob) -> None:
    """Draw a network as a diagram.

    The extension of --out selects the format: .svg, .png, .pdf, .html, .dot, .gv (Graphviz), .mmd or .md (Mermaid).
    Each resolution is a card with one row per layer; with --detail stages, each stage of backbone, neck and heads is a
    box. With --width, detail and layout are chosen to fit. Sizes are height × width × channels.

    With two cfgs, both networks are drawn side by side and their differences are marked. With WEIGHTS, the dialect is
    detected from them too.

    Overlays: memory is the size of each output in bytes, time is the measured time in milliseconds, receptive is the
    receptive field in pixels.

    Exit status 3 if no installed renderer supports the format.

    \b
    Examples:
      darkparse draw yolov3 -o yolov3.svg
      darkparse draw yolov3 --layers 62-84 --theme print -o neck.pdf
      darkparse draw yolov4 --detail stages --width 17cm --no-title -o figure.pdf
      darkparse draw old.cfg new.cfg -o changes.html
    """
    if len(job.cfgs) > 2:
        raise click.UsageError(f"too many networks, got {len(job.cfgs)}; expected one, or two to compare")
    weights = job.cfgs[1] if len(job.cfgs) > 1 and _is_weights(job.cfgs[1]) else None
    cfgs = job.cfgs if weights is None else job.cfgs[:1]
    if job.watch:
        _watch(job, cfgs, weights)
    target = _draw(job, cfgs, weights)
    if job.open_result:
        click.launch(str(target))


def _watch(job: DrawJob, cfgs: Sequence[str | Config], weights: str | None) -> NoReturn:
    """Draw now and whenever a cfg is saved; open the first result if the job asks for it."""
    from darkparse.syntax.reader import locate_cfg

    paths = [Path(locate_cfg(cfg)) for cfg in cfgs if isinstance(cfg, str)]
    if len(paths) < len(cfgs):
        raise click.UsageError("--watch requires files, got standard input")
    must_open = job.open_result

    def draw_again() -> None:
        nonlocal must_open
        target = _draw(job, cfgs, weights)
        if must_open:
            click.launch(str(target))
            must_open = False

    watch_files(paths, draw_again)


def _draw(job: DrawJob, cfgs: Sequence[str | Config], weights: str | None) -> Path:
    """Draw the networks to a file and return its path."""
    from darkparse.views.diagram.diagram import draw

    networks = [compile_cfg(cfg, job.compile_options, weights) for cfg in cfgs]
    target = job.output or Path(f"{'-'.join(network.name for network in networks)}.{job.form or 'svg'}")
    if job.form is None and not target.suffix:
        raise click.UsageError(f"{target}: unknown extension; expected {ENDINGS}, or pass --format")
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
        detail=job.detail,
        width=job.width,
        title=not job.no_title,
    )
    try:
        with slow_notice(f"drawing {target}"):
            diagram.render(target, job.form)
    except RendererError as problem:
        stderr().print(f"darkparse: error: {problem}", soft_wrap=True)
        sys.exit(EXIT_NO_RENDERER)
    report_written(target)
    return target


def _is_weights(argument: str | Config) -> TypeGuard[str]:
    return isinstance(argument, str) and Path(argument).suffix not in ("", ".cfg", *YAML_SUFFIXES)


def _time_layers(networks: Sequence[Network], weights: str | None) -> Overlay:
    """Measure the time of each layer of one network on random input."""
    import torch

    from darkparse.model.loading import load
    from darkparse.model.optimize.profiling import layer_seconds

    if len(networks) > 1:
        raise click.UsageError("--overlay time requires a single network")
    shape = networks[0].input_shape
    with slow_notice(f"running {networks[0].name}"):
        x = torch.rand(1, *shape) if shape.is_map else torch.rand(1, shape.size)
        return time_overlay(layer_seconds(load(networks[0], weights, optimize=True), x))
