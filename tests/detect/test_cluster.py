"""The detector over Ray: the same results, no lost and no doubled picture. Ray starts for these tests alone."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.detect.reference import tiny_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: pip install 'darkparse[ray]'"),
]


def save(folder: Path, number: int) -> None:
    """A picture of noise, in which no two scores tie."""
    pixels = np.random.RandomState(number).randint(0, 256, (40, 56, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"{number:03}.png")


@pytest.fixture(autouse=True)
def _one_cluster_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run side by side; each of these takes all cores, and one kills a worker."""
    filelock = pytest.importorskip("filelock", reason="needs filelock")
    with filelock.FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(60):
        save(folder, number)
    for number in (7, 31):
        (folder / f"{number:03}.png").write_bytes(b"broken")
    return folder


def command(*arguments: object) -> subprocess.Popen[str]:
    code = "from darkparse.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "detect", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    from darkparse.detect.batch.cluster import read_results

    records = list(read_results(folder / "results"))
    assert max(Counter(r["image"] for r in records).values()) == 1
    return {r["image"]: r["detections"] for r in records if not r["problem"]}


def workers() -> set[int]:
    """Processes in which Ray runs our workers."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"ray::MapWorker" in entry.read_bytes():
                found.add(int(entry.parent.name))
    return found


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_gives_what_the_local_engine_gives(shots: Path, tmp_path: Path, form: str) -> None:
    model = tiny_weights(tmp_path)
    local = command(*model, shots, "--out", tmp_path / "local", "--no-pictures")
    local.communicate(timeout=300)
    assert local.returncode == 1
    out = tmp_path / "ray"
    arguments = (*model, shots, "--out", out, "--ray", "--workers", 2, "--results", form)
    ray = command(*arguments)
    _, error = ray.communicate(timeout=500)
    assert ray.returncode == 1, error
    assert "2 of 60 could not be read" in error
    assert "007.png: not a picture" in error
    lines = (tmp_path / "local" / "detections.jsonl").read_text("utf-8").splitlines()
    want = {r["image"]: r["detections"] for r in map(json.loads, lines)}
    got = results(out)
    assert got.keys() == want.keys()
    for image, found in want.items():
        assert [one["class_id"] for one in found] == [one["class_id"] for one in got[image]]
        assert np.allclose([one["box"] for one in found], [one["box"] for one in got[image]], atol=1e-5)
        assert np.allclose([one["score"] for one in found], [one["score"] for one in got[image]], atol=1e-5)
    again = command(*arguments)
    _, error = again.communicate(timeout=300)
    assert again.returncode == 2
    assert "--resume goes on with it" in error
    for number in (7, 31):
        save(shots, number)
    third = command(*arguments, "--resume")
    _, error = third.communicate(timeout=500)
    assert third.returncode == 0, error
    assert len(results(out)) == 60


def test_a_killed_worker_loses_and_doubles_nothing(shots: Path, tmp_path: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("finds the workers in /proc")
    model = tiny_weights(tmp_path)
    before = workers()
    process = command(*model, shots, "--out", tmp_path / "out", "--ray", "--workers", 2, "--batch", 1)
    killed: list[int] = []

    def kill_one() -> None:
        while not killed and process.poll() is None:
            for pid in workers() - before:
                time.sleep(1.0)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    _, error = process.communicate(timeout=500)
    killer.join()
    assert killed
    assert process.returncode == 1, error
    assert len(results(tmp_path / "out")) == 58


def test_more_workers_than_fit_is_an_error(shots: Path, tmp_path: Path) -> None:
    process = command(*tiny_weights(tmp_path), shots, "--out", tmp_path / "out", "--ray", "--workers", 1000)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "1000 workers of 0.5 CPUs do not fit" in error
    assert "Traceback" not in error
