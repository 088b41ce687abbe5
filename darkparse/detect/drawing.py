"""Boxes and labels on a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darkparse._utils.files import atomic_write
from darkparse.datasets.image_files import Size, import_pillow
from darkparse.detect.detection import Detection
from darkparse.detect.images import as_image
from darkparse.errors import DarkparseError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFont import FreeTypeFont, ImageFont


Color = tuple[int, int, int]


def draw(image: Any, detections: Sequence[Detection], size: Size, *, turn: bool = False) -> PillowImage:
    """Draw boxes and labels such as `name 93%` on an RGB copy of an image; the best are drawn last, on top.

    Args:
        image: a path, a Pillow image, an array or a tensor, as `detect` takes it.
        detections: what is in it, the best first.
        size: height and width that the image must have.
        turn: whether its EXIF orientation is followed.

    Raises:
        DarkparseError: the image has another size.
    """
    pil = import_pillow()
    from PIL import ImageDraw

    pixels = as_image(image, None, turn=turn).pixels
    if pixels.shape[:2] != size:
        given = " × ".join(map(str, pixels.shape[1::-1]))
        raise DarkparseError(f"this picture has {given} pixels; the detections come from one of {size[1]} × {size[0]}")
    if pixels.dtype.kind == "f":
        pixels = (pixels.clip(0, 1) * 255).round().astype("uint8")
    picture: PillowImage = pil.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    short = min(picture.size)
    width, font = max(round(short * 0.005), 2), _font(max(round(short * 0.03), 11))
    if detections and detections[0].is_whole:
        _list(canvas, detections, font)
        return picture
    for one in reversed(detections):
        left, top, right, bottom = one.xyxy
        canvas.rectangle(
            (left, top, max(right - 1, left), max(bottom - 1, top)), outline=class_color(one.class_id), width=width
        )
    taken = np.zeros(pixels.shape[:2], np.bool_)
    for one in detections:
        _label(canvas, one, font, taken)
    return picture


def _label(canvas: Any, one: Detection, font: Any, taken: NDArray[np.bool_]) -> None:
    """Write a detection's label on its box's upper edge, or below it where a better one's label stands.

    Args:
        canvas: what is drawn on.
        one: the detection.
        font: of the label.
        taken: (H, W), where labels stand; this one is added.
    """
    text = f"{one.name} {one.score * 100:.0f}%"
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    width, height = math.ceil(right - left) + 6, math.ceil(bottom - top) + 6
    x = round(min(max(one.xyxy[0], 0), max(taken.shape[1] - width, 0)))
    y = round(one.xyxy[1] - height if one.xyxy[1] >= height else one.xyxy[1])
    while taken[y : y + height, x : x + width].any() and y + 2 * height <= taken.shape[0]:
        y += height
    taken[y : y + height, x : x + width] = True
    canvas.rectangle((x, y, x + width, y + height), fill=class_color(one.class_id))
    canvas.text((x + 3 - left, y + 3 - top), text, font=font, fill=text_color(class_color(one.class_id)))


def _list(canvas: Any, detections: Sequence[Detection], font: Any) -> None:
    """A classifier's answers, one below the other."""
    y = 4.0
    for one in detections:
        text = f"{one.score * 100:5.2f}% {one.name}"
        left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
        canvas.rectangle((4, y, 10 + right - left, y + bottom - top + 6), fill=(0, 0, 0))
        canvas.text((7 - left, y + 3 - top), text, font=font, fill=(255, 255, 255))
        y += bottom - top + 6


@lru_cache(maxsize=4096)
def class_color(class_id: int) -> Color:
    """A colour for each class: hues a golden angle apart, so that neighbours differ."""
    hue = (0.58 + class_id * 0.6180339887) % 1.0
    value = 0.95 - 0.25 * (class_id % 2)

    def channel(shift: float) -> int:
        return round(255 * (value - value * 0.85 * max(0.0, min(1.0, 2 - abs((hue * 6 + shift) % 6 - 3)))))

    return channel(0), channel(2), channel(4)


def text_color(background: Color) -> Color:
    """Black or white, whichever stands out on a colour (WCAG's relative luminance)."""
    linear = [c / 255 / 12.92 if c <= 10 else math.pow((c / 255 + 0.055) / 1.055, 2.4) for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


@lru_cache(maxsize=16)
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def save(picture: PillowImage, path: str | os.PathLike[str]) -> None:
    """Write a picture, whole or not at all."""
    target = Path(path)
    ending = target.suffix.lower()
    # Pillow says nothing where a disk takes the first part of what it writes only.
    encoded = BytesIO()
    picture.save(encoded, format=import_pillow().registered_extensions()[ending], **_QUALITY.get(ending, {}))
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as part:
        part.write_bytes(encoded.getbuffer())


_QUALITY: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 92},
    ".jpeg": {"quality": 92},
    ".webp": {"quality": 92},
    ".png": {"compress_level": 3},
}
