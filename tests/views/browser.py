"""The system's Chromium, and scripts installed by npm."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH: apt-get install chromium")


def script(name: str) -> str:
    """Return the text of a file in `node_modules`; skip the test if it is missing."""
    path = Path(__file__).parents[2] / "node_modules" / name
    if not path.is_file():
        pytest.skip(f"needs npm install {name.partition('/')[0]} beside pyproject.toml")
    return path.read_text("utf-8")
