"""Pictures a second, end to end, beside OpenCV's reader of Darknet files.

    python benchmarks/detect.py CFG WEIGHTS FOLDER [--count 60] [--rounds 5] [--threads N] [--batch 1]

Every runner reads each file, fits it to the network's input, runs it, decodes it and suppresses overlaps; nothing is
drawn or written. They take turns, round by round, so that whatever else the machine does meets all of them.
Pictures are stretched, which is what OpenCV's recipe does. Needs opencv-python-headless 4.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import darkparse
from darkparse.detect.images import find_images

THRESHOLD, NMS = 0.25, 0.45

Runner = Callable[[], int]
"""Runs over all pictures and returns how many objects it found."""


def one_by_one(detector: darkparse.Detector, paths: list[Path]) -> Runner:
    return lambda: sum(len(detector.detect(path, threshold=THRESHOLD, nms=NMS)) for path in paths)


def streamed(detector: darkparse.Detector, paths: list[Path], batch: int) -> Runner:
    return lambda: sum(map(len, detector.stream(paths, batch=batch)))


def with_opencv(cfg: str, weights: str, size: tuple[int, int], paths: list[Path]) -> Runner:
    """The recipe of OpenCV's documentation: its blobs, its network, its suppression."""
    dnn: Any = cv2.dnn
    if not hasattr(dnn, "readNetFromDarknet"):
        raise SystemExit(
            "this OpenCV no longer reads Darknet; in an environment of its own: pip install 'opencv-python-headless<5'"
        )
    net = dnn.readNetFromDarknet(cfg, weights)
    names = net.getUnconnectedOutLayersNames()

    def detect(path: Path) -> int:
        image = cv2.imread(str(path))
        assert image is not None, path
        net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, size, swapRB=True, crop=False))
        rows = np.concatenate(net.forward(names))
        at, labels = (rows[:, 5:] > THRESHOLD).nonzero()
        if not at.size:
            return 0
        boxes = rows[at, :4] * np.array([image.shape[1], image.shape[0]] * 2)
        boxes[:, :2] -= boxes[:, 2:] / 2
        scores = rows[at, 5 + labels]
        return len(cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), THRESHOLD, NMS))

    return lambda: sum(map(detect, paths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--count", type=int, default=60, help="how many pictures a round; they are taken again where there are fewer"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=1, help="how many pictures run at once in the stream")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    paths = list(islice(cycle(find_images(options.folder)), options.count))
    detector = darkparse.Detector.load(options.cfg, options.weights, resize="stretch")
    height, width = detector.input_size
    runners = {
        "OpenCV": with_opencv(options.cfg, options.weights, (width, height), paths),
        "darkparse, one by one": one_by_one(detector, paths),
        f"darkparse, stream of {options.batch}": streamed(detector, paths, options.batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    found = {name: run() for name, run in runners.items()}
    for _ in range(options.rounds):
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    print(
        f"{detector.network.name} {height}×{width}, {len(paths)} pictures, {options.threads} threads, {options.rounds} "
        "rounds"
    )
    print(f"{'':28} {'median/s':>9} {'best/s':>9} {'ratio':>7} {'objects':>8}")
    base = statistics.median(seconds["OpenCV"])
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(
            f"{name:28} {len(paths) / middle:9.1f} {len(paths) / min(taken):9.1f} {base / middle:7.2f} {found[name]:8}"
        )


if __name__ == "__main__":
    main()
