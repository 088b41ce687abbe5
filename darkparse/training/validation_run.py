"""Validation of a network during training."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from darkparse.datasets.annotations import ImageAnnotation, read_annotations
from darkparse.datasets.names import Names, find_names
from darkparse.detect.detections import Detections
from darkparse.detect.detector import Detector
from darkparse.detect.streaming import stream
from darkparse.detect.task import class_count, is_classifier
from darkparse.errors import DarkparseError, ImageError
from darkparse.evaluation.average_precision import DarknetResult, darknet_map
from darkparse.model.darknet import Darknet
from darkparse.network import Network
from darkparse.network.detection_settings import MAP_SETTINGS


class Validation:
    """Evaluates copies of a network: mean average precision by Darknet's rules, at an IoU of 0.5.

    Args:
        network: A detector.
        images: A `.data` file whose `valid` lists the images, a list, or a directory.
        names: Class names.

    Raises:
        DarkparseError: Labels cannot be read, or the network is a classifier.
    """

    def __init__(self, network: Network, images: Path, names: Names | None = None) -> None:
        if is_classifier(network):
            raise DarkparseError(f"{network.name} is a classifier: it has no boxes to measure")
        self.names = find_names(network, class_count(network, False), names)
        self._annotations = read_annotations(None, images, self.names)

    def __call__(self, model: Darknet) -> DarknetResult:
        """Evaluate a copy of a module; raise ImageError if an image cannot be read."""
        detector = Detector(copy.deepcopy(model), names=self.names)
        return darknet_map(self._detect(detector), len(self.names))

    def _detect(self, detector: Detector) -> Iterator[tuple[ImageAnnotation, Detections]]:
        truths = self._annotations.truths
        outcomes = stream(detector, (truth.image for truth in truths), MAP_SETTINGS, batch=detector.batch)
        for truth, outcome in zip(truths, outcomes, strict=True):
            if isinstance(outcome.result, ImageError):
                raise outcome.result
            yield replace(truth, size=(outcome.result.height, outcome.result.width)), outcome.result
