"""How good a network is in the middle of its training."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from darkparse.detect.accuracy.annotations import Truth, read_annotations
from darkparse.detect.accuracy.evaluation import THRESHOLD, DarknetResult, darknet_map
from darkparse.detect.detection import Detections
from darkparse.detect.detector import Detector
from darkparse.detect.settings import DetectionSettings
from darkparse.detect.streaming import stream
from darkparse.errors import DarkparseError, ImageError
from darkparse.model.darknet import Darknet


def measure(model: Darknet, pictures: Path, names: tuple[str, ...] | None = None) -> DarknetResult:
    """Mean average precision by Darknet's rules, IoU .5, of a copy of a network as it is.

    Args:
        model: a detector in any mode, which it keeps.
        pictures: a `.data` file whose `valid` lists them, a list or a folder.
        names: of the classes.

    Raises:
        DarkparseError: a picture or its labels cannot be read, or the network detects nothing.
    """
    detector = Detector(copy.deepcopy(model), names=names)
    if detector.classifies:
        raise DarkparseError(f"{model.network.name} is a classifier: it has no boxes to measure")
    annotations = read_annotations(None, pictures, detector.names)
    settings = DetectionSettings(threshold=THRESHOLD, hierarchy=0.0)

    def found() -> Iterator[tuple[Truth, Detections]]:
        images = (truth.image for truth in annotations.truths)
        for truth, outcome in zip(
            annotations.truths, stream(detector, images, settings, batch=detector.batch), strict=True
        ):
            if isinstance(outcome.result, ImageError):
                raise outcome.result
            yield replace(truth, size=(outcome.result.height, outcome.result.width)), outcome.result

    return darknet_map(found(), len(detector.names))
