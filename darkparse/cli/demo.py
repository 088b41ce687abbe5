"""`darkparse demo`: what darkparse does, on networks that it ships with."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

import darkparse
from darkparse.cli.common import stdout, wrote
from darkparse.cli.show import as_table
from darkparse.errors import DarkparseError
from darkparse.views.text.table import table, totals

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

SEED = 0


@click.command(name="demo")
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("darkparse-demo"),
    show_default=True,
    help="Folder for the files that it writes.",
)
def command(folder: Path) -> None:
    """Show what darkparse does, on networks that it ships with.

    Compiles yolov1, prints its table and what it reduces, and draws it. Then builds yolov3-tiny, writes a .weights
    file for it, loads that, runs it on a picture and saves it again, byte for byte.
    """
    console = stdout()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DarkparseError(f"{folder}: {problem.strerror}; choose another folder with -o") from None
    drawn = _diagram(console, folder)
    weights = _weights(console, folder)
    console.print("\nThe files:", style="bold")
    for path in (*drawn, *weights):
        console.print(f"  {path}  {path.stat().st_size:,} bytes")


def _step(console: Console, title: str) -> None:
    console.print(f"\n{title}\n{'─' * len(title)}", style="bold")


def _diagram(console: Console, folder: Path) -> list[Path]:
    """yolov1 as a table, an explanation and a diagram."""
    from darkparse.network import compile
    from darkparse.views import draw, explain

    _step(console, "1. yolov1 compiled: darkparse show yolov1")
    network = compile("yolov1")
    console.print(as_table(table(network)))
    console.print(f"{network.name}: {totals(network)}")
    _step(console, "2. What it reduces: darkparse explain yolov1")
    console.print(str(explain(network)), soft_wrap=True)
    _step(console, "3. Its diagram: darkparse draw yolov1 -o yolov1.svg")
    diagram = draw(network)
    paths = [folder / "yolov1.svg", folder / "yolov1.html"]
    for path in paths:
        diagram.render(path)
        wrote(path)
    return paths


def _weights(console: Console, folder: Path) -> list[Path]:
    """yolov3-tiny built, written, loaded, run and written again."""
    import torch

    _step(console, "4. yolov3-tiny as a torch module, with weights")
    first, again = folder / "yolov3-tiny.weights", folder / "yolov3-tiny-again.weights"
    torch.manual_seed(SEED)
    size = darkparse.save_weights(darkparse.load("yolov3-tiny"), first)
    wrote(first, f"{size:,} bytes, started as Darknet starts before training (seed {SEED})")
    model = darkparse.load("yolov3-tiny", first)
    console.print(f"loaded it: {sum(p.numel() for p in model.parameters()):,} parameters")

    image = _image()
    shape = model.network.input_shape
    x = torch.nn.functional.interpolate(image, (shape.h, shape.w), mode="bilinear", align_corners=True)
    with torch.inference_mode():
        heads = model(x)
    height, width = image.shape[2:]
    console.print(
        f"ran it on a picture of {width}×{height} that darkparse ships, resized to {shape.w}×{shape.h}; it gave"
    )
    for index, head in zip(model.network.heads, heads, strict=True):
        what = model.network.nodes[index].summary
        console.print(f"  L{index} {what} {tuple(head.shape)}: mean {head.mean():.4f}, deviation {head.std():.4f}")

    darkparse.save_weights(model, again)
    same = first.read_bytes() == again.read_bytes()
    wrote(again, "the same, byte for byte" if same else "NOT the same")
    if not same:
        raise click.ClickException("saving what was loaded gave another file: please report this")
    return [first, again]


def _image() -> Tensor:
    """The scene beside this file as (1, 3, H, W), values in 0…1: a binary PPM, three lines of header and RGB bytes."""
    import torch

    data = resources.files("darkparse.cli").joinpath("scene.ppm").read_bytes()
    _, size, _, pixels = data.split(b"\n", 3)
    width, height = map(int, size.split())
    rgb = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(1, height, width, 3)
    return rgb.permute(0, 3, 1, 2) / 255
