"""Detection in image files: decoding, resizing, inference, box decoding and NMS, without drawing or writing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Case
from benchmarks.peers import PEERS, OpenCV, TorchDetector

THRESHOLD, NMS = 0.25, 0.45
END_TO_END = ("Detector on torch", "Detector on ONNX Runtime", "Detector on OpenVINO", "OpenCV")


def build_image_loop(name: str, case: Case, paths: list[str], *, stream: bool) -> Callable[[], int]:
    """Return a function that detects objects in all images and returns their number.

    Images are stretched to the input size, as in OpenCV's documentation.
    """
    peer: Any = PEERS[name](case)
    if isinstance(peer, TorchDetector):
        detector = peer.detector
        detector.resize = "stretch"
        if stream:
            return lambda: sum(map(len, detector.stream(paths, threshold=THRESHOLD, nms=NMS)))
        return lambda: sum(len(detector.detect(path, threshold=THRESHOLD, nms=NMS)) for path in paths)
    if stream or not isinstance(peer, OpenCV) or peer.output_kind != "boxes":
        raise SystemExit(f"{name} does not support {'streams' if stream else 'decoded boxes'}")
    return lambda: sum(count_objects_with_opencv(peer, case, path) for path in paths)


def count_objects_with_opencv(peer: OpenCV, case: Case, path: str) -> int:
    """Detect objects in an image as OpenCV's documentation does; return their number."""
    import cv2

    dnn: Any = cv2.dnn
    image = cv2.imread(path)
    assert image is not None, path
    rows = np.concatenate(peer(dnn.blobFromImage(image, 1 / 255, (case.size, case.size), swapRB=True, crop=False)))
    indices, labels = (rows[:, 5:] > THRESHOLD).nonzero()
    if not indices.size:
        return 0
    boxes = rows[indices, :4] * np.array([image.shape[1], image.shape[0]] * 2)
    boxes[:, :2] -= boxes[:, 2:] / 2
    scores = rows[indices, 5 + labels]
    return len(dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), THRESHOLD, NMS))


def write_noise_images(directory: Path, count: int) -> list[Path]:
    """Write JPEG images of smooth colored noise, 640×480; return their paths."""
    from PIL import Image

    paths = [directory / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        small = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=92)
    return paths
