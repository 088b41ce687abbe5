"""Streams of images: their order, their number of workers, and how far they read ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from darkparse.detect.streaming import ImageDetector, run_prepared, stream
from darkparse.errors import ImageError
from darkparse.network.detection_settings import DetectionSettings

SETTINGS = DetectionSettings()


class EchoDetector:
    """Returns images as their detections; a negative image cannot be read."""

    is_stateful = False

    def __init__(self) -> None:
        self.engine = self
        self.shares: list[int] = []
        self.batches: list[list[int]] = []
        self.continued: list[bool] = []

    @contextmanager
    def share_cores(self, workers: int) -> Iterator[Callable[[], None]]:
        self.shares.append(workers)
        yield lambda: None

    def prepare(self, image: int, settings: DetectionSettings, *, keep_pixels: bool = False) -> int:
        if image < 0:
            raise ImageError(f"{image} is negative")
        return image

    def run(self, prepared: Sequence[int], settings: DetectionSettings, *, continuing: bool = False) -> list[int]:
        self.batches.append(list(prepared))
        self.continued.append(continuing)
        return list(prepared)


def start(detector: EchoDetector, images: Any, **options: Any) -> Iterator[Any]:
    return stream(cast("ImageDetector", detector), images, SETTINGS, **options)


@pytest.mark.parametrize(
    ("cores", "options", "images", "workers"),
    [
        (4, {}, 100, 4),
        (64, {}, 100, 8),
        (1, {}, 100, 1),
        (64, {"workers": 12}, 100, 12),
        (4, {}, 1, 1),
        (4, {}, 3, 2),  # no more workers than batches
        (4, {}, 0, 1),
    ],
)
def test_stream_shares_cores_among_its_workers(
    monkeypatch: pytest.MonkeyPatch, cores: int, options: dict[str, int], images: int, workers: int
) -> None:
    monkeypatch.setattr("darkparse.detect.streaming.count_cores", lambda: cores)
    detector = EchoDetector()
    assert [result.result for result in start(detector, range(images), batch=2, **options)] == list(range(images))
    assert detector.shares == [workers]


def test_stream_of_stateful_detector_uses_one_worker() -> None:
    detector = EchoDetector()
    detector.is_stateful = True
    list(start(detector, range(20), batch=2, workers=6))
    assert detector.shares == [1]
    assert detector.batches == [[i, i + 1] for i in range(0, 20, 2)]


def test_stream_reads_at_most_one_batch_more_than_its_workers_ahead() -> None:
    read = 0

    def count() -> Iterator[int]:
        nonlocal read
        while read < 100:
            read += 1
            yield read

    for number, result in enumerate(start(EchoDetector(), count(), batch=3, workers=2)):
        assert result.source == number + 1
        batches_done = number // 3 + 1
        assert read == min(100, 3 * (batches_done + 3))


def test_stream_yields_errors_in_their_places() -> None:
    detector = EchoDetector()
    results = list(start(detector, [1, -2, 3, -4, -5], batch=2, workers=1))
    assert [r.source for r in results] == [1, -2, 3, -4, -5]
    assert [str(r.result) for r in results] == ["1", "-2 is negative", "3", "-4 is negative", "-5 is negative"]
    assert detector.batches == [[1], [3], []]


@pytest.mark.parametrize("continuing", [False, True])
def test_stream_continues_the_state_of_a_video_only(continuing: bool) -> None:
    detector = EchoDetector()
    list(start(detector, range(4), batch=2, workers=1, continuing=continuing))
    assert detector.continued == [continuing, continuing]


def test_run_of_prepared_images_starts_from_a_fresh_state() -> None:
    detector: Any = EchoDetector()
    images: Any = [1, 2]
    assert list(run_prepared(detector, images, SETTINGS)) == images
    assert detector.continued == [False]
