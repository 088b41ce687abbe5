"""`darkparse detect`: detect objects in images and videos."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse._utils.files import remove_leftovers
from darkparse._utils.lock import lock_directory
from darkparse.cli.common import setting_option, stderr
from darkparse.cli.detector import (
    DetectorOptions,
    batch_option,
    classes_option,
    detector_options,
    find_names_file,
    hide_classes,
    image_options,
    load_named_detector,
)
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.live import watch
from darkparse.cli.output import format_option, schema_name
from darkparse.cli.report import DetectionPrinter
from darkparse.datasets.image_files import import_pillow
from darkparse.datasets.sources import InputFile, find_sources
from darkparse.datasets.urls import redact_url
from darkparse.detect.batch.journal import Journal
from darkparse.detect.batch.labels import LABEL_SUFFIXES
from darkparse.detect.batch.results import Formatter, describe_coco_id_problems, get_coco_categories
from darkparse.errors import DarkparseError
from darkparse.network.detection_settings import DetectionSettings
from darkparse.views.values import network_values
from darkparse.weights import ReadOptions

if TYPE_CHECKING:
    from darkparse.detect.batch.process import FileResult
    from darkparse.detect.batch.results import Formatter, Record
    from darkparse.detect.detector import Detector

Process = Callable[..., "Iterator[FileResult]"]
"""Yields one result per image: process(sources, settings, journal=journal)."""


@dataclass(frozen=True, slots=True)
class DetectJob:
    """Parameters of `darkparse detect`."""

    detector: DetectorOptions
    settings: DetectionSettings
    inputs: tuple[str, ...]
    live: bool
    out: Path | None
    no_images: bool
    save: tuple[str, ...]
    resume: bool
    overwrite: bool
    form: str
    show: bool
    batch: int | None
    ray: bool
    address: str | None
    workers: int | None
    worker_cpus: float
    worker_gpus: float | None


@click.command(name="detect", cls=HelpCommand)
@detector_options
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@setting_option("--threshold", "--thresh", help="Minimum score.")
@setting_option("--nms", help="NMS IoU threshold; 0 disables NMS.")
@setting_option("--hierarchy", "--hier", help="Minimum probability in a WordTree.")
@setting_option("--top", type=click.IntRange(1), help="Number of classes that a classifier reports.")
@classes_option
@image_options
@click.option("--live", is_flag=True, help="Process only the newest frame of a stream or camera.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write annotated images and detections.jsonl here.",
)
@click.option("--no-images", "--no-pictures", is_flag=True, help="Do not write annotated images to --out.")
@click.option(
    "--save",
    type=click.Choice(["csv", "json", "coco", *LABEL_SUFFIXES]),
    multiple=True,
    metavar="FORMAT",
    help="Also write results in this format to --out.",
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run in --out.")
@click.option("--overwrite", is_flag=True, help="Replace the results in --out.")
@format_option("text", "json", "jsonl", "csv", "coco")
@click.option("--show", is_flag=True, help="Open annotated images in the system's viewer.")
@batch_option
@click.option("--ray", is_flag=True, help="Run on a Ray cluster, without annotated images.")
@click.option("--address", show_default="start one locally", help="Address of a running cluster.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    show_default="one per core up to 8; 2 with --ray",
    help="Threads that load images, or Ray workers.",
)
@click.option(
    "--worker-cpus",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    help="CPUs per worker.",
)
@click.option(
    "--worker-gpus",
    type=click.FloatRange(0),
    show_default="1 if the cluster has any",
    help="GPUs per worker.",
)
@takes(DetectJob)
def command(job: DetectJob) -> None:
    """Detect objects in images and videos.

    INPUT is an image, directory, glob pattern, list (.txt), data set (.data), video, stream URL or camera. Boxes and
    scores equal Darknet's. Prints one line per object, e.g. `dog: 93%`.

    Videos and streams require darkparse[video]. Unreadable inputs are reported and skipped.

    Exit status 0, or 1 if an input could not be read.

    \b
    Examples:
      darkparse detect yolov3 yolov3.weights dog.jpg
      darkparse detect my.cfg my.weights obj.data --out results --save yolo
      darkparse detect yolov3 yolov3.weights 'shots/**/*.jpg' --format json
      darkparse detect yolov3 yolov3.weights rtsp://camera/1
    """
    from darkparse.detect.live import is_live

    names = job.detector.names or find_names_file(job.inputs)
    job = replace(job, detector=replace(job.detector, names=names))
    if job.live or any(map(is_live, job.inputs)):
        _detect_live(job)
        return
    if job.out is None and (job.resume or job.overwrite or job.save):
        raise click.UsageError("--resume, --overwrite and --save require --out")
    sources = find_sources(job.inputs, exclude=job.out)
    failed = _detect_files(job, sources)
    if failed:
        stderr().print(f"{failed} of {len(sources)} could not be read", style="red")
        sys.exit(1)


def _detect_live(job: DetectJob) -> None:
    has_unsupported = job.out or job.save or job.show or job.resume or job.overwrite
    if has_unsupported or job.form not in ("text", "jsonl"):
        raise click.UsageError(
            "live detection only prints JSON Lines to standard output; remove --out and other formats"
        )
    if len(job.inputs) > 1:
        raise click.UsageError(
            f"too many inputs for live detection, got {len(job.inputs)}; expected one camera or stream"
        )
    detector = load_named_detector(job.detector)
    watch(detector, job.inputs[0], hide_classes(detector, job.settings))


def _detect_files(job: DetectJob, sources: list[InputFile]) -> int:
    """Detect in images and videos; return the number of unreadable ones."""
    _check_sources(job, sources)
    detector = load_named_detector(replace(job.detector, device="cpu") if job.ray else job.detector)
    job = replace(job, settings=hide_classes(detector, job.settings))
    process = (_make_cluster_process if job.ray else _make_local_process)(job, detector)
    make_formatter = partial(
        Formatter,
        categories=get_coco_categories(detector.names),
        head={"schema": schema_name("detect"), "network": network_values(detector.network)},
    )
    failed: set[str] = set()
    with ExitStack() as stack:
        journal = None
        if job.out is not None:
            stack.enter_context(lock_directory(job.out, "--out", DarkparseError))
            remove_leftovers(job.out)
            run = describe_run(job, detector, sources)
            journal = stack.enter_context(Journal(job.out, run, resume=job.resume, overwrite=job.overwrite))
        already = sum(journal.has(source.name) for source in sources) if journal else 0
        formatter = None if job.form == "text" else make_formatter(job.form)
        report = stack.enter_context(DetectionPrinter(len(sources), formatter, already=already))
        show = _make_viewer(detector) if job.show else None
        for file_result in process(sources, job.settings, journal=journal):
            if report.add(file_result):
                failed.add(file_result.source.name)
            elif show:
                show(file_result)
        if journal is not None:
            for form in job.save:
                if form in LABEL_SUFFIXES:
                    journal.save_labels(form)
                elif form == "coco":
                    journal.save_coco(detector.names)
                else:
                    journal.save(make_formatter(form))
    return len(failed)


def _check_sources(job: DetectJob, sources: list[InputFile]) -> None:
    """Raise for inputs that this kind of run cannot read; warn about what COCO's tools do not accept."""
    if job.ray:
        if job.show:
            raise click.UsageError("--show cannot be combined with --ray")
        videos = [source.name for source in sources if source.is_video]
        if videos:
            raise DarkparseError(f"{redact_url(videos[0])}: --ray does not support videos")
    else:
        import_pillow()
        urls = [source.url for source in sources if source.url]
        if urls:
            raise DarkparseError(f"{redact_url(urls[0])}: URLs require --ray")
    if job.form == "coco" and (remark := describe_coco_id_problems(source.name for source in sources)):
        stderr().print(remark, style="yellow", soft_wrap=True)


def _make_local_process(job: DetectJob, detector: Detector) -> Process:
    from darkparse.detect.batch.process import process

    return partial(
        process,
        detector,
        batch=job.batch or detector.batch,
        workers=job.workers,
        draw_images=not job.no_images,
    )


def _make_cluster_process(job: DetectJob, detector: Detector) -> Process:
    """Connect to the cluster, whose workers load the same detector from the files."""
    from darkparse.detect.batch.cluster import DEFAULT_WORKERS, DetectorSpec, connect, process_on_cluster

    cluster = connect(
        job.address,
        workers=job.workers or DEFAULT_WORKERS,
        cpus=job.worker_cpus,
        gpus=job.worker_gpus,
    )
    options = job.detector
    spec = DetectorSpec(
        options.cfg,
        options.weights,
        ReadOptions(device=options.device),
        options.compile_options.override(dialect=detector.network.dialect.name),
        names=detector.names,
        resize=detector.resize,
        dtype=options.dtype,
        use_class_map=options.use_class_map,
        engine="torch" if cluster.gpus and options.engine == "auto" else detector.engine.name,
    )
    return partial(process_on_cluster, cluster, spec, batch=job.batch)


def describe_run(job: DetectJob, detector: Detector, sources: list[InputFile]) -> Record:
    """Return what the results depend on; a run resumes only results of an equal description."""
    texts = {"cfg_sha256": str(detector.network.config), "names_sha256": "\n".join(map(str, detector.names))}
    hashes = {key: sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for key, text in texts.items()}
    has_relative_paths = not all(source.url or source.path.is_absolute() for source in sources)
    facts = {
        "cfg": detector.network.config.source.name,
        "weights": job.detector.weights,
        "relative_to": str(Path.cwd()) if has_relative_paths else None,
        "weights_bytes": Path(job.detector.weights).stat().st_size,
        "map": detector.use_class_map,
        "reorg": job.detector.compile_options.reorg,
        **hashes,
        "dialect": detector.network.dialect.name,
        "resize": detector.resize,
        "size": "x".join(map(str, detector.input_size)),
        "dtype": job.detector.dtype,
        "engine": detector.engine.name,
    }
    return facts | asdict(job.settings)


def _make_viewer(detector: Detector) -> Callable[[FileResult], None]:
    from darkparse.detect.detections import Detections

    def show(file_result: FileResult) -> None:
        if file_result.frame is None and isinstance(file_result.result, Detections):
            file_result.result.draw().show(title=file_result.source.name)

    return show
