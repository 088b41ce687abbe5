"""Single errors of a detector, with boxes, as data and as drawings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from darkparse.datasets.annotations import ImageAnnotation
from darkparse.datasets.labels import Box
from darkparse.detect.detections import Detections
from darkparse.detect.drawing import BLACK, Color, draw_label, load_font, open_for_drawing
from darkparse.evaluation.error_analysis import KINDS, NO_ERROR, NO_OBJECT, ErrorAnalysis, ErrorKind

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MIN_DRAWN_SIDE = 480
"""Images with a shorter side are enlarged for drawing, so that labels are legible."""
COLORS: dict[ErrorKind, Color] = {
    ErrorKind.CONFUSED: (230, 159, 0),
    ErrorKind.BADLY_PLACED: (86, 180, 233),
    ErrorKind.BOTH: (204, 121, 167),
    ErrorKind.DUPLICATE: (240, 228, 66),
    ErrorKind.BACKGROUND: (213, 94, 0),
    ErrorKind.MISSED: (255, 255, 255),
}
"""Colors that people with color blindness can distinguish (Okabe and Ito)."""
RIGHT_COLOR: Color = (0, 158, 115)
DASH = 6
"""Length of the dashes around an object, in pixels."""


@dataclass(frozen=True, slots=True)
class ObjectBox:
    """An annotated object."""

    name: str
    box: Box


@dataclass(frozen=True, slots=True)
class DetectionError:
    """An error: a false detection, or a missed object."""

    kind: ErrorKind
    name: str
    """Class of the detection, or of the missed object."""
    box: Box
    score: float | None = None
    """Score of the detection; None for a missed object."""
    target: ObjectBox | None = None
    """Object that a false detection is about."""
    iou: float = 0.0
    """IoU of detection and object."""

    @property
    def text(self) -> str:
        """Label on a drawing."""
        if self.score is None:
            return f"missed {self.name}"
        text, target = f"{self.name} {self.score * 100:.0f}%", self.target.name if self.target else ""
        return {
            ErrorKind.CONFUSED: f"{text}: is {target}",
            ErrorKind.BADLY_PLACED: f"{text}: IoU {self.iou:.2f}",
            ErrorKind.BOTH: f"{text}: is {target}, IoU {self.iou:.2f}",
            ErrorKind.DUPLICATE: f"{text}: duplicate",
        }.get(self.kind, f"{text}: background")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; boxes are center x, center y, width, height as fractions of the image."""
        values: dict[str, Any] = {"kind": str(self.kind), "name": self.name, "score": self.score, "box": list(self.box)}
        target = None
        if self.target is not None:
            target = {"name": self.target.name, "box": list(self.target.box), "iou": round(self.iou, 6)}
        return values | {"object": target}


@dataclass(frozen=True, slots=True)
class ImageErrors:
    """Errors in one image, and the boxes of its true detections."""

    truth: ImageAnnotation
    detections: Detections
    errors: tuple[DetectionError, ...]
    right: tuple[Box, ...]


def list_errors(
    analysis: ErrorAnalysis, pairs: Sequence[tuple[ImageAnnotation, Detections]], names: Sequence[str]
) -> Iterator[ImageErrors]:
    """Yield the errors over the score threshold of each image that has any, best score first, missed objects last.

    Args:
        analysis: Result of `analyze_errors` for these pairs.
        pairs: Images, each with its detections.
        names: Name of each class of the network.
    """
    is_counted, is_missed = analysis.is_counted, analysis.is_missed
    objects = [
        ObjectBox(names[label], tuple(box))
        for truth, _ in pairs
        for label, box in zip(truth.classes.tolist(), truth.boxes.tolist(), strict=True)
    ]
    first, first_object = 0, 0
    for truth, detections in pairs:
        errors: list[DetectionError] = []
        right: list[Box] = []
        for row, one in enumerate(detections, start=first):
            if is_counted[row] and analysis.kinds[row] == NO_ERROR:
                right.append(one.box)
            elif is_counted[row]:
                number = int(analysis.targets[row])
                target = objects[number] if number != NO_OBJECT else None
                kind, iou = KINDS[analysis.kinds[row]], float(analysis.target_overlaps[row])
                errors.append(DetectionError(kind, one.name, one.box, one.score, target, iou))
        errors.sort(key=lambda error: -(error.score or 0))
        missed = np.flatnonzero(is_missed[first_object : first_object + len(truth.classes)]) + first_object
        errors += [DetectionError(ErrorKind.MISSED, objects[number].name, objects[number].box) for number in missed]
        if errors:
            yield ImageErrors(truth, detections, tuple(errors), tuple(right))
        first, first_object = first + len(detections), first_object + len(truth.classes)


def draw_errors(image: ImageErrors) -> PillowImage:
    """Draw the errors of an image in the colors of their kinds; objects are dashed, true detections thin and green.

    Raises:
        ImageError: The image can no longer be read.
    """
    from PIL import ImageDraw

    size = (image.detections.height, image.detections.width)
    drawing = open_for_drawing(image.truth.image, size, apply_exif=image.detections.orientation != 1)
    factor = -(-MIN_DRAWN_SIDE // min(drawing.size))
    drawing = drawing.resize((drawing.width * factor, drawing.height * factor))
    canvas, font = ImageDraw.Draw(drawing), load_font(max(round(min(drawing.size) * 0.025), 13))
    width = max(round(min(drawing.size) * 0.004), 2)
    for box in image.right:
        canvas.rectangle(_to_pixels(box, drawing), outline=RIGHT_COLOR, width=1)
    for error in reversed(image.errors):
        color = COLORS[error.kind]
        if error.target is not None:
            _draw_dashed(canvas, _to_pixels(error.target.box, drawing), color, width)
        if error.kind is ErrorKind.MISSED:
            _draw_dashed(canvas, _to_pixels(error.box, drawing), color, width)
        else:
            canvas.rectangle(_to_pixels(error.box, drawing), outline=color, width=width)
    occupied = np.zeros(drawing.size[::-1], np.bool_)
    for error in image.errors:
        corner = _to_pixels(error.box, drawing)[:2]
        draw_label(drawing, error.text, corner, COLORS[error.kind], font, occupied)
    return drawing


def _to_pixels(box: Box, drawing: PillowImage) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom in pixels, clipped to the drawing."""
    x, y, w, h = box
    left, right = (min(max(at * drawing.width, 0), drawing.width - 1) for at in (x - w / 2, x + w / 2))
    top, bottom = (min(max(at * drawing.height, 0), drawing.height - 1) for at in (y - h / 2, y + h / 2))
    return left, top, right, bottom


def _draw_dashed(canvas: Any, corners: tuple[float, float, float, float], color: Color, width: int) -> None:
    """Draw a dashed rectangle on a dark ground, which is visible on any image."""
    canvas.rectangle(corners, outline=BLACK, width=width)
    for axis in (0, 1):
        at, end = corners[axis], corners[axis + 2]
        while at < end:
            stop = min(at + DASH, end)
            for side in corners[1 - axis :: 2]:
                line = (side, at, side, stop) if axis else (at, side, stop, side)
                canvas.line(line, fill=color, width=width)
            at += 2 * DASH
