"""The examples run, and say which package they need."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import darkparse
from tests.conftest import ROOT
from tests.detect.reference import picture, tiny_weights

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("name", "lacks"), [("server", "fastapi"), ("detect_with_ray", "ray"), ("detect_with_spark", "pyspark")]
)
def test_example_without_package_names_it(name: str, lacks: str, tmp_path: Path) -> None:
    (tmp_path / f"{lacks}.py").write_text("raise ImportError")
    path = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(EXAMPLES / name)!r} + '.py')"
    told = subprocess.run([sys.executable, "-c", path], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("this example needs ")
    assert "pip install" in told.stderr
    assert len(told.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> darkparse.Detector:
    return darkparse.Detector.load(*tiny_weights(tmp_path_factory.mktemp("tiny"))).warm_up()


@pytest.mark.slow
def test_detector_shared_by_threads_returns_same_results(detector: darkparse.Detector) -> None:
    pictures = [picture(number) for number in range(40)]
    want = [list(detector.detect(one)) for one in pictures]
    with ThreadPoolExecutor(8) as threads:
        assert [list(found) for found in threads.map(detector.detect, pictures)] == want
        batches = [pictures[i : i + 10] for i in range(0, 40, 10)]
        found = [one for batch in threads.map(detector.detect, batches) for one in batch]
        assert [list(one) for one in found] == want
