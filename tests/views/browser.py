"""The system's Chromium, and scripts that npm has put beside the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs the system's Chromium")


def script(name: str) -> str:
    """A file of `node_modules`; the test is skipped where it is not there."""
    path = Path(__file__).parents[2] / "node_modules" / name
    if not path.is_file():
        pytest.skip(f"needs npm install {name.partition('/')[0]}")
    return path.read_text("utf-8")
