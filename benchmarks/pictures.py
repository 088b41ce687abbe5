"""End to end: a file is read, fitted to the input, run, decoded and suppressed; nothing is drawn or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Case
from benchmarks.peers import PEERS, OnTorch, OpenCV

THRESHOLD, NMS = 0.25, 0.45
END_TO_END = ("Detector on torch", "Detector on ONNX Runtime", "Detector on OpenVINO", "OpenCV")


def runner(peer: str, case: Case, paths: list[str], *, stream: bool) -> Callable[[], int]:
    """What runs over all pictures and counts the objects; they are stretched, which is OpenCV's recipe."""
    running: Any = PEERS[peer](case)
    if isinstance(running, OnTorch):
        detector = running.detector
        detector.resize = "stretch"
        if stream:
            return lambda: sum(map(len, detector.stream(paths, threshold=THRESHOLD, nms=NMS)))
        return lambda: sum(len(detector.detect(path, threshold=THRESHOLD, nms=NMS)) for path in paths)
    if stream or not isinstance(running, OpenCV) or running.gives != "boxes":
        raise SystemExit(f"{peer} has no {'stream' if stream else 'decoded boxes'}")
    return lambda: sum(with_opencv(running, case, path) for path in paths)


def with_opencv(peer: OpenCV, case: Case, path: str) -> int:
    """The recipe of OpenCV's documentation: its blobs, its network, its suppression."""
    import cv2

    dnn: Any = cv2.dnn
    image = cv2.imread(path)
    assert image is not None, path
    rows = np.concatenate(peer(dnn.blobFromImage(image, 1 / 255, (case.size, case.size), swapRB=True, crop=False)))
    at, labels = (rows[:, 5:] > THRESHOLD).nonzero()
    if not at.size:
        return 0
    boxes = rows[at, :4] * np.array([image.shape[1], image.shape[0]] * 2)
    boxes[:, :2] -= boxes[:, 2:] / 2
    scores = rows[at, 5 + labels]
    return len(dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), THRESHOLD, NMS))


def noise(folder: Path, count: int) -> list[str]:
    """Smooth colored noise as JPEG, 640×480, where there are no pictures."""
    from PIL import Image

    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        small = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=92)
    return [str(path) for path in paths]
