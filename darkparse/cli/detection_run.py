"""Detection in many images with a progress bar, for `darkparse evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darkparse.cli.common import WarningPrinter, stderr
from darkparse.errors import ImageError

if TYPE_CHECKING:
    from darkparse.detect.detections import Detections
    from darkparse.detect.detector import Detector
    from darkparse.network.detection_settings import DetectionSettings


def detect_images(
    detector: Detector, images: Sequence[Path], settings: DetectionSettings, batch: int | None, warnings: WarningPrinter
) -> Iterator[tuple[int, Detections]]:
    """Yield the position and the detections of each image; skip and report images that cannot be read.

    Args:
        detector: Detector to run.
        images: Paths of the images.
        settings: Thresholds.
        batch: Number of images per batch; by default the detector's.
        warnings: Printer of warnings about images.
    """
    from rich.progress import track

    from darkparse.detect.streaming import stream

    console = stderr()
    results = stream(detector, images, settings, batch=batch or detector.batch)
    tracked = track(
        results, "detecting", total=len(images), console=console, transient=True, disable=not console.is_terminal
    )
    for position, file_result in enumerate(tracked):
        if isinstance(file_result.result, ImageError):
            console.print(str(file_result.result), style="red", soft_wrap=True)
            continue
        warnings.add(str(images[position]), file_result.result.warnings)
        yield position, file_result.result
