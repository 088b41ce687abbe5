"""Preview of training batches: images after augmentation, with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from darkparse.detect.detection import WHOLE_IMAGE, Detection
from darkparse.detect.detections import Detections
from darkparse.detect.drawing import save
from darkparse.training.data import Batch

SHORT_SIDE = 400
"""Smaller images are enlarged to about this size in pixels, so that lines and labels cover little of them."""


def write_preview(
    batch: Batch, names: Sequence[str] | None, folder: Path, first: int = 0
) -> Iterator[tuple[Path, int]]:
    """Write each image of a mini-batch as a PNG with its boxes and classes.

    Args:
        batch: A mini-batch.
        names: Class names.
        folder: Output directory; it is created if it does not exist.
        first: Number of the first image.

    Yields:
        Each file and its number of objects.
    """
    for number, (image, path) in enumerate(zip(batch.images, batch.paths, strict=True)):
        factor = max(1, SHORT_SIDE // min(image.shape[1:]))
        image = image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        height, width = image.shape[1:]
        truth = batch.truth[number]
        if truth.dim() == 2:
            objects = [(int(c), (x, y, w, h)) for x, y, w, h, c in truth.tolist()]
        else:
            objects = [(c, WHOLE_IMAGE) for c in truth.nonzero()[:, 0].tolist()]
        detections = [Detection(c, _class_name(c, names), 1.0, 1.0, box, (height, width)) for c, box in objects]
        target = folder / f"{first + number:03}-{Path(path).stem}.png"
        save(Detections(detections, height=height, width=width).draw(image), target)
        yield target, len(objects)


def _class_name(number: int, names: Sequence[str] | None) -> str:
    return names[number] if names is not None and number < len(names) else f"class {number}"
