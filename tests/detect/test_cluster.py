"""Detection on a Ray cluster: the results of a local run, none lost, none twice."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from darkparse.datasets.sources import InputFile
from darkparse.detect.batch import cluster
from darkparse.detect.batch.cluster import (
    MAX_TASKS,
    Cluster,
    DetectionWorker,
    DetectorSpec,
    _get_images_per_task,
    connect,
    process_on_cluster,
)
from darkparse.detect.batch.journal import Journal
from darkparse.errors import ImageError
from darkparse.network.detection_settings import DetectionSettings
from darkparse.syntax.reader import locate_cfg
from darkparse.weights import ReadOptions
from tests.conftest import DATA

SHAPES = locate_cfg("shapes").with_suffix("")
MODEL = ("shapes", SHAPES / "shapes.weights")
OPTIONS = ("--no-images", "--threshold", 0.1)

needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: pip install 'darkparse[ray]'")

COMMAND = """
from darkparse.__main__ import main  # first: it sets what Ctrl-C does
import warnings
from ray.util.annotations import RayDeprecationWarning
warnings.filterwarnings("error", category=RayDeprecationWarning)
{prepare}
main()
"""
"""`darkparse`, failing where it uses a deprecated part of Ray."""


@pytest.fixture
def _one_cluster_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run in parallel, but each of these takes all cores, and one kills a worker."""
    filelock = pytest.importorskip("filelock", reason="needs filelock: pip install filelock")
    with filelock.FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


def save_images(folder: Path, count: int) -> None:
    """Save different sections of a photograph and of drawn shapes."""
    folder.mkdir()
    originals = (DATA / "images" / "exif6_upright.jpg", *sorted(SHAPES.glob("*.jpg")))
    for number in range(count):
        left, top = number % 13, number % 11
        with Image.open(originals[number % len(originals)]) as image:
            image.crop((left, top, image.width, image.height)).save(folder / f"{number:03}.jpg")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """120 images, two of them damaged."""
    folder = tmp_path / "images"
    save_images(folder, 120)
    (folder / "007.jpg").write_bytes(b"damaged")
    truncated = folder / "031.jpg"
    truncated.write_bytes(truncated.read_bytes()[:700])
    return folder


INTERRUPT = """
import os, signal
from darkparse.detect.batch.journal import Journal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
add, lines = Journal.add, []
def add_and_interrupt(journal, record):
    add(journal, record)
    lines.append(record)
    if len(lines) == 20:
        os.kill(os.getpid(), signal.SIGINT)
Journal.add = add_and_interrupt
"""
"""Ctrl-C when 20 images are done."""


def start(*arguments: object, prepare: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(prepare=prepare), "detect", *map(str, (*MODEL, *arguments, *OPTIONS))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RAY_worker_niceness": "0"},  # by default workers give way to everything else
    )


def run(*arguments: object) -> tuple[int, str]:
    """Run to the end; return the exit status and the text on standard error."""
    process = start(*arguments)
    error = process.communicate(timeout=500)[1]
    return process.returncode, error


def read_lines(out: Path) -> list[bytes]:
    """Return the results in a directory, sorted; none before the run has made the file."""
    path = out / "detections.jsonl"
    return sorted(path.read_bytes().splitlines(keepends=True)) if path.exists() else []


def find_workers() -> set[int]:
    """Return the processes in which Ray runs detectors."""
    workers = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"ray::MapWorker" in entry.read_bytes():
                workers.add(int(entry.parent.name))
    return workers


def test_worker_result_equals_detector(tmp_path: Path) -> None:
    settings = DetectionSettings(threshold=0.1)
    detector = darkparse.Detector.load(*MODEL, engine="torch")
    worker = DetectionWorker(DetectorSpec(MODEL[0], str(MODEL[1])), settings, batch=2)
    names = np.array([b"a.jpg", b"b\xff.jpg", b"c.jpg", b"d.jpg"], object)
    data = [(SHAPES / name).read_bytes() for name in ("shapes1.jpg", "shapes2.jpg")]
    columns = worker(
        {
            "index": np.arange(4),
            "name": names,
            "bytes": np.array([data[0], b"damaged", b"", data[1]], object),
            "problem": np.array(["", "", "c.jpg: gone", ""], object),
        }
    )
    assert columns["index"].tolist() == [0, 1, 2, 3]
    first, damaged, missing, last = map(pickle.loads, columns["result"])
    assert [first, last] == [detector.detect(image, settings) for image in data[:2]]
    assert first
    with Image.open(SHAPES / "shapes1.jpg") as image:
        assert (first.width, first.height) == image.size
    assert isinstance(damaged, ImageError)
    assert str(damaged).startswith(os.fsdecode(b"b\xff.jpg: not an image"))
    assert isinstance(missing, ImageError)
    assert str(missing) == "c.jpg: gone"


@pytest.mark.parametrize("count", [1, 7, 60, 1000, 1_000_000])
@pytest.mark.parametrize("workers", [1, 2, 16])
@pytest.mark.parametrize("batch", [None, 1, 64])
def test_images_per_task_keeps_every_worker_busy(count: int, workers: int, batch: int | None) -> None:
    size = _get_images_per_task(count, workers, batch)
    assert size >= (batch or 1)
    assert -(-count // size) <= MAX_TASKS
    if batch != 64:
        assert -(-count // size) >= min(count, workers)


class LocalRay:
    """Runs tasks one after the other in this process; `data` and `exceptions` are Ray's modules of these names."""

    RayError = RuntimeError

    def __init__(self, resources: dict[str, float]) -> None:
        self.data = self.exceptions = self
        self.resources = resources
        self.options: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def ActorPoolStrategy(self, size: int) -> int:  # noqa: N802 - Ray's name
        return size

    def from_items(self, rows: list[dict[str, Any]], override_num_blocks: int) -> LocalRay:
        self.rows, self.options["blocks"] = rows, override_num_blocks
        return self

    def map(self, read: Callable[[dict[str, Any]], dict[str, Any]], num_cpus: float) -> LocalRay:
        self.rows = [read(row) for row in self.rows]
        return self

    def map_batches(self, worker: Any, fn_constructor_args: Any, batch_size: int, **options: Any) -> LocalRay:
        self.options |= options
        run, rows = worker(*fn_constructor_args), self.rows
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        tables = [run({key: np.array([row[key] for row in part], object) for key in part[0]}) for part in parts]
        self.rows = [
            dict(zip(table, row, strict=True)) for table in tables for row in zip(*table.values(), strict=True)
        ]
        return self

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        yield from self.rows[::-1]  # tasks may end in any order


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> LocalRay:
    local = LocalRay({"CPU": 4.0, "GPU": 1.0})
    monkeypatch.setattr(cluster, "_import_ray", lambda: local)
    return local


def test_cluster_run_writes_each_result_once_and_skips_finished_images(ray: LocalRay, tmp_path: Path) -> None:
    save_images(tmp_path / "images", 9)
    (tmp_path / "images" / "003.jpg").write_bytes(b"damaged")
    sources = [InputFile(path, path.parent) for path in sorted((tmp_path / "images").iterdir())]
    detector, settings = DetectorSpec(MODEL[0], str(MODEL[1])), DetectionSettings(threshold=0.1)
    workers = Cluster(2, 1.5, 0.0)
    for expected in (9, 1):  # the damaged image is tried again
        with Journal(tmp_path, {"relative_to": str(tmp_path)}, resume=True) as journal:
            results = list(process_on_cluster(workers, detector, sources, settings, journal=journal))
            assert len(results) == expected
        records = [json.loads(line) for line in read_lines(tmp_path)]
        assert sorted(record["image"] for record in records) == sorted(s.name for s in sources if "003" not in s.name)
    assert isinstance(results[0].result, ImageError)
    assert ray.options == {"blocks": 1, "compute": 2, "num_cpus": 1.5, "num_gpus": 0.0}
    alone = darkparse.Detector.load(*MODEL, engine="torch")
    by_name = {record["image"]: record["detections"] for record in records}
    assert by_name[sources[0].name] == alone.detect(sources[0].path, settings).to_dict()["detections"]


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "fits"),
    [
        (3, 1.25, 0.0, True),  # 3.75 of 4 CPUs: one quarter is left to read images
        (3, 1.26, 0.0, False),
        (1, 1.0, None, True),
        (2, 1.0, None, False),  # one GPU each, as the cluster has one
        (2, 1.0, 0.5, True),
        (3, 1.0, 0.5, False),
        (50, 0.0, 0.0, True),
    ],
)
def test_connect_checks_room_for_workers(
    ray: LocalRay, workers: int, cpus: float, gpus: float | None, fits: bool
) -> None:
    if fits:
        assert connect(None, workers=workers, cpus=cpus, gpus=gpus) == Cluster(
            workers, cpus, 1.0 if gpus is None else gpus
        )
        return
    with pytest.raises(darkparse.DarkparseError, match=rf"{workers} workers .* expected at most {workers - 1} workers"):
        connect(None, workers=workers, cpus=cpus, gpus=gpus)


def test_connect_to_cluster_without_cpus_raises(ray: LocalRay) -> None:
    ray.resources = {}
    with pytest.raises(darkparse.DarkparseError, match="expected at most 0 workers"):
        connect(None, workers=1, cpus=0.5, gpus=None)


def test_connect_without_gpus_in_the_cluster_uses_none(ray: LocalRay) -> None:
    ray.resources = {"CPU": 4.0}
    assert connect(None, workers=2, cpus=1.0, gpus=None).gpus == 0


@pytest.mark.parametrize(("gpus", "device"), [(0.0, "cpu"), (1.0, "cuda")])
def test_detector_of_worker_is_independent_of_its_directory(
    gpus: float, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.cfg").touch()
    spec = DetectorSpec("x.cfg", "x.weights").localize(Cluster(1, 1.0, gpus))
    assert (spec.cfg, spec.weights, spec.options.device) == (str(tmp_path / "x.cfg"), "x.weights", device)
    assert DetectorSpec("shapes", "x").localize(Cluster(1, 1.0, gpus)).cfg == "shapes"
    chosen = DetectorSpec("shapes", "x", ReadOptions(device="cpu")).localize(Cluster(1, 1.0, gpus))
    assert chosen.options.device == "cpu"


@needs_ray
@pytest.mark.slow
@pytest.mark.usefixtures("_one_cluster_at_a_time")
def test_interrupted_cluster_run_resumes_to_lines_of_local_run(images: Path, tmp_path: Path) -> None:
    local, out = tmp_path / "local", tmp_path / "out"
    status, error = run(images, "--out", local)
    assert status == 1, error
    arguments = (images, "--out", out, "--ray", "--workers", 2, "--save", "csv")
    process = start(*arguments, prepare=INTERRUPT)
    error = process.communicate(timeout=500)[1]
    assert process.returncode == 130, error
    assert "Traceback" not in error
    first = read_lines(out)
    assert 20 <= len(first) < 118
    assert set(first) < set(read_lines(local))

    status, error = run(*arguments)
    assert status == 2
    assert "continue with --resume" in error
    assert read_lines(out) == first

    status, error = run(*arguments, "--resume")
    assert status == 1, error
    assert f"{len(first)} of 120 are already done" in error
    assert "2 of 120 could not be read" in error
    assert "007.jpg: not an image" in error
    assert "031.jpg: " in error
    assert read_lines(out) == read_lines(local)
    assert (out / "detections.csv").is_file()


@needs_ray
@pytest.mark.slow
@pytest.mark.usefixtures("_one_cluster_at_a_time")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers: run it on Linux")
def test_killed_worker_loses_and_repeats_no_image(images: Path, tmp_path: Path) -> None:
    before, killed = find_workers(), set[int]()
    process = start(images, "--out", tmp_path / "out", "--ray", "--workers", 2)

    def kill_one() -> None:
        while not killed and process.poll() is None:
            time.sleep(0.05)
            if read_lines(tmp_path / "out"):
                victim = min(find_workers() - before)
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)

    killer = threading.Thread(target=kill_one)
    killer.start()
    error = process.communicate(timeout=500)[1]
    killer.join()
    assert killed
    assert process.returncode == 1, error
    lines = read_lines(tmp_path / "out")
    assert len(lines) == len(set(lines)) == 118


@pytest.mark.parametrize(("address", "has_hint"), [("10.0.0.1:6379", True), ("auto", False)])
def test_connect_to_unreachable_address_hints_at_token(
    address: str, has_hint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster\nmore")

    fake = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    monkeypatch.setattr(cluster, "_import_ray", lambda: fake)
    with pytest.raises(darkparse.DarkparseError, match=f"--address {address}: Failed to connect") as caught:
        cluster.connect(address, workers=1, cpus=0.5, gpus=None)
    assert ("RAY_AUTH_MODE=token" in str(caught.value)) == has_hint
    assert "more" not in str(caught.value)


def test_connect_without_address_ignores_other_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait minutes for a cluster that ended without removing its address from the disk."""
    options: dict[str, object] = {}
    resources = {"CPU": 2.0}
    fake = SimpleNamespace(is_initialized=lambda: False, init=options.update, cluster_resources=lambda: resources)
    monkeypatch.setattr(cluster, "_import_ray", lambda: fake)
    assert cluster.connect(None, workers=1, cpus=0.5, gpus=None).workers == 1
    assert options["address"] == "local"


@needs_ray
@pytest.mark.slow
@pytest.mark.usefixtures("_one_cluster_at_a_time")
def test_more_workers_than_fit_exits_2(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "detections.jsonl").write_text('{"image": "a.jpg"}\n', "utf-8")
    status, error = run(images, "--out", out, "--ray", "--workers", 1000, "--overwrite")
    assert status == 2
    assert "1000 workers of 0.5 CPUs do not fit" in error
    assert "Traceback" not in error
    assert read_lines(out) == [b'{"image": "a.jpg"}\n']
