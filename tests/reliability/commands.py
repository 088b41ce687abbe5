"""Commands that write a file, run as separate processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import darkparse

COMMAND = (sys.executable, "-B", "-m", "darkparse")
"""darkparse without bytecode caching: under a file size limit, Python would silently truncate its own .pyc files."""

TINY = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=512\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
    "[convolutional]\nfilters=128\nsize=3\npad=1\nactivation=leaky\n"
)
"""Network with 2.4 MB of weights, so that every format is far larger than the limits in the tests."""


HEAD = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=18\nsize=1\nstride=4\nactivation=linear\n"
    "[yolo]\nclasses=1\nnum=3\nmask=0,1,2\nanchors=4,4, 9,9, 20,20\n"
)


def detector(folder: Path) -> tuple[Path, Path]:
    """Write a cfg with a head, and its weights."""
    cfg, weights = folder / "head.cfg", folder / "head.weights"
    if not weights.exists():
        cfg.write_text(HEAD)
        darkparse.save_weights(darkparse.build(cfg, initialize=True), weights)
    return cfg, weights


def network(folder: Path) -> tuple[Path, Path]:
    """Write a cfg and its weights."""
    cfg, weights = folder / "tiny.cfg", folder / "tiny.weights"
    cfg.write_text(TINY)
    darkparse.save_weights(darkparse.build(cfg, initialize=True), weights)
    return cfg, weights


def writing(target: Path, cfg: Path, weights: Path) -> list[str]:
    """Return the command that writes a target, chosen by its suffix."""
    if target.suffix in (".svg", ".dot", ".html", ".png", ".pdf"):
        return [*COMMAND, "draw", "yolov3", "-o", str(target)]
    if target.suffix == ".py":
        return [*COMMAND, "emit", "yolov3", "-o", str(target)]
    if target.suffix == ".cfg":
        return [*COMMAND, "edit", "yolov3", "--classes", "3", "-o", str(target)]
    if target.suffix == ".jpg":
        picture = cfg.with_name("x.jpg")
        return [
            *COMMAND,
            "detect",
            *map(str, detector(cfg.parent)),
            str(picture),
            "--out",
            str(target.parent),
            "--overwrite",
        ]
    return [*COMMAND, "convert", str(cfg), str(weights), "-o", str(target), "--no-verify"]


def heed_ctrl_c() -> None:
    """Restore the SIGINT handler in a new process, because a background shell job ignores SIGINT by default."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
