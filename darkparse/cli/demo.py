"""`darkparse demo`: demonstrate darkparse on networks that it ships with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

import darkparse
from darkparse.cli.common import report_written, stdout
from darkparse.cli.help import HelpCommand
from darkparse.cli.show import as_table
from darkparse.errors import DarkparseError
from darkparse.network import compile
from darkparse.syntax.reader import locate_cfg
from darkparse.views import draw, explain
from darkparse.views.text.table import table, totals

if TYPE_CHECKING:
    from rich.console import Console


@click.command(name="demo", cls=HelpCommand)
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("darkparse-demo"),
    help="Directory for the files.",
)
def command(folder: Path) -> None:
    """Demonstrate darkparse on networks that it ships with.

    Compiles yolov1, prints its table and reductions, and draws it. Then loads a small detector of colored shapes,
    detects them in three images and saves its weights again. The files remain in --out, to try other commands on.
    """
    console = stdout()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DarkparseError(f"{folder}: {problem.strerror}\nhint: choose another directory with -o") from None
    drawn = _show_diagram(console, folder)
    weights = _run_detector(console, folder)
    console.print("\nThe files:", style="bold")
    for path in (*drawn, *weights):
        console.print(f"  {path}  {path.stat().st_size:,} bytes")


def _print_step(console: Console, title: str) -> None:
    console.print(f"\n{title}\n{'─' * len(title)}", style="bold")


def _show_diagram(console: Console, folder: Path) -> list[Path]:
    """Print yolov1 as a table and an explanation, and draw it; return the written files."""
    _print_step(console, "1. yolov1 compiled: darkparse show yolov1")
    network = compile("yolov1")
    console.print(as_table(table(network)))
    console.print(f"{network.name}: {totals(network)}")
    _print_step(console, "2. What it reduces: darkparse explain yolov1")
    console.print(str(explain(network)), soft_wrap=True)
    _print_step(console, "3. Its diagram: darkparse draw yolov1 -o yolov1.svg")
    diagram = draw(network)
    paths = [folder / "yolov1.svg", folder / "yolov1.html"]
    for path in paths:
        diagram.render(path)
        report_written(path)
    return paths


def _run_detector(console: Console, folder: Path) -> list[Path]:
    """Load the demo detector, detect in three images and save its weights again; return the written files."""
    from darkparse.detect.drawing import save

    cfg = locate_cfg("shapes")
    paths = []
    for path in (cfg.with_suffix(".names"), *sorted(cfg.with_suffix("").iterdir())):
        paths.append(folder / path.name)
        shutil.copyfile(path, paths[-1])
    _print_step(console, "4. A detector with weights: darkparse detect shapes shapes.weights shapes1.jpg --out found")
    first, again = folder / "shapes.weights", folder / "again.weights"
    detector = darkparse.Detector.load("shapes", first)
    console.print(f"loaded {first}: {detector.network.cost.params:,} parameters")
    for image in (path for path in list(paths) if path.suffix == ".jpg"):
        detections = detector.detect(image)
        paths.append(image.with_name(f"{image.stem}-found.png"))
        save(detections.draw(), paths[-1])
        report_written(paths[-1], ", ".join(detection.line for detection in detections))

    darkparse.save_weights(darkparse.load("shapes", first), again)
    same = first.read_bytes() == again.read_bytes()
    report_written(again, f"{first.name} loaded and saved, {'byte-identical' if same else 'NOT equal'}")
    if not same:
        raise click.ClickException("saving the loaded weights gave a different file; please report this")
    return [*paths, again]
