"""Conditions under which the pages run: what they need, what takes too long, and what cannot run in a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.pages.blocks import Block

PACKAGES = ("PIL", "onnx", "onnxruntime", "pycocotools", "safetensors", "av", "jsonschema")
CHECKOUT = ("examples", "cfgs", "constraints.txt")
"""What pages for users of a checkout refer to."""

EXEMPT = {
    ("docs/detect.md", "rtsp://"): "there is no camera",
    ("docs/detect.md", "--ray --address"): "there is no cluster; tests/detect runs Ray on one machine",
    ("docs/export.md", "tflite/bin/pip"): "litert-torch requires another torch",
    ("docs/fine-tuning.md", "torchrun --nnodes 2"): "there is one machine; tests/training runs two processes on it",
    ("docs/fine-tuning.md", "darknet detector map"): "Darknet is not installed",
    ("docs/performance.md", "python -m benchmarks run"): "takes an hour; tests/project runs one measurement",
    (
        "docs/reliability.md",
        "tests.reliability.fuzz",
    ): "takes minutes; tests/reliability runs the fuzzers",
    ("docs/web.md", "npm ci"): "requires npm packages; .ci/web builds the page and tests it",
}
"""Blocks that are not run, by page and a part of their text, with the reason: at most ten."""

LONG = {("docs/export.md", "aoti")}
"""Blocks that take too long for every run of the tests, by page and a part of their text."""

SHORTER = {
    "docs/fine-tuning.md": (
        ("--train 2000", "--train 40 --valid 6"),
        ("--map --log", "--workers 0 --batches 2 --map --log"),
        ("--resume --batches 10", "--resume --batches 3"),
        ("mine_final.", "mine_last."),
    ),
}
"""Pages that run with less data, and the replacements in their commands; numbers in their output are not compared."""


def is_listed(block: Block, places: Iterable[tuple[str, str]]) -> bool:
    """Return whether a block is one of those that are listed by page and a part of their text."""
    return any(page == block.page and part in block.text for page, part in places)


def shorten(block: Block) -> Block:
    """Return a block with the replacements of its page."""
    text = block.text
    for old, new in SHORTER.get(block.page, ()):
        text = text.replace(old, new)
    return replace(block, text=text)


def prepare(page: str) -> None:
    """Add the files that a page expects beside those of the demo to the current directory."""
    if page == "docs/detect.md":
        for path in (Path("shots"), Path("more", "yesterday")):
            path.mkdir(parents=True)
            shutil.copy("shapes2.jpg", path)
        Path("list.txt").write_text("shapes3.jpg\n", "utf-8")
        _write_video(Path("video.mp4"))


def _write_video(path: Path) -> None:
    """Write a video of one image, in three frames."""
    import av
    from PIL import Image

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 160, 128
        image = Image.open("shapes1.jpg").convert("RGB").resize((160, 128))
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
