"""The demo does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from darkparse.cli import main
from tests.conftest import ROOT


@pytest.mark.slow
def test_demo_writes_files_it_lists(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "darkparse", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("wrote ") == len(run.stderr.splitlines()) == 6
    for line in run.stdout.partition("The files:\n")[2].splitlines():
        name, size, _ = line.split()
        assert (tmp_path / name).stat().st_size == int(size.replace(",", ""))
    assert run.stderr.endswith("byte-identical\n")
    assert "7 of 9 reduce channels" in run.stdout
    assert {p.suffix for p in (tmp_path / "darkparse-demo").iterdir()} >= {".svg", ".html", ".weights", ".jpg", ".png"}


@pytest.mark.slow
def test_shipped_detector_finds_95_of_100_unseen_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """95 of 100 at IoU .5, with at most one false box in ten pictures."""
    script, pictures = ROOT / "examples" / "shapes.py", 100
    command = [sys.executable, script, tmp_path / "x", "--train", "0", "--valid", str(pictures), "--seed", "7"]
    subprocess.run(list(map(str, command)), check=True)
    weights = ROOT / "cfgs" / "shapes" / "shapes.weights"
    data = tmp_path / "x" / "shapes.data"
    main(["evaluate", "shapes", str(weights), "--images", str(data), "--rule", "darknet", "--at", "0.5", "--json"])
    found = json.loads(capsys.readouterr().out)["darknet"]
    assert found["recall"] >= 0.95
    assert sum(one["false_positives"] for one in found["classes"]) <= pictures / 10
    assert weights.stat().st_size <= 1_000_000
