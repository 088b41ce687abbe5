"""`darkparse anchors`: compute anchors for a data set."""

from __future__ import annotations

from typing import Any

import click

from darkparse.cli.common import SizeType, dialect_option, slow_notice, stderr
from darkparse.cli.help import HelpCommand
from darkparse.cli.output import format_option, print_document
from darkparse.datasets.formats import open_dataset
from darkparse.layers.dialect import DIALECTS


@click.command(name="anchors", cls=HelpCommand)
@click.argument("data", type=click.Path(exists=True))
@click.option("--clusters", type=click.IntRange(1), default=9, help="Number of anchors.")
@click.option(
    "--size",
    type=SizeType(),
    default="416",
    help="Input size, or grid size for [region].",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
@dialect_option
@format_option("text", "json")
def command(data: str, clusters: int, size: Any, seed: int, dialect: str, form: str) -> None:
    """Compute anchors for a data set.

    Clusters the boxes of the train list of DATA by k-means with IoU (Darknet: `detector calc_anchors`). Prints the
    value of anchors= for a cfg and, on standard error, the mean IoU of a box and its anchor.

    \b
    Examples:
      darkparse anchors my.data --clusters 6 --size 416
      darkparse edit my.cfg --anchors "10,14, 23,27, 37,58" -o new.cfg
    """
    from darkparse.training.data.anchors import find_anchors

    files = open_dataset(data)
    chosen_dialect = DIALECTS.get(dialect) or files.guess_dialect()
    with slow_notice("reading labels"):
        height, width = size if isinstance(size, tuple) else (size, size)
        anchors = find_anchors(files, chosen_dialect, clusters, (height, width), seed)
    if form == "json":
        values = {
            "data": data,
            "dialect": chosen_dialect.name,
            "size": [height, width],
            "objects": anchors.boxes,
            "mean_iou": anchors.overlap,
            "anchors": [[float(w), float(h)] for w, h in anchors.sides],
        }
        print_document("anchors", values)
        return
    click.echo(str(anchors))
    stderr().print(f"{anchors.boxes:,} objects, mean IoU {anchors.overlap:.2%}", soft_wrap=True)
