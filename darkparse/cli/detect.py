"""`darkparse detect`: what is in pictures and videos."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkparse._utils.files import remove_leftovers
from darkparse._utils.lock import lock_directory
from darkparse.cli.common import GroupedCommand, setting_option, stderr
from darkparse.cli.detector import (
    NETWORK,
    RUNNING,
    detector_arguments,
    detector_options,
    find_names_file,
    image_options,
    load_detector,
)
from darkparse.cli.live import watch
from darkparse.cli.report import DetectionPrinter
from darkparse.datasets.image_files import import_pillow
from darkparse.datasets.sources import InputFile, find_sources
from darkparse.datasets.urls import redact_url
from darkparse.detect.batch.journal import Journal
from darkparse.detect.batch.labels import LABEL_SUFFIXES
from darkparse.detect.batch.results import Formatter, describe_coco_id_problems, get_coco_categories
from darkparse.errors import DarkparseError
from darkparse.network.detection_settings import DetectionSettings

if TYPE_CHECKING:
    from darkparse.detect.batch.process import FileResult
    from darkparse.detect.batch.results import Formatter, Record
    from darkparse.detect.detector import Detector
    from darkparse.network.detection_settings import DetectionSettings

Process = Callable[..., "Iterator[FileResult]"]
"""Yields a result per image: process(sources, settings, journal=journal)."""


GROUPS = {
    "What counts": ("threshold", "nms", "hierarchy", "top"),
    "Pictures": ("exif", "channels", "live"),
    "Results": ("form", "as_json", "out", "no_pictures", "save", "resume", "overwrite", "show"),
    "Network": NETWORK,
    "How it runs": RUNNING,
    "On a Ray cluster": ("ray", "address", "worker_cpus", "worker_gpus"),
}


@click.command(name="detect", cls=GroupedCommand, groups=GROUPS)
@detector_options
@click.argument("inputs", nargs=-1, required=True, metavar="IMAGE|FOLDER|GLOB|LIST|VIDEO...")
@setting_option("--threshold", "--thresh", help="Least score.")
@setting_option("--nms", help="Largest overlap within a class; 0 keeps all.")
@setting_option("--hierarchy", "--hier", help="Word trees: least probability.")
@setting_option("--top", type=click.IntRange(1), help="How many classes a classifier names.")
@image_options
@click.option("--live", is_flag=True, help="The newest frame of a camera or a stream, a line of JSON each.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the pictures with boxes and detections.jsonl.",
)
@click.option("--no-pictures", is_flag=True, help="With --out: write the results alone.")
@click.option(
    "--save",
    type=click.Choice(["csv", "json", "coco", *LABEL_SUFFIXES]),
    multiple=True,
    help="With --out: write the results in this format too.",
)
@click.option("--resume", is_flag=True, help="Go on with a broken run into the same --out.")
@click.option("--overwrite", is_flag=True, help="Start anew in an --out that holds results.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "jsonl", "csv", "coco"]),
    default="text",
    help="What to print.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: --format json.")
@click.option("--show", is_flag=True, help="Open the pictures with boxes in the system's viewer.")
@click.option(
    "--batch", type=click.IntRange(1), help="Pictures that run at once; by default 1 on the CPU, 16 on a GPU."
)
@click.option("--ray", is_flag=True, help="Run on a Ray cluster; images are not drawn.")
@click.option("--address", help="Address of a running cluster (default: start one on this machine).")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Threads (default: one per core, at most 8); with --ray processes (default: 2).",
)
@click.option(
    "--worker-cpus",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    show_default=True,
    help="CPUs per worker.",
)
@click.option(
    "--worker-gpus",
    type=click.FloatRange(0),
    default=None,
    help="GPUs per worker (default: 1 if the cluster has any).",
)
def command(inputs: tuple[str, ...], **options: Any) -> None:
    """Find what is in pictures and videos, with Darknet's arithmetic: the same boxes, the same per cent.

    Prints `dog: 93%` for each object. With --out the pictures are written there with their boxes, and
    detections.jsonl has a line for each finished one; a broken run goes on with --resume. A picture that cannot be
    read is reported and skipped, and the exit status is then 1.

    \b
    darkparse detect yolov3 yolov3.weights dog.jpg
    darkparse detect my.cfg my.weights obj.data --out found --save yolo
    darkparse detect yolov3 yolov3.weights 'shots/**/*.jpg' --json > found.json
    darkparse detect yolov3 yolov3.weights video.mp4 --out found     # needs darkparse[video]
    darkparse detect yolov3 yolov3.weights rtsp://camera/1          # or --live /dev/video0, likewise
    """
    from darkparse.detect.live import is_live

    options["names"] = options["names"] or find_names_file(inputs)
    detector_kwargs = detector_arguments(options)
    settings = DetectionSettings(**{field.name: options.pop(field.name) for field in fields(DetectionSettings)})
    if options.pop("live") or any(map(is_live, inputs)):
        _detect_live(detector_kwargs, inputs, settings, options)
        return
    if options["out"] is None and (options["resume"] or options["overwrite"] or options["save"]):
        raise click.UsageError("--resume, --overwrite and --save need --out")
    if options.pop("as_json"):
        options["form"] = "json"
    sources = find_sources(inputs, exclude=options["out"])
    failed = _detect_files(detector_kwargs, sources, settings, options)
    if failed:
        stderr().print(f"{failed} of {len(sources)} could not be read", style="red")
        sys.exit(1)


def _detect_live(
    detector_kwargs: dict[str, Any], inputs: tuple[str, ...], settings: DetectionSettings, options: dict[str, Any]
) -> None:
    unsupported = [name for name in ("out", "save", "show", "resume", "overwrite", "as_json") if options[name]]
    if unsupported or options["form"] not in ("text", "jsonl"):
        raise click.UsageError("live pictures come out as JSON Lines, on standard output alone")
    if len(inputs) > 1:
        raise click.UsageError(f"one camera or stream at a time, not {len(inputs)}")
    watch(load_detector(detector_kwargs), inputs[0], settings)


def _detect_files(
    detector_kwargs: dict[str, Any], sources: list[InputFile], settings: DetectionSettings, options: dict[str, Any]
) -> int:
    """Detect in images and videos; return how many could not be read."""
    _check_sources(sources, options)
    detector = load_detector(detector_kwargs | ({"device": "cpu"} if options["ray"] else {}))
    process = (_make_cluster_process if options["ray"] else _make_local_process)(detector, detector_kwargs, options)
    categories = get_coco_categories(detector.names)
    failed: set[str] = set()
    with ExitStack() as stack:
        journal = None
        if options["out"] is not None:
            stack.enter_context(lock_directory(options["out"], "--out", DarkparseError))
            remove_leftovers(options["out"])
            run = describe_run(detector_kwargs, detector, settings, sources)
            journal = stack.enter_context(
                Journal(options["out"], run, resume=options["resume"], overwrite=options["overwrite"])
            )
        already = sum(journal.has(source.name) for source in sources) if journal else 0
        formatter = None if options["form"] == "text" else Formatter(options["form"], categories)
        report = stack.enter_context(DetectionPrinter(len(sources), formatter, already=already))
        shown = _make_viewer(detector) if options["show"] else None
        for file_result in process(sources, settings, journal=journal):
            if report.add(file_result):
                failed.add(file_result.source.name)
            elif shown:
                shown(file_result)
        for form in options["save"] if journal else ():
            journal.save(form, categories)  # type: ignore[union-attr]
    return len(failed)


def _check_sources(sources: list[InputFile], options: dict[str, Any]) -> None:
    """Refuse inputs that this kind of run cannot read; print what COCO's tools will not accept."""
    if options["ray"]:
        if options["show"]:
            raise click.UsageError("--show cannot be combined with --ray")
        videos = [source.name for source in sources if source.is_video]
        if videos:
            raise DarkparseError(f"{redact_url(videos[0])}: --ray does not support videos")
    else:
        import_pillow()
        urls = [source.url for source in sources if source.url]
        if urls:
            raise DarkparseError(f"{redact_url(urls[0])}: URLs are read with --ray")
    if "coco" in (options["form"], *options["save"]) and (
        remark := describe_coco_id_problems(source.name for source in sources)
    ):
        stderr().print(remark, style="yellow", soft_wrap=True)


def _make_local_process(detector: Detector, _: dict[str, Any], options: dict[str, Any]) -> Process:
    from darkparse.detect.batch.process import process

    return partial(
        process,
        detector,
        batch=options["batch"] or detector.batch,
        workers=options["workers"],
        draw_images=not options["no_pictures"],
    )


def _make_cluster_process(detector: Detector, detector_kwargs: dict[str, Any], options: dict[str, Any]) -> Process:
    """Connect to the cluster, whose workers load the same detector from the files."""
    from darkparse.detect.batch.cluster import DEFAULT_WORKERS, connect, process_on_cluster

    cluster = connect(
        options["address"],
        workers=options["workers"] or DEFAULT_WORKERS,
        cpus=options["worker_cpus"],
        gpus=options["worker_gpus"],
    )
    resolved = {"dialect": detector.network.dialect.name, "names": detector.names, "resize": detector.resize}
    resolved["engine"] = "torch" if cluster.gpus and detector_kwargs["engine"] == "auto" else detector.engine.name
    return partial(process_on_cluster, cluster, detector_kwargs | resolved, batch=options["batch"])


def describe_run(
    detector_kwargs: dict[str, Any], detector: Detector, settings: DetectionSettings, sources: list[InputFile]
) -> Record:
    """What results depend on: another run's results are not gone on with."""
    texts = {"cfg_sha256": str(detector.network.config), "names_sha256": "\n".join(map(str, detector.names))}
    hashes = {key: sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for key, text in texts.items()}
    facts = {"cfg": detector.network.config.source.name, "weights": detector_kwargs["weights"]}
    facts["relative_to"] = (
        None if all(source.url or source.path.is_absolute() for source in sources) else str(Path.cwd())
    )
    facts |= {
        "weights_bytes": Path(detector_kwargs["weights"]).stat().st_size,
        "map": detector.use_class_map,
        "reorg": detector_kwargs["compile_options"].reorg,
        **hashes,
    }
    size = "x".join(map(str, detector.input_size))
    run_options = {
        "dialect": detector.network.dialect.name,
        "resize": detector.resize,
        "size": size,
        "half": "dtype" in detector_kwargs,
    }
    run_options["engine"] = detector.engine.name
    return facts | run_options | asdict(settings)


def _make_viewer(detector: Detector) -> Callable[[FileResult], None]:
    from darkparse.detect.detections import Detections

    def show(file_result: FileResult) -> None:
        if file_result.frame is None and isinstance(file_result.result, Detections):
            file_result.result.draw().show(title=file_result.source.name)

    return show
