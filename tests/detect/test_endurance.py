"""One detector over thousands of pictures, half of them broken, and in many threads: same results, no memory kept."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import darkparse
from tests.detect.reference import picture, tiny_weights

STATUS = Path("/proc/self/statm")
PAGE = 4096
GOOD = 25
MOST = 8 << 20
"""Bytes that a process may take more after 5,000 pictures than after 1,000."""


@pytest.fixture
def detector(tmp_path: Path) -> darkparse.Detector:
    return darkparse.Detector.load(*tiny_weights(tmp_path))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Good ones, and as many that are cut, changed or something else."""
    rng, made = random.Random(7), []
    for number in range(GOOD):
        path = tmp_path / f"{number}.{('png', 'jpg')[number % 2]}"
        Image.fromarray(picture(number)).save(path)
        data = bytearray(path.read_bytes())
        broken = path.with_stem(f"broken{number}")
        if number % 3 == 0:
            broken.write_bytes(data[: rng.randrange(len(data) // 2)])
        elif number % 3 == 1:
            data[: rng.randrange(4, 40)] = rng.randbytes(20)
            broken.write_bytes(data)
        else:
            broken.write_text("<html>not found</html>")
        made += [path, broken]
    return made


def _found(detector: darkparse.Detector, path: Path) -> object:
    """What is found in a picture, or what is wrong with it."""
    try:
        return detector.detect(path, threshold=0.1).to_dict()["detections"]
    except darkparse.ImageError as problem:
        return str(problem)


def _memory() -> int:
    return int(STATUS.read_text().split()[1]) * PAGE


@pytest.mark.long
@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc: run it on Linux")
def test_detector_over_5000_images_keeps_memory_constant(detector: darkparse.Detector, pictures: list[Path]) -> None:
    first = [_found(detector, path) for path in pictures]
    assert sum(isinstance(one, str) for one in first) == GOOD
    before = 0
    for turn in range(5000 // len(pictures)):
        assert [_found(detector, path) for path in pictures] == first
        before = _memory() if turn == 1000 // len(pictures) else before
    assert _memory() - before < MOST


@pytest.mark.slow
def test_detector_in_8_threads_returns_same_results(detector: darkparse.Detector, pictures: list[Path]) -> None:
    alone = {path: _found(detector, path) for path in pictures}

    def run(seed: int) -> dict[Path, object]:
        mine = random.Random(seed).sample(pictures, len(pictures))
        return {path: _found(detector, path) for path in mine}

    with ThreadPoolExecutor(8) as pool:
        assert all(one == alone for one in pool.map(run, range(16)))
