"""`darkparse evaluate`: measure mean average precision, or the accuracy of a classifier."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from darkparse._utils.text import pluralize
from darkparse.cli import average_precision, classification, error_report
from darkparse.cli.common import WarningPrinter, report_written, setting_option, stderr
from darkparse.cli.detection_run import detect_images
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
from darkparse.datasets.classified_images import read_classified_images, read_path_labels
from darkparse.datasets.formats import is_dataset
from darkparse.datasets.names import find_class_ids
from darkparse.errors import DarkparseError
from darkparse.network.detection_settings import MAP_SETTINGS, DetectionSettings
from darkparse.views.values import network_values

if TYPE_CHECKING:
    from darkparse.datasets.annotations import Annotations, ImageAnnotation
    from darkparse.detect.detections import Detections
    from darkparse.detect.detector import Detector
    from darkparse.evaluation.average_precision import DarknetResult
    from darkparse.evaluation.error_analysis import ErrorAnalysis


DETECTOR_ONLY = ("annotations", "rule", "iou", "at", "threshold", "nms", "classes")
CLASSIFIER_ONLY = ("top_k",)
"""Parameters that apply only to detectors, or only to classifiers."""


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
    top_k: int | None
    batch: int | None
    errors: Path | None
    form: str


@click.command(name="evaluate", cls=HelpCommand)
@detector_options
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Directory, list (.txt) or data set (.data, data.yaml, COCO .json, VOC).",
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
@click.option(
    "--top",
    "top_k",
    type=click.IntRange(1),
    metavar="K",
    show_default="top of the .data file, or 5",
    help="K of top-k accuracy (classifiers).",
)
@image_options
@click.option(
    "--errors",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write errors by kind: drawings, list and charts.",
)
@format_option("text", "json")
@takes(EvaluateJob)
def command(job: EvaluateJob) -> None:
    """Measure mAP, or the accuracy of a classifier.

    Computes Darknet's mAP (`detector map`: area under the curve, 11 points, 101 points) and the twelve COCO metrics,
    which require pycocotools. By default, labels are read from the .txt file beside each image, or from the same path
    with `labels` in place of `images`. For a classifier, computes top-1 and top-k accuracy and the confusion matrix;
    the class of an image is the first label in its path.

    Exit status 0, or 1 if an image could not be read; such images are reported and excluded.

    \b
    Examples:
      darkparse evaluate my.cfg my.weights --images obj.data --rule darknet
      darkparse evaluate yolov3 yolov3.weights --images val --annotations val.json
    """
    names = job.detector.names or find_names_file([str(job.images)])
    if names is None and job.annotations is None and is_dataset(job.images):
        names = str(job.images)
    detector = load_named_detector(replace(job.detector, names=names))
    _check_options(classifies=detector.classifies)
    evaluate = _evaluate_classifier if detector.classifies else _evaluate_detector
    num_unreadable, num_images = evaluate(job, detector)
    if num_unreadable:
        stderr().print(f"{num_unreadable} of {num_images} images could not be read", style="red")
        sys.exit(1)


def _check_options(*, classifies: bool) -> None:
    """Raise DarkparseError if an option was set that does not apply to the network."""
    context = click.get_current_context()
    for name in DETECTOR_ONLY if classifies else CLASSIFIER_ONLY:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise DarkparseError(
                f"--{name.removesuffix('_k')} does not apply to a {'classifier' if classifies else 'detector'}"
            )


def _evaluate_classifier(job: EvaluateJob, detector: Detector) -> tuple[int, int]:
    """Print the accuracy of a classifier; return the number of unreadable images and of all images."""
    from darkparse.evaluation.classification import choose_top, measure_classification
    from darkparse.evaluation.error_report import check_new_directory, write_classifier_report

    if job.errors is not None:
        check_new_directory(job.errors)
    images = read_classified_images(job.images, read_path_labels(job.images, detector.names))
    top = job.top_k or choose_top(job.images, len(detector.names))
    warnings = WarningPrinter(stderr())
    settings = replace(job.settings, top=top)
    results = list(detect_images(detector, [image.path for image in images], settings, job.batch, warnings))
    warnings.end()
    if not results:
        raise DarkparseError(f"none of the {len(images)} images of {job.images} can be read")
    result = measure_classification(((images[i].label, one) for i, one in results), len(detector.names), top)
    if result.unlabeled:
        stderr().print(
            f"{result.unlabeled} of {result.images} images have no label in their path and count as wrong",
            style="yellow",
        )
    if job.errors is not None:
        labeled = [(images[i].path, images[i].label, one) for i, one in results]
        # A network with NaN in its scores ranks no class.
        wrong = [case for case in labeled if [one.class_id for one in case[2][:1]] != [case[1]]]
        _report_errors(job.errors, write_classifier_report(job.errors, result, wrong, detector.names))
    if job.form == "json":
        values = classification.to_dict(result, detector.names)
        print_document("evaluate", {"network": network_values(detector.network), **values})
    else:
        classification.print_result(result, detector.names)
    return len(images) - len(results), len(images)


def _evaluate_detector(job: EvaluateJob, detector: Detector) -> tuple[int, int]:
    """Print the average precision of a detector; return the number of unreadable images and of all images."""
    from darkparse.datasets.annotations import read_annotations
    from darkparse.evaluation.average_precision import evaluate_matches
    from darkparse.evaluation.coco import coco_map
    from darkparse.evaluation.error_analysis import analyze_errors
    from darkparse.evaluation.error_report import check_new_directory, write_error_report
    from darkparse.evaluation.matching import match

    if job.errors is not None:
        check_new_directory(job.errors)
    annotations = read_annotations(job.annotations, job.images, detector.names)
    for message in annotations.warnings:
        stderr().print(message, style="yellow", soft_wrap=True)
    settings = replace(job.settings, hierarchy=MAP_SETTINGS.hierarchy, order=MAP_SETTINGS.order)
    pairs = list(_detect_annotated(detector, annotations, settings, job.batch))
    if not pairs:
        raise DarkparseError(
            f"none of the {len(annotations.truths)} images of {job.annotations or job.images} can be read from "
            f"{job.images}"
        )
    selected = find_class_ids(detector.names, settings.classes or range(len(detector.names)))
    class_names = tuple(detector.names[i] for i in selected)
    matches = match(pairs, job.iou)
    darknet: DarknetResult | None = None
    if job.rule != "coco":
        darknet = evaluate_matches(matches, selected, score_threshold=job.at)
    coco: dict[str, float] | None = None
    if job.rule != "darknet":
        try:
            coco = coco_map(annotations, pairs, selected=selected)
        except DarkparseError as problem:
            if job.rule == "coco":
                raise
            stderr().print(str(problem), style="dim", soft_wrap=True)
    errors: ErrorAnalysis | None = None
    if job.errors is not None:
        errors = analyze_errors(pairs, matches, selected, score_threshold=job.at)
        _report_errors(job.errors, write_error_report(job.errors, errors, pairs, detector.names))
    if job.form == "json":
        values = average_precision.to_dict(darknet, coco, class_names, len(pairs))
        values["errors"] = None if errors is None else error_report.to_dict(errors)
        print_document("evaluate", {"network": network_values(detector.network), **values})
    else:
        average_precision.print_result(darknet, coco, class_names, len(pairs))
        if errors is not None:
            error_report.print_errors(errors)
    return len(annotations.truths) - len(pairs), len(annotations.truths)


def _report_errors(folder: Path, num_drawings: int) -> None:
    report_written(folder, f"{pluralize(num_drawings, 'image')} with errors, errors.jsonl and charts")


def _detect_annotated(
    detector: Detector, annotations: Annotations, settings: DetectionSettings, batch: int | None
) -> Iterator[tuple[ImageAnnotation, Detections]]:
    """Yield the annotation and the detections of each readable image."""
    truths, warnings = annotations.truths, WarningPrinter(stderr())
    for position, detections in detect_images(detector, [truth.image for truth in truths], settings, batch, warnings):
        truth, size = truths[position], (detections.height, detections.width)
        if annotations.has_sizes and truth.size == size[::-1] != size:
            message = "height and width are swapped in the annotation; try --exif on or off"
            warnings.add(str(truth.image), [message])
        yield replace(truth, size=size), detections
    warnings.end()
