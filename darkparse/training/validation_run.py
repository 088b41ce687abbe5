"""Validation of a network during training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from darkparse.datasets.annotations import ImageAnnotation, read_annotations
from darkparse.datasets.classified_images import read_classified_images, read_path_labels
from darkparse.datasets.names import Names, find_names
from darkparse.detect.detections import Detections
from darkparse.detect.detector import Detector
from darkparse.detect.streaming import stream
from darkparse.detect.task import class_count, is_classifier
from darkparse.errors import ImageError
from darkparse.evaluation.average_precision import DarknetResult, darknet_map
from darkparse.evaluation.classification import ClassificationResult, choose_top, measure_classification
from darkparse.model.darknet import Darknet
from darkparse.network import Network
from darkparse.network.detection_settings import MAP_SETTINGS, DetectionSettings


class Validation:
    """Evaluates copies of a network: average precision at an IoU of 0.5, or the accuracy of a classifier.

    Attributes:
        classifies: Whether the network is a classifier.

    Args:
        network: A detector or a classifier.
        images: A `.data` file whose `valid` lists the images, a list, or a directory.
        names: Class names.

    Raises:
        DarkparseError: Labels cannot be read.
    """

    def __init__(self, network: Network, images: Path, names: Names | None = None) -> None:
        self.classifies = is_classifier(network)
        self.names = find_names(network, class_count(network, False), names)
        if self.classifies:
            self._top = choose_top(images, len(self.names))
            self._images = read_classified_images(images, read_path_labels(images, self.names))
        else:
            self._annotations = read_annotations(None, images, self.names)

    def __call__(self, model: Darknet) -> DarknetResult | ClassificationResult:
        """Evaluate a copy of a module; raise ImageError if an image cannot be read."""
        detector = Detector(copy.deepcopy(model), names=self.names)
        if not self.classifies:
            return darknet_map(self._detect_annotated(detector), len(self.names))
        settings = DetectionSettings(top=self._top)
        results = _detect(detector, [image.path for image in self._images], settings)
        pairs = zip((image.label for image in self._images), results, strict=True)
        return measure_classification(pairs, len(self.names), self._top)

    def _detect_annotated(self, detector: Detector) -> Iterator[tuple[ImageAnnotation, Detections]]:
        truths = self._annotations.truths
        results = _detect(detector, [truth.image for truth in truths], MAP_SETTINGS)
        for truth, detections in zip(truths, results, strict=True):
            yield replace(truth, size=(detections.height, detections.width)), detections


def _detect(detector: Detector, images: Sequence[Path], settings: DetectionSettings) -> Iterator[Detections]:
    """Yield the detections of each image; raise ImageError if one cannot be read."""
    for outcome in stream(detector, images, settings, batch=detector.batch):
        if isinstance(outcome.result, ImageError):
            raise outcome.result
        yield outcome.result
