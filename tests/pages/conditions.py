"""Conditions under which the pages run: what they need, what takes too long, and what cannot run in a test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.pages.blocks import Block

PACKAGES = ("PIL", "onnx", "onnxruntime", "pycocotools", "safetensors", "av", "jsonschema")
CHECKOUT = ("examples", "cfgs", "constraints.txt")
"""What pages for users of a checkout refer to."""

EXEMPT = {
    ("docs/fine-tuning.md", "torchrun --nnodes 2"): "there is one machine; tests/training runs two processes on it",
    ("docs/fine-tuning.md", "darknet detector map"): "Darknet is not installed",
    ("docs/howto/light-install.md", "numpy is not installed"): "numpy is installed where the tests run",
    ("docs/howto/live.md", "Live("): "there is no camera; tests/detect runs streams of files",
    ("docs/howto/service.md", "curl"): "starts a server; tests/project runs the same requests",
    ("docs/performance.md", "python -m benchmarks run"): "takes an hour; tests/project runs one measurement",
    ("docs/reliability.md", "tests.reliability.fuzz"): "takes minutes; tests/reliability runs the fuzzers",
    ("docs/web.md", "npm ci"): "requires npm packages; .ci/web builds the page and tests it",
}
"""Blocks that are not run, by page and a part of their text, with the reason: at most ten."""

LONG = {("docs/export.md", "aoti")}
"""Blocks that take too long for every run of the tests, by page and a part of their text."""

SHORTER = {
    "docs/fine-tuning.md": (
        ("--classes 3", "--classes 3 --train 40 --valid 6"),
        ("--map --log", "--workers 0 --batches 2 --map --log"),
        ("--resume --batches 10", "--resume --batches 3"),
        ("--clear --log", "--clear --workers 0 --batches 2 --log"),
        ("_final.", "_last."),
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
