"""The benchmarks run and report their measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import END, START, main
from benchmarks.report import format_markdown
from tests.conftest import ROOT

CASE = "a, 64×64, batch 1, 2 threads"
STARTS = {"import": 0.1, "load": 0.2, "first": 0.3, "whole": 0.7}
COST = {"flops": 1e9, "batch": 1, "threads": 2, "memory": 5e6, "apart": 1e-6}
WHOLE = {"what": "network", "case": CASE, "peer": "ncnn", **STARTS, **COST}
FOUND = {"what": "pictures", "case": CASE, "peer": "OpenCV, one by one", "objects": 7}
MACHINE = {
    "processor": "One", "instructions": ["avx2"], "cores": 2, "system": "S", "date": "2026-11-25", "python": "3",
    "packages": {"torch": "2"}, "peaks": {"1": 6e10, "2": 1e11},
}  # fmt: skip
RESULTS: dict[str, Any] = {
    "machine": MACHINE,
    "rows": [{**WHOLE, "best": 0.02, "median": 0.03}, {**FOUND, "best": 0.1, "median": 0.2}],
}


def test_markdown_of_results_has_every_row() -> None:
    text = format_markdown(RESULTS)
    assert text.startswith(
        "## One (avx2)\n\n2026-11-25, 2 cores, S, Python 3; torch 2. "
        "Best product of two matrices: 60 GFLOP/s with 1 thread, 100 GFLOP/s with 2 threads.\n"
    )
    assert "| ncnn | 0.10 | 0.20 | 0.30 | 0.70 | 20.0 | 30.0 | 50.0 | 50% | 5 | 1e-06 |\n" in text
    assert "| OpenCV, one by one | 10.0 | 5.0 | 7 |\n" in text


def test_compare_with_slower_row_exits_1(tmp_path: Path) -> None:
    slower = json.loads(json.dumps(RESULTS))
    slower["rows"][1]["best"] *= 1.2
    for name, results in (("old", RESULTS), ("new", slower)):
        (tmp_path / name).write_text(json.dumps(results), "utf-8")
    run = CliRunner().invoke(main, ["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    assert "0.83" in run.output
    assert "1.00" in run.output
    assert run.exit_code == 1
    assert CliRunner().invoke(main, ["compare", str(tmp_path / "old"), str(tmp_path / "old")]).exit_code == 0


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib: pip install 'darkparse[bench]'")
def test_write_replaces_tables_and_charts_only(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("performance-old-0.svg", "other.svg"):
        (tmp_path / "pictures" / name).write_text("", "utf-8")
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text(json.dumps(RESULTS), "utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}old\n{END}after\n", "utf-8")
    for _ in range(2):
        run = CliRunner().invoke(main, ["write", str(tmp_path / "one.json"), str(tmp_path / "two.json"), str(page)])
        assert run.exit_code == 0, run.output
        text = page.read_text("utf-8")
        assert text.startswith(f"before\n{START}## One (avx2)")
        assert text.endswith(f"{END}after\n")
        assert "old" not in text
        assert text.count("| ncnn |") == 2
    charts = {f"performance-{name}-{number}.svg" for name in ("one", "two") for number in range(2)}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {*charts, "other.svg"}
    assert all(f"(pictures/{chart})" in text for chart in charts)
    assert ">ncnn<" in (tmp_path / "pictures" / "performance-one-0.svg").read_text("utf-8")


def test_performance_page_has_markers_for_tables() -> None:
    text = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert text.index(START) < text.index(END)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib: pip install 'darkparse[bench]'")
def test_performance_page_has_tables_and_charts_of_results(tmp_path: Path) -> None:
    results = sorted(str(path) for path in (ROOT / "benchmarks" / "results").glob("*.json"))
    assert results
    page = tmp_path / "performance.md"
    text = (ROOT / "docs" / "performance.md").read_text("utf-8")
    page.write_text(text, "utf-8")
    assert CliRunner().invoke(main, ["write", *results, str(page)]).exit_code == 0
    assert page.read_text("utf-8") == text
    charts = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert charts == sorted(path.name for path in (ROOT / "docs" / "pictures").glob("performance-*"))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_worker_runs_on_requested_number_of_cores() -> None:
    script = "import os; from benchmarks.worker import limit_cores; limit_cores(1); print(len(os.sched_getaffinity(0)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"


@pytest.mark.slow
def test_quick_run_measures_every_peer(tmp_path: Path) -> None:
    """Peers of two kinds have equal outputs, and the results contain every kind of row."""
    peers = ["darkparse.load", *(["Detector on ONNX Runtime", "ONNX Runtime"] if find_spec("onnxruntime") else [])]
    command = [sys.executable, "-m", "benchmarks", "run", "--quick", "--out", str(tmp_path / "out.json")]
    command += [word for peer in peers for word in ("--peer", peer)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    rows = json.loads((tmp_path / "out.json").read_text("utf-8"))["rows"]
    whole = [row for row in rows if row["what"] == "network"]
    assert [row["peer"] for row in whole] == peers
    assert all(row["apart"] < 1e-4 and row["memory"] > 0 for row in whole)
    assert all(0 < row["best"] <= row["median"] for row in rows)
    assert {row["what"] for row in rows} >= {"network", "training"}
