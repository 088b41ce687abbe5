"""Tasks of a Ray cluster: their sizes, what workers return and what Ray is asked for, without Ray itself."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse.datasets.sources import InputFile
from darkparse.detect import Detections
from darkparse.detect.batch import cluster
from darkparse.detect.batch.cluster import (
    Cluster,
    DetectionWorker,
    DetectorSpec,
    _get_images_per_task,
    _import_ray,
    connect,
    process_on_cluster,
)
from darkparse.errors import ImageError
from darkparse.network.detection_settings import DetectionSettings
from darkparse.syntax import read
from tests.detect.reference import TINY
from tests.detect.test_cluster import LocalRay
from tests.detect.test_streaming import EchoDetector

SPEC = DetectorSpec("x.cfg", "x.weights")


@pytest.fixture
def local_ray(monkeypatch: pytest.MonkeyPatch) -> LocalRay:
    local = LocalRay({"CPU": 14.0, "GPU": 2.0})
    monkeypatch.setattr(cluster, "_import_ray", lambda: local)
    return local


@pytest.mark.parametrize(
    ("images", "workers", "batch", "size"),
    [
        (1, 1, None, 1),
        (4, 1, None, 1),
        (5, 1, None, 2),
        (37, 2, None, 5),
        (37, 2, 6, 6),
        (37, 2, 4, 5),
        (1_000, 2, None, 16),
        (80_000, 2, None, 16),
        (80_001, 2, None, 17),
        (80_001, 2, 20, 20),
    ],
)
def test_images_per_task(images: int, workers: int, batch: int | None, size: int) -> None:
    assert _get_images_per_task(images, workers, batch) == size


def test_ray_is_imported_without_progress_bars_and_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(enable_progress_bars=True)
    package, data = ModuleType("ray"), ModuleType("ray.data")
    package.data, data.DataContext = data, SimpleNamespace(get_current=lambda: context)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", package)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    logger = logging.getLogger("ray.data")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    assert _import_ray() is package
    assert not context.enable_progress_bars
    assert logger.getEffectiveLevel() > logging.WARNING


def test_cluster_without_ray_names_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(darkparse.DarkparseError, match=r"requires Ray Data\nhint: pip install 'darkparse\[ray\]'"):
        connect(None, workers=1, cpus=1, gpus=None)


@pytest.mark.parametrize(("address", "passed"), [(None, "local"), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379")])
def test_connect_starts_or_finds_a_cluster_without_its_log(
    address: str | None, passed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, object] = {}
    fake = SimpleNamespace(
        is_initialized=lambda: False, init=options.update, cluster_resources=lambda: {"CPU": 2.0, "GPU": 1.0}
    )
    monkeypatch.setattr(cluster, "_import_ray", lambda: fake)
    assert connect(address, workers=1, cpus=1.75, gpus=None) == Cluster(1, 1.75, 1.0)
    assert options == {"address": passed, "log_to_driver": False, "logging_level": "warning"}


def test_connect_counts_workers_that_fit_exactly(local_ray: LocalRay) -> None:
    """13.75 / 0.55 is 24.999999999999996 in floating point."""
    assert connect(None, workers=25, cpus=0.55, gpus=0).workers == 25
    with pytest.raises(darkparse.DarkparseError, match="expected at most 25 workers"):
        connect(None, workers=26, cpus=0.55, gpus=0)


@pytest.mark.parametrize(
    ("cpus", "gpus", "message"),
    [
        (
            5,
            0,
            "3 workers of 5 CPUs do not fit: the cluster has 14 and reading needs 0.25; expected at most 2 workers\n"
            "hint: change --workers or --worker-cpus",
        ),
        (
            1,
            None,
            "3 workers of 1 GPUs do not fit: the cluster has 2; expected at most 2 workers\n"
            "hint: change --workers or --worker-gpus",
        ),
    ],
)
def test_connect_names_what_is_short(local_ray: LocalRay, cpus: float, gpus: float | None, message: str) -> None:
    with pytest.raises(darkparse.DarkparseError) as caught:
        connect(None, workers=3, cpus=cpus, gpus=gpus)
    assert str(caught.value) == message


class FakeWorker:
    """Detects nothing in images with an even index, and cannot read the others."""

    def __init__(self, detector: DetectorSpec, settings: DetectionSettings, batch: int | None) -> None:
        assert detector.options.device == "cpu"

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        results = [ImageError("unreadable") if i % 2 else Detections(width=8, height=6) for i in rows["index"]]
        return {"index": rows["index"], "result": [*map(pickle.dumps, results)]}


def list_sources(folder: Path, count: int) -> list[InputFile]:
    (folder / "a.jpg").touch()
    return [InputFile(folder / "a.jpg", folder) for _ in range(count)]


@pytest.mark.parametrize(("count", "blocks"), [(8, 8), (37, 8), (41, 7)])
def test_cluster_run_is_divided_into_equal_tasks(
    count: int, blocks: int, local_ray: LocalRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "DetectionWorker", FakeWorker)
    sources = list_sources(tmp_path, count)
    results = list(process_on_cluster(Cluster(2, 1.0, 0.0), SPEC, sources, DetectionSettings()))
    assert len(results) == count
    assert sum(isinstance(result.result, ImageError) for result in results) == count // 2
    assert local_ray.options == {"blocks": blocks, "compute": 2, "num_cpus": 1.0, "num_gpus": 0.0}


def test_cluster_run_without_images_does_not_start(local_ray: LocalRay) -> None:
    assert list(process_on_cluster(Cluster(2, 1.0, 0.0), SPEC, [], DetectionSettings())) == []
    assert local_ray.options == {}


def test_cluster_run_that_fails_names_the_last_cause(
    local_ray: LocalRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Iterator[Any]:
        raise RuntimeError("task failed\n  trace\nNoWeightsError: none\n")

    monkeypatch.setattr(cluster, "DetectionWorker", FakeWorker)
    monkeypatch.setattr(local_ray, "iter_rows", fail)
    run = process_on_cluster(Cluster(1, 1.0, 0.0), SPEC, list_sources(tmp_path, 1), DetectionSettings())
    with pytest.raises(darkparse.DarkparseError, match=r"^Ray failed: NoWeightsError: none$"):
        list(run)


class EchoLoader(EchoDetector):
    """Loads itself; the content of a file is the image."""

    batch = 3

    def load(self) -> EchoLoader:
        return self

    def prepare(self, image: Any, settings: DetectionSettings, *, name: str = "", keep_pixels: bool = False) -> int:
        if image == b"-":
            raise ImageError(f"{name}: damaged")
        return int(image)


@pytest.mark.parametrize(
    ("batch", "batches"), [(None, [[0, 1, 2], [3], [6]]), (2, [[0, 1], [2, 3], [], [6]]), (9, [[0, 1, 2, 3, 6]])]
)
def test_worker_divides_its_task_into_batches(batch: int | None, batches: list[list[int]]) -> None:
    detector: Any = EchoLoader()
    worker = DetectionWorker(detector, DetectionSettings(), batch)
    columns = worker(
        {
            "index": np.arange(20, 27),
            "name": [b"https://u:secret@host/a.jpg"] * 7,
            "bytes": [b"0", b"1", b"2", b"3", b"-", b"", b"6"],
            "problem": ["", "", "", "", "", "gone", ""],
        }
    )
    assert detector.batches == batches
    assert columns["index"].tolist() == list(range(20, 27))
    results = [str(pickle.loads(result)) for result in columns["result"]]
    assert results == ["0", "1", "2", "3", "https://host/a.jpg: damaged", "gone", "6"]


def test_detector_of_worker_keeps_parsed_cfg() -> None:
    config = read(TINY)
    assert DetectorSpec(config, "x").localize(Cluster(1, 1.0, 0.0)).cfg is config
