"""The same detector over Ray Data: many machines, one model in each worker.
Ray schedules, retries and moves the data."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkparse._utils.files import atomic_write, remove_leftovers
from darkparse._utils.lock import lock_directory
from darkparse.datasets.sources import locate_input, remote_errors
from darkparse.datasets.urls import is_url, redact_message, redact_url
from darkparse.detect.batch.lock import check_resumable, write_run
from darkparse.detect.batch.results import Record, json_line
from darkparse.detect.candidates import PreparedImage
from darkparse.detect.detector import Detector
from darkparse.errors import DarkparseError, ImageError
from darkparse.network.detection_settings import DetectionSettings

if TYPE_CHECKING:
    import pyarrow

READING_CPUS = 0.25
"""CPUs of a task that reads pictures or writes results."""

DEFAULT_WORKERS = 2

ROWS_PER_BATCH = 16
"""Pictures that Ray hands a worker at once, which it decodes side by side."""

RESERVED_CPUS = 0.5
"""CPUs that workers must leave, so that a reading and a writing task always find room."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where to run, and how many workers."""

    address: str | None = None
    """Of a running cluster; without one Ray starts on this machine."""
    workers: int = DEFAULT_WORKERS
    worker_cpus: float = 0.5
    """For each worker; a fraction leaves CPUs for reading on a small machine."""
    worker_gpus: float | None = None
    """For each worker; None: one if the cluster has any."""


def import_ray() -> Any:
    """The `ray` module, with `ray.data`. Raises DarkparseError with what to install if it is missing."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise DarkparseError("--ray needs Ray Data: pip install 'darkparse[ray]'") from None
    return ray


class DetectionWorker:
    """A worker of Ray Data's actor pool: a model, and batches of pictures to detect in.

    Args:
        detector_kwargs: arguments of `Detector.load`.
        settings: thresholds, as `DetectionSettings` takes them.
        batch: how many pictures run at once; by default what suits the device.
    """

    def __init__(self, detector_kwargs: dict[str, Any], settings: dict[str, Any], batch: int | None = None) -> None:
        self._detector = Detector.load(**detector_kwargs)
        self._settings = DetectionSettings(**settings)
        self._batch = batch or self._detector.batch

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """A table of `image`, `bytes` and `problem` to one of `schema()`."""
        rows = batch.to_pylist()
        with ThreadPoolExecutor() as pool:
            prepared = list(pool.map(self._prepare, rows))
        readable = [p for p in prepared if not isinstance(p, ImageError)]
        chunks = (readable[i : i + self._batch] for i in range(0, len(readable), self._batch))
        detections = iter([result for chunk in chunks for result in self._detector.run(chunk, self._settings)])
        return self._to_table(
            {"image": row["image"], "problem": str(p)}
            if isinstance(p, ImageError)
            else next(detections).to_dict() | {"image": row["image"]}
            for row, p in zip(rows, prepared, strict=True)
        )

    def _prepare(self, row: dict[str, Any]) -> PreparedImage | ImageError:
        if row["problem"]:
            return ImageError(row["problem"])
        try:
            return self._detector.prepare(row["bytes"], self._settings, name=redact_url(row["image"]))
        except ImageError as problem:
            return problem

    def _to_table(self, records: Iterator[Record]) -> pyarrow.Table:
        import pyarrow as pa

        return pa.Table.from_pylist(list(records), schema=schema())


def schema() -> pyarrow.Schema:
    """A result's columns: a picture's size and its detections, or the problem with it."""
    import pyarrow as pa

    box_type = pa.list_(pa.float64())
    detection = {
        "class_id": pa.int64(),
        "name": pa.string(),
        "score": pa.float64(),
        "objectness": pa.float64(),
        "box": box_type,
        "xyxy": box_type,
    }
    fields = {
        "image": pa.string(),
        "width": pa.int64(),
        "height": pa.int64(),
        "detections": pa.list_(pa.struct(detection)),
        "remarks": pa.list_(pa.string()),
        "orientation": pa.int64(),
    }
    return pa.schema(fields | {"problem": pa.string()})


def read_bytes(row: dict[str, str]) -> dict[str, Any]:
    """The bytes at `place`, a path or any URL that fsspec knows (`s3://…`, `gs://…`), or why there are none."""
    import fsspec

    try:
        with fsspec.open(row["place"], "rb") as file:
            return {"image": row["image"], "bytes": file.read(), "problem": ""}
    except remote_errors() as problem:
        return {"image": row["image"], "bytes": b"", "problem": redact_message(row["image"], problem)}


def detect_on_cluster(
    detector_kwargs: dict[str, Any],
    images: list[str],
    settings: DetectionSettings,
    out: Path,
    *,
    run: Record,
    cluster: Cluster,
    batch: int | None = None,
    form: str = "parquet",
    resume: bool = False,
    overwrite: bool = False,
    on_error: Callable[[str, str], None] | None = None,
    on_warnings: Callable[[str, list[str]], None] | None = None,
) -> int:
    """Detect in pictures on a Ray cluster; results go to a folder as Parquet or JSON Lines, a file for each block.

    Args:
        detector_kwargs: arguments of `Detector.load`; every machine must find the files.
        images: paths or URLs that every machine can read.
        settings: thresholds.
        out: the folder; `results` in it takes the files.
        run: what the results depend on.
        cluster: where to run.
        batch: how many pictures a worker runs at once, by default what suits its device.
        form: "parquet" or "jsonl".
        resume: leave out pictures that the folder has results of.
        overwrite: remove the results that it has.
        on_error: called with each picture that could not be read, and why.
        on_warnings: called with what is to be said of a picture.

    Returns:
        How many pictures could not be read.

    Raises:
        DarkparseError: Ray is missing, the cluster cannot place the workers, or the folder holds results.
    """
    ray = import_ray()
    folder = out / "results"
    with lock_directory(out, "--out", DarkparseError):
        remove_leftovers(out)
        if overwrite:
            _connect(ray, cluster)  # before anything is removed
            for file in _list_result_files(folder):
                file.unlink()
        elif _list_result_files(folder):
            run = check_resumable(out, run, resume=resume)
        done = {locate_input(image, run["relative_to"]) for image in _iter_finished(folder)}
        folder.mkdir(exist_ok=True)
        write_run(out, run)
        remaining = [image for image in images if locate_input(image, run["relative_to"]) not in done]
        if remaining:
            _connect(ray, cluster)
            _run(ray, detector_kwargs, remaining, settings, folder, cluster, batch, form)
    requested, failed = set(images), 0
    for record in read_results(folder):
        if on_warnings is not None and record.get("remarks"):
            on_warnings(redact_url(record["image"]), record["remarks"])
        if record.get("problem") and record["image"] in requested:
            failed += 1
            if on_error is not None:
                on_error(record["image"], record["problem"])
    return failed


def _connect(ray: Any, cluster: Cluster) -> None:
    """Join the cluster, and make sure that it has room: Ray would wait for ever for what it cannot place."""
    if not sys.stderr.isatty():
        logging.getLogger("ray.data").setLevel(logging.WARNING)
    if not ray.is_initialized():
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, ValueError, RuntimeError) as problem:
            raise DarkparseError(f"--address {cluster.address}: {str(problem).splitlines()[0]}") from None
    cpus = ray.cluster_resources().get("CPU", 0.0)
    max_workers = int((cpus - RESERVED_CPUS) / cluster.worker_cpus + 1e-9)
    if cluster.workers > max_workers:
        raise DarkparseError(
            f"{cluster.workers} workers of {cluster.worker_cpus:g} CPUs do not fit: the cluster has {cpus:g}, and "
            f"{RESERVED_CPUS:g} must "
            f"stay for reading and writing. It has room for {max(max_workers, 0)}; --workers or --worker-cpus makes "
            "them fit"
        )
    gpus, gpus_per_worker = ray.cluster_resources().get("GPU", 0.0), _get_worker_gpus(ray, cluster)
    if gpus_per_worker and cluster.workers * gpus_per_worker > gpus + 1e-9:
        max_workers = int(gpus / gpus_per_worker + 1e-9)
        raise DarkparseError(
            f"{cluster.workers} workers of {gpus_per_worker:g} GPUs do not fit: the cluster has {gpus:g}, room for "
            f"{max_workers}; --workers or --worker-gpus makes them fit"
        )


def _get_worker_gpus(ray: Any, cluster: Cluster) -> float:
    if cluster.worker_gpus is not None:
        return cluster.worker_gpus
    return 1.0 if ray.cluster_resources().get("GPU", 0.0) else 0.0


def _run(
    ray: Any,
    detector_kwargs: dict[str, Any],
    images: list[str],
    settings: DetectionSettings,
    folder: Path,
    cluster: Cluster,
    batch: int | None,
    form: str,
) -> None:
    gpus = _get_worker_gpus(ray, cluster)
    detector_kwargs = detector_kwargs | {"device": detector_kwargs.get("device") or ("cuda" if gpus else "cpu")}
    # A cfg from standard input is no path.
    files = {
        key: detector_kwargs[key] for key in ("cfg", "weights") if isinstance(detector_kwargs[key], str | os.PathLike)
    }
    detector_kwargs |= {key: str(Path(path).absolute()) for key, path in files.items() if Path(path).exists()}
    rows_at_once = max(batch or 1, ROWS_PER_BATCH)
    # Each block becomes a file of results: a few for each worker, of at most 2,000 pictures.
    blocks = min(
        len(images), max(cluster.workers, min(len(images) // rows_at_once, 4 * cluster.workers), len(images) // 2000)
    )
    # Workers have a working directory of their own, on other machines too.
    rows = [{"image": image, "place": image if is_url(image) else str(Path(image).absolute())} for image in images]
    data = ray.data.from_items(rows, override_num_blocks=blocks).map(read_bytes, num_cpus=READING_CPUS)
    data = data.map_batches(
        DetectionWorker,
        fn_constructor_kwargs={"detector_kwargs": detector_kwargs, "settings": asdict(settings), "batch": batch},
        batch_size=rows_at_once,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=cluster.workers),
        num_cpus=cluster.worker_cpus,
        num_gpus=gpus,
        max_restarts=-1,
        max_task_retries=-1,
    )
    write = data.write_parquet if form == "parquet" else data.write_json
    try:
        write(str(folder.absolute()), ray_remote_args={"num_cpus": READING_CPUS})
    except ray.exceptions.RayError as problem:
        reason = str(problem).strip().splitlines()[-1]
        raise DarkparseError(f"Ray gave up: {reason}; what is finished is in {folder}, --resume goes on") from problem


def _iter_finished(folder: Path) -> Iterator[str]:
    """The pictures that need no second run; files that a broken run left half written are removed."""
    for file in _list_result_files(folder):
        try:
            records = list(_read_records(file))
        except (OSError, ValueError):
            file.unlink()
            continue
        if any(record.get("problem") for record in records):
            # What could not be read is tried again: its lines go, the others stay.
            records = [record for record in records if not record.get("problem")]
            _rewrite(file, records)
        yield from (record["image"] for record in records)


def _list_result_files(folder: Path) -> list[Path]:
    """What is finished: a killed run's `.part-…` files do not count."""
    return sorted(file for file in folder.glob("[!.]*") if file.suffix in (".parquet", ".json", ".jsonl"))


def read_results(folder: str | os.PathLike[str]) -> Iterator[Record]:
    """Every picture's result in a folder of Parquet or JSON Lines files, with `problem` where it could not be read."""
    for file in _list_result_files(Path(folder)):
        yield from _read_records(file)


def _read_records(file: Path) -> Iterator[Record]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        for part in pq.ParquetFile(file).iter_batches():
            yield from part.to_pylist()
        return
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _rewrite(file: Path, records: list[Record]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_write(file) as part:
        if file.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(records, schema=schema()), part)
        else:
            part.write_text("".join(map(json_line, records)), "utf-8")
