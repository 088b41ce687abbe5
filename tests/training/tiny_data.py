"""A data set of a few small images and a network that trains on it in a few milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CFG = """[net]
batch=4
subdivisions=2
width=16
height=8
channels=3
learning_rate=0.01
burn_in={burn_in}
max_batches={max_batches}
{net}
[convolutional]
filters=7
size=1
stride=4
activation=linear

[yolo]
mask=0
anchors=6,4
classes=2
num=1
{yolo}
"""
CLASSIFIER = """[net]
batch=4
subdivisions=2
width=16
height=16
channels=3
max_batches={max_batches}

[convolutional]
filters=2
size=1
stride=4
activation=linear

[avgpool]

[softmax]
"""
BOXES = {"cat0": "0 .5 .5 .25 .5\n1 .25 .25 .25 .25\n", "dog1": "1 .6 .4 .5 .5\n", "cat2": ""}
"""Labels of each image by its name."""


def write_data(folder: Path, options: str = "", repeats: int = 1) -> Path:
    """Write images of 24×12 with labels, and a `.data` file whose list has each of them `repeats` times."""
    random = np.random.default_rng(0)
    for name, text in BOXES.items():
        Image.fromarray(random.integers(0, 256, (12, 24, 3), np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(text)
    lines = "".join(f"{folder / name}.png\n" for name in BOXES)
    (folder / "train.txt").write_text(lines * repeats)
    (folder / "valid.txt").write_text(lines)
    (folder / "x.names").write_text("cat\ndog\n")
    paths = "train = train.txt\nvalid = valid.txt\nnames = x.names\nlabels = x.names\n"
    (folder / "x.data").write_text(f"classes = 2\n{paths}{options}")
    return folder / "x.data"


def write_cfg(
    folder: Path, *, text: str = CFG, max_batches: int = 8, burn_in: int = 2, net: str = "", yolo: str = ""
) -> Path:
    path = folder / "tiny.cfg"
    path.write_text(text.format(max_batches=max_batches, burn_in=burn_in, net=net, yolo=yolo))
    return path
