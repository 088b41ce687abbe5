"""Reference numbers for detection, and a small network that does not need them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import SHARED

needs_detections = pytest.mark.skipif(
    not (SHARED / "detections" / "check.py").is_file(),
    reason="needs Darknet's detections in ../shared, which are not published",
)

TOLERANCE = 2e-3
MODELS = SHARED / "models"
IMAGES = SHARED / "images"

Row = tuple[float, ...]
"""Class, score, center x, center y, width, height."""

TINY = """
[net]
width=32
height=32
channels=3

[convolutional]
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=21
size=1
stride=2
activation=linear

[yolo]
mask=0,1,2
anchors=6,6, 12,12, 24,20
classes=2
num=3
"""


@dataclass(frozen=True)
class Run:
    """Darknet's detections in one image."""

    label: str
    cfg: Path
    dialect: str
    resize: str
    threshold: float
    image: str
    rows: tuple[Row, ...]
    synthetic: dict[str, Any] | None = None


def runs() -> list[Run]:
    """Return a run for every image in ../shared/detections, or an empty list if it is not available."""
    found: list[Run] = []
    folder = SHARED / "detections"
    for file in sorted(folder.rglob("*.json")) if folder.is_dir() else ():
        data = json.loads(file.read_text("utf-8"))
        if "images" in data:
            cfg, images = SHARED / "cfgs" / data["dialect"] / f"{data['cfg']}.cfg", data["images"]
            facts, synthetic = (data["dialect"], data["resize"], data["thresh"]), data
        else:
            model, dialect, resize = file.stem.rsplit(".", 2)
            cfg, images, facts, synthetic = MODELS / f"{model}.cfg", data, (dialect, resize, 0.2), None
        for name, answer in images.items():
            rows = tuple((d["class"], d["prob"], d["x"], d["y"], d["w"], d["h"]) for d in answer["detections"])
            found.append(Run(f"{file.stem} {name}", cfg, *facts, name, rows, synthetic))
    return found


def weights_of(run: Run, folder: Path) -> Path:
    """Return the path of a run's weights, and write them first if they are synthetic."""
    if run.synthetic is None:
        return run.cfg.with_suffix(".weights")
    sys.path.insert(0, str(SHARED / "golden"))
    try:
        import synth  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    path, data = folder / "x.weights", run.synthetic
    synth.write_weights(path, data["cfg"], data["arrays"], data["seed"], tuple(data["header"]))
    return path


def disagreements(want: tuple[Row, ...], got: list[Row], threshold: float) -> list[str]:
    """Return detections that are missing or extra, except those whose scores are close to the threshold."""
    left, faults = list(got), []
    for row in want:
        near = [g for g in left if g[0] == row[0] and max(abs(a - b) for a, b in zip(g, row, strict=True)) <= TOLERANCE]
        if near:
            left.remove(min(near, key=lambda g: abs(g[1] - row[1])))
        elif row[1] > threshold + TOLERANCE:
            faults.append(f"missing {row}")
    return faults + [f"extra {g}" for g in left if g[1] > threshold + TOLERANCE]


def tiny_weights(folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Write cfg and weights of a network with two convolutions that detects objects in almost any image."""
    import darkparse

    cfg, weights = folder / "tiny.cfg", folder / "tiny.weights"
    cfg.write_text(TINY, "utf-8")
    stored = darkparse.compile(cfg).stored_floats
    values = np.random.RandomState(seed).uniform(-1, 1, stored).astype(np.float32)
    weights.write_bytes(np.array([0, 2, 5], "<i4").tobytes() + np.array([0], "<i8").tobytes() + values.tobytes())
    return cfg, weights


def picture(seed: int, height: int = 40, width: int = 56) -> Any:
    """Return an image (H, W, 3), uint8, with a few rectangles on a gradient."""
    random = np.random.RandomState(seed)
    pixels = np.linspace(0, 255, height * width * 3).reshape(height, width, 3).astype(np.uint8)
    for _ in range(4):
        top, left = random.randint(0, height - 8), random.randint(0, width - 8)
        pixels[top : top + random.randint(4, 20), left : left + random.randint(4, 20)] = random.randint(0, 255, 3)
    return pixels
