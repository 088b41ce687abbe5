"""Detection on a Ray cluster: Ray Data reads the images, runs one detector per worker and repeats lost work."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from darkparse.datasets.sources import InputFile, remote_errors
from darkparse.datasets.urls import is_url, redact_message, redact_url
from darkparse.detect.batch.journal import Journal
from darkparse.detect.batch.process import FileResult
from darkparse.detect.candidates import PreparedImage
from darkparse.detect.detections import Detections
from darkparse.detect.detector import Detector
from darkparse.detect.streaming import run_prepared
from darkparse.errors import DarkparseError, ImageError
from darkparse.network.compile_options import CompileOptions
from darkparse.network.detection_settings import DetectionSettings
from darkparse.syntax import Config
from darkparse.weights import ReadOptions

DEFAULT_WORKERS = 2

READING_CPUS = 0.25
"""CPUs of a task that reads images. Workers must leave this many free, or no task can read and Ray waits forever."""

TOKEN_HINT = "hint: if the cluster uses tokens, set RAY_AUTH_MODE=token and copy its ~/.ray/auth_token to this machine"
"""`ray start` requires the token of its user if there is one; Ray sends it without RAY_AUTH_MODE to `auto` only."""

MAX_IMAGES_PER_TASK = 16
"""Maximum images per task; a worker decodes them in parallel. After Ctrl-C at most one task per worker is repeated."""
MIN_TASKS_PER_WORKER = 4
"""Minimum tasks per worker; with fewer, workers would wait for the last one."""
MAX_TASKS = 5_000
"""Maximum number of tasks, since Ray submits each from this process; larger jobs have larger tasks."""

Columns = dict[str, Any]
"""The columns of a Ray Data batch, as numpy arrays or lists."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Workers of a connected Ray cluster.

    Attributes:
        workers: Number of workers, each with a detector.
        cpus: CPUs of each worker.
        gpus: GPUs of each worker.
    """

    workers: int
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """Arguments of `Detector.load` that are sent to workers; every machine must have the files."""

    cfg: str | Config
    weights: str
    options: ReadOptions = ReadOptions()
    compile_options: CompileOptions = CompileOptions()
    names: tuple[str, ...] | None = None
    resize: str | None = None
    dtype: str | None = None
    use_class_map: bool = False
    engine: str = "torch"

    def load(self) -> Detector:
        """Load the detector."""
        return Detector.load(
            self.cfg,
            self.weights,
            self.options,
            names=self.names,
            compile_options=self.compile_options,
            resize=self.resize,
            dtype=self.dtype,
            use_class_map=self.use_class_map,
            engine=self.engine,
        )

    def localize(self, cluster: Cluster) -> DetectorSpec:
        """Return the spec for a worker: its device, and absolute paths, since its working directory may differ."""
        device = self.options.device or ("cuda" if cluster.gpus else "cpu")
        return replace(
            self,
            cfg=_make_absolute(self.cfg) if isinstance(self.cfg, str) else self.cfg,
            weights=_make_absolute(self.weights),
            options=self.options.override(device=device),
        )


def connect(address: str | None, *, workers: int, cpus: float, gpus: float | None) -> Cluster:
    """Connect to a Ray cluster and check that it has room for the workers; Ray would wait forever otherwise.

    Args:
        address: Address of a running cluster; None starts one on this machine.
        workers: Number of workers.
        cpus: CPUs of each worker; a fraction leaves CPUs for reading on a small machine.
        gpus: GPUs of each worker; None: 1 if the cluster has any.

    Raises:
        DarkparseError: Ray is missing, there is no cluster at the address, or the workers do not fit.
    """
    ray = _import_ray()
    if not ray.is_initialized():
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="warning")
        except (ConnectionError, ValueError, RuntimeError) as problem:
            hint = "" if address in (None, "auto") else f"\n{TOKEN_HINT}"
            raise DarkparseError(f"--address {address}: {str(problem).splitlines()[0]}{hint}") from None
    total = ray.cluster_resources()
    if gpus is None:
        gpus = 1.0 if total.get("GPU") else 0.0
    for kind, per_worker, reserved in (("CPU", cpus, READING_CPUS), ("GPU", gpus, 0.0)):
        available = total.get(kind, 0.0)
        room = int((available - reserved) / per_worker + 1e-9) if per_worker else workers
        if workers > room:
            hint = f" and reading needs {reserved:g}" if reserved else ""
            raise DarkparseError(
                f"{workers} workers of {per_worker:g} {kind}s do not fit: the cluster has {available:g}{hint}; "
                f"expected at most {max(room, 0)} workers\nhint: change --workers or --worker-{kind.lower()}s"
            )
    return Cluster(workers, cpus, gpus)


def process_on_cluster(
    cluster: Cluster,
    detector: DetectorSpec,
    sources: Sequence[InputFile],
    settings: DetectionSettings,
    *,
    batch: int | None = None,
    journal: Journal | None = None,
) -> Iterator[FileResult]:
    """Detect objects in images on a cluster; yield each result once it is in the journal.

    Images that are already in the journal are skipped. An unreadable image yields its error. Ray restarts a worker that
    dies and repeats its task.

    Args:
        cluster: The workers.
        detector: How each worker loads its detector.
        sources: Images that every machine can read.
        settings: Thresholds.
        batch: Number of images per batch in a worker; by default the engine's.
        journal: Where the results are written.

    Raises:
        DarkparseError: Ray failed, for example because a worker cannot load the detector.
    """
    ray = _import_ray()
    remaining = [source for source in sources if not (journal and journal.has(source.name))]
    if not remaining:
        return
    images_per_task = _get_images_per_task(len(remaining), cluster.workers, batch)
    # Names are passed as bytes, because Arrow strings are UTF-8 and file names need not be.
    rows = [
        {"index": index, "name": os.fsencode(source.name), "location": os.fsencode(source.location)}
        for index, source in enumerate(remaining)
    ]
    dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // images_per_task))
    dataset = dataset.map(read_image, num_cpus=READING_CPUS).map_batches(
        DetectionWorker,
        fn_constructor_args=(detector.localize(cluster), settings, batch),
        batch_size=images_per_task,
        compute=ray.data.ActorPoolStrategy(size=cluster.workers),
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus,
    )
    try:
        for row in dataset.iter_rows():
            file_result = FileResult(remaining[row["index"]], pickle.loads(row["result"]))
            if journal is not None and isinstance(file_result.result, Detections):
                journal.add(file_result.record)
            yield file_result
    except ray.exceptions.RayError as problem:
        raise DarkparseError(f"Ray failed: {str(problem).strip().splitlines()[-1]}") from problem


def read_image(row: dict[str, Any]) -> dict[str, Any]:
    """Read the file at a row's `location`, a path or any URL that fsspec supports (`s3://…`); Ray runs this as a task.

    Returns:
        The row with its `bytes`, and the `problem` if it could not be read.
    """
    location = os.fsdecode(row["location"])
    try:
        return row | {"bytes": _read(location), "problem": ""}
    except remote_errors() as problem:
        return row | {"bytes": b"", "problem": redact_message(os.fsdecode(row["name"]), problem)}


class DetectionWorker:
    """A detector in a separate process; Ray calls it with the images of a task.

    Args:
        detector: How to load it.
        settings: Thresholds.
        batch: Number of images per batch; by default the engine's.
    """

    def __init__(self, detector: DetectorSpec, settings: DetectionSettings, batch: int | None) -> None:
        self._detector, self._settings = detector.load(), settings
        self._batch = batch or self._detector.batch

    def __call__(self, rows: Columns) -> Columns:
        """Return the `index` of each image with its `result`, as pickled `Detections` or ImageError."""
        with ThreadPoolExecutor() as pool:
            prepared = list(pool.map(self._prepare, rows["name"], rows["bytes"], rows["problem"]))
        chunks = (prepared[start : start + self._batch] for start in range(0, len(prepared), self._batch))
        results = [result for chunk in chunks for result in run_prepared(self._detector, chunk, self._settings)]
        return {"index": rows["index"], "result": np.array([*map(pickle.dumps, results)], object)}

    def _prepare(self, name: bytes, data: bytes, problem: str) -> PreparedImage | ImageError:
        if problem:
            return ImageError(problem)
        try:
            return self._detector.prepare(data, self._settings, name=redact_url(os.fsdecode(name)))
        except ImageError as error:
            return error


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise DarkparseError("--ray requires Ray Data\nhint: pip install 'darkparse[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # Ray Data warns that its progress bars are off
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _get_images_per_task(images: int, workers: int, batch: int | None) -> int:
    balanced = -(-images // (MIN_TASKS_PER_WORKER * workers))
    return max(min(balanced, MAX_IMAGES_PER_TASK), batch or 1, -(-images // MAX_TASKS))


def _make_absolute(path: str) -> str:
    """Return the absolute path of a file, or the unchanged name of a bundled cfg."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def _read(location: str) -> bytes:
    if not is_url(location):
        path = Path(location)
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")  # reading a device might never end
        return path.read_bytes()
    import fsspec

    with fsspec.open(location, "rb") as file:
        data: bytes = file.read()
    return data
