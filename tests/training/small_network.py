"""A small network and a few drawn images for training."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import torch

import darkparse
from darkparse.datasets import DataFile
from darkparse.training import Trainer, build_for_training
from tests.conftest import ROOT

CFG = """[net]
batch=4
subdivisions=2
width=64
height=64
channels=3
learning_rate=0.01
momentum=0.9
decay=0.0005
burn_in=2
max_batches=8
policy=steps
steps=6
scales=0.1
{net}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=4
pad=1
activation=leaky

[dropout]
probability=0.2

[convolutional]
size=1
filters={filters}
activation=linear

[yolo]
mask=0,1,2
anchors=10,10, 16,16, 24,24
classes={classes}
num=3
{yolo}
"""


def cfg(folder: Path, *, classes: int = 4, net: str = "", yolo: str = "iou_loss=ciou", name: str = "small") -> Path:
    """Write a cfg for the AlexeyAB dialect; pass a `yolo` without its specific options for other dialects."""
    path = folder / f"{name}.cfg"
    path.write_text(CFG.format(classes=classes, filters=3 * (5 + classes), net=net, yolo=yolo))
    return path


def draw(folder: Path, train: int = 6, valid: int = 3, *switches: str) -> Path:
    """Draw images, labels and a `.data` file with the example script.

    `folder` must not contain "raw", which pjreddie's Darknet replaces with "labels" in paths.
    """
    script = runpy.run_path(str(ROOT / "examples" / "shapes.py"))
    script["main"]([str(folder / "shapes"), "--train", str(train), "--valid", str(valid), *switches])
    return folder / "shapes" / "shapes.data"


def trainer(data: Path, path: Path, weights: Path | None = None, seed: int = 0, **how: object) -> Trainer:
    torch.manual_seed(seed)
    model, _ = build_for_training(darkparse.compile(path), weights)
    return Trainer(model, DataFile.read(data), seed=seed, **how)  # type: ignore[arg-type]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-B", "-m", "darkparse", "train", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return an environment that limits torch to one thread, so that the order of sums is fixed."""
    return os.environ | {"OMP_NUM_THREADS": "1"}
