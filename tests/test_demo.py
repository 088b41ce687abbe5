"""The demo does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_writes_what_it_names(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "darkparse", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("wrote ") == len(run.stderr.splitlines()) == 6
    for line in run.stdout.partition("The files:\n")[2].splitlines():
        name, size, _ = line.split()
        assert (tmp_path / name).stat().st_size == int(size.replace(",", ""))
    assert run.stderr.endswith("the same, byte for byte\n")
    assert "7 of 9 reduce channels" in run.stdout
    assert {p.suffix for p in (tmp_path / "darkparse-demo").iterdir()} >= {".svg", ".html", ".weights", ".jpg", ".png"}
