"""Detection in any number of images with constant memory: several threads, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from darkparse._utils.cores import count_cores
from darkparse.detect.detections import Detections
from darkparse.detect.images import Pixels
from darkparse.errors import ImageError

if TYPE_CHECKING:
    from darkparse.detect.candidates import PreparedImage
    from darkparse.detect.engines.engine import Engine
    from darkparse.network.detection_settings import DetectionSettings

MAX_WORKERS = 8
"""Maximum number of workers: each needs memory for activations, so more cores give each worker more threads instead."""


class ImageDetector(Protocol):
    """Part of `Detector` that a stream uses."""

    engine: Engine
    is_stateful: bool

    def prepare(self, image: Any, settings: DetectionSettings = ..., *, keep_pixels: bool = False) -> PreparedImage: ...

    def run(
        self, prepared: Sequence[PreparedImage], settings: DetectionSettings, *, continuing: bool = False
    ) -> list[Detections]: ...


@dataclass(frozen=True, slots=True)
class Result:
    """Result for one image."""

    source: Any
    """The image as given: a path, an array, …"""
    result: Detections | ImageError
    pixels: Pixels | None = None
    """(H, W, C), if requested."""


def stream(
    detector: ImageDetector,
    images: Iterable[Any],
    settings: DetectionSettings,
    *,
    batch: int,
    workers: int | None = None,
    keep_pixels: bool = False,
    continuing: bool = False,
) -> Iterator[Result]:
    """Yield the results of images in order; an image that cannot be read yields its error.

    Each worker reads a batch, fits it to the network's input, runs it and decodes it. The cores are divided among the
    workers, which is faster than running one batch at a time on all cores, because no core waits for another. At most
    one batch more than there are workers is in memory.

    Args:
        detector: Detector to run.
        images: Images as for `Detector.detect`; consumed on demand.
        settings: Thresholds.
        batch: Number of images per batch.
        workers: Number of threads; by default one per core, at most 8. A recurrent network uses one.
        keep_pixels: Keep the images' pixels for drawing.
        continuing: The images are frames of a video.
    """
    source = iter(images)
    workers = 1 if detector.is_stateful else workers or min(count_cores(), MAX_WORKERS)

    def run_batch(batch_images: list[Any]) -> list[Result]:
        return _run_batch(detector, batch_images, settings, keep_pixels=keep_pixels, continuing=continuing)

    batches = iter(lambda: list(islice(source, batch)), [])
    first_batches = list(islice(batches, workers + 1))
    with detector.engine.share_cores(min(workers, max(1, len(first_batches)))) as initializer:
        pool = ThreadPoolExecutor(workers, "darkparse-detect", initializer=initializer)
        try:
            pending: deque[Future[list[Result]]] = deque(
                pool.submit(run_batch, batch_images) for batch_images in first_batches
            )
            while pending:
                outcomes = pending.popleft().result()
                pending.extend(pool.submit(run_batch, batch_images) for batch_images in islice(batches, 1))
                yield from outcomes
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def run_prepared(
    detector: ImageDetector,
    prepared: Sequence[PreparedImage | ImageError],
    settings: DetectionSettings,
    *,
    continuing: bool = False,
) -> list[Detections | ImageError]:
    """Run the readable images of a batch; return a result for each image, in order."""
    readable = [image for image in prepared if not isinstance(image, ImageError)]
    detections = iter(detector.run(readable, settings, continuing=continuing))
    return [image if isinstance(image, ImageError) else next(detections) for image in prepared]


def _run_batch(
    detector: ImageDetector, images: list[Any], settings: DetectionSettings, *, keep_pixels: bool, continuing: bool
) -> list[Result]:
    prepared = [_prepare(detector, image, settings, keep_pixels) for image in images]
    results = run_prepared(detector, prepared, settings, continuing=continuing)
    return [
        Result(image, result, getattr(p, "pixels", None))
        for image, p, result in zip(images, prepared, results, strict=True)
    ]


def _prepare(
    detector: ImageDetector, image: Any, settings: DetectionSettings, keep_pixels: bool
) -> PreparedImage | ImageError:
    try:
        return detector.prepare(image, settings, keep_pixels=keep_pixels)
    except ImageError as problem:
        return problem
