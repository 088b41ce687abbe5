"""`darkparse evaluate`: measure mean average precision on annotated images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkparse.cli.average_precision import print_result, to_dict
from darkparse.cli.common import WarningPrinter, setting_option, stderr
from darkparse.cli.detector import (
    DetectorOptions,
    batch_option,
    classes_option,
    detector_options,
    find_names_file,
    image_options,
    load_named_detector,
)
from darkparse.cli.help import HelpCommand
from darkparse.cli.jobs import takes
from darkparse.cli.output import format_option, print_document
from darkparse.datasets.names import find_class_ids
from darkparse.errors import DarkparseError, ImageError
from darkparse.network.detection_settings import MAP_SETTINGS, DetectionSettings
from darkparse.views.values import network_values

if TYPE_CHECKING:
    from darkparse.datasets.annotations import Annotations, ImageAnnotation
    from darkparse.detect.detections import Detections
    from darkparse.detect.detector import Detector
    from darkparse.evaluation.average_precision import DarknetResult


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """Parameters of `darkparse evaluate`."""

    detector: DetectorOptions
    settings: DetectionSettings
    images: Path
    annotations: Path | None
    rule: str
    iou: float
    at: float
    batch: int | None
    form: str


@click.command(name="evaluate", cls=HelpCommand)
@detector_options
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Directory, list (.txt) or .data file.",
)
@click.option(
    "--annotations",
    type=click.Path(exists=True, path_type=Path),
    show_default="Darknet's label paths",
    help="COCO .json, or directory of VOC .xml or YOLO .txt.",
)
@click.option(
    "--rule",
    type=click.Choice(["all", "darknet", "coco"]),
    default="all",
    help="Metrics to compute.",
)
@click.option("--iou", type=click.FloatRange(0, 1), default=0.5, help="Minimum IoU of a true positive (Darknet).")
@setting_option("--at", default=DetectionSettings.threshold, help="Minimum score for precision and recall (Darknet).")
@setting_option("--threshold", default=MAP_SETTINGS.threshold, help="Minimum score.")
@setting_option("--nms", help="NMS IoU threshold; 0 disables NMS.")
@batch_option
@classes_option
@image_options
@format_option("text", "json")
@takes(EvaluateJob)
def command(job: EvaluateJob) -> None:
    """Measure mean average precision on annotated images.

    Computes Darknet's mAP (`detector map`: area under the curve, 11 points, 101 points) and the twelve COCO metrics,
    which require pycocotools. By default, labels are read from the .txt file beside each image, or from `labels`
    instead of `images` in its path.

    Exit status 0, or 1 if an image could not be read; such images are reported and excluded.

    \b
    Examples:
      darkparse evaluate my.cfg my.weights --images obj.data --rule darknet
      darkparse evaluate yolov3 yolov3.weights --images val --annotations val.json
    """
    from darkparse.datasets.annotations import read_annotations
    from darkparse.evaluation.average_precision import darknet_map
    from darkparse.evaluation.coco import coco_map

    names = job.detector.names or find_names_file([str(job.images)])
    detector = load_named_detector(replace(job.detector, names=names))
    if detector.classifies:
        raise DarkparseError(f"{detector.network.name} is a classifier: it has no boxes to evaluate")
    truth = read_annotations(job.annotations, job.images, detector.names)
    for remark in truth.warnings:
        stderr().print(remark, style="yellow", soft_wrap=True)
    settings = replace(job.settings, hierarchy=MAP_SETTINGS.hierarchy, order=MAP_SETTINGS.order)
    pairs = list(_detect_images(detector, truth, settings, job.batch or detector.batch))
    if not pairs:
        raise DarkparseError(
            f"none of the {len(truth.truths)} pictures of {job.annotations or job.images} can be read from {job.images}"
        )
    selected = find_class_ids(detector.names, settings.classes or range(len(detector.names)))
    class_names = tuple(detector.names[i] for i in selected)
    darknet: DarknetResult | None = None
    if job.rule != "coco":
        darknet = darknet_map(pairs, len(detector.names), iou=job.iou, score_threshold=job.at, selected=selected)
    coco: dict[str, float] | None = None
    if job.rule != "darknet":
        try:
            coco = coco_map(truth, pairs, selected=selected)
        except DarkparseError as problem:
            if job.rule == "coco":
                raise
            stderr().print(str(problem), style="dim", soft_wrap=True)
    if job.form == "json":
        values = to_dict(darknet, coco, class_names, len(pairs))
        print_document("evaluate", {"network": network_values(detector.network), **values})
    else:
        print_result(darknet, coco, class_names, len(pairs))
    if len(pairs) < len(truth.truths):
        stderr().print(
            f"{len(truth.truths) - len(pairs)} of {len(truth.truths)} pictures could not be read", style="red"
        )
        sys.exit(1)


def _detect_images(
    detector: Detector, annotations: Annotations, settings: DetectionSettings, batch: int
) -> Iterator[tuple[ImageAnnotation, Detections]]:
    """Yield the ground truth and the detections of each image, with a progress bar."""
    from rich.progress import track

    from darkparse.detect.streaming import stream

    console = stderr()
    remarks = WarningPrinter(console)
    results = stream(detector, (truth.image for truth in annotations.truths), settings, batch=batch)
    total = len(annotations.truths)
    tracked = track(results, "detecting", total=total, console=console, transient=True, disable=not console.is_terminal)
    for truth, file_result in zip(annotations.truths, tracked, strict=True):
        if isinstance(file_result.result, ImageError):
            console.print(str(file_result.result), style="red", soft_wrap=True)
            continue
        size = (file_result.result.height, file_result.result.width)
        is_rotated = annotations.has_sizes and truth.size == size[::-1] != size
        messages = ("annotated with height and width exchanged: --exif on or off reads it so",) * is_rotated
        remarks.add(str(truth.image), file_result.result.warnings + messages)
        yield replace(truth, size=size), file_result.result
    remarks.end()
