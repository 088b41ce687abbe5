"""What several tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# The same examples every time, so that a failure is one for all; DARKPARSE_EXHAUSTIVE looks further.
hypothesis.settings.register_profile("steady", derandomize=not os.environ.get("DARKPARSE_EXHAUSTIVE"))
hypothesis.settings.load_profile("steady")

# Processes that tests start keep what Python compiled, as they do where a package is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each of the processes that share the cores takes its part of them; torch reads this when it is imported.
os.environ.setdefault(
    "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
)

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
"""Reference numbers and the forks' original files, where they are at hand."""

needs_shared = pytest.mark.skipif(
    not (SHARED / "golden" / "check.py").is_file(), reason="needs ../shared beside the checkout"
)

exhaustive = pytest.mark.skipif(
    not os.environ.get("DARKPARSE_EXHAUSTIVE"), reason="DARKPARSE_EXHAUSTIVE=1 runs it: many minutes"
)
"""More of what a slow test shows on fewer networks."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overwrite", action="store_true", help="rewrite the golden text files with what is printed now")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is long is slow too."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with tests/data/golden/NAME; `--overwrite` writes it instead."""

    def compare(name: str, text: str) -> None:
        path = DATA / "golden" / name
        if request.config.getoption("--overwrite"):
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text, "utf-8", newline="\n")
        assert path.is_file(), f"{path} is missing; run pytest --overwrite"
        assert text == path.read_bytes().decode("utf-8")

    return compare


def original_cfgs() -> list[Path]:
    """The forks' original cfgs, or nothing where they are not at hand."""
    folder = SHARED / "cfgs"
    return sorted(folder.rglob("*.cfg")) if folder.is_dir() else []


def shipped_cfgs() -> list[Path]:
    """The cfgs of the project."""
    return sorted((ROOT / "cfgs").glob("*.cfg"))


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output without colours and of one width, wherever the tests run."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
