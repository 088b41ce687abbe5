"""Drawing of boxes and labels on images."""

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

    Font = FreeTypeFont | ImageFont

Color = tuple[int, int, int]


def draw(image: Any, detections: Sequence[Detection], size: Size, *, apply_exif: bool = False) -> PillowImage:
    """Draw boxes and labels such as `name 93%` on an RGB copy of an image; the best are drawn last, on top.

    Args:
        image: A path, a Pillow image, an array or a tensor, as for `detect`.
        detections: Detections, best first.
        size: Height and width that the image must have.
        apply_exif: Apply the image's EXIF orientation.

    Raises:
        DarkparseError: The image has another size.
    """
    from PIL import ImageDraw

    drawing = open_for_drawing(image, size, apply_exif=apply_exif)
    canvas = ImageDraw.Draw(drawing)
    short_side = min(drawing.size)
    width, font = max(round(short_side * 0.005), 2), load_font(max(round(short_side * 0.03), 11))
    if detections and detections[0].is_whole:
        _draw_list(canvas, detections, font)
        return drawing
    for detection in reversed(detections):
        left, top, right, bottom = detection.xyxy
        canvas.rectangle(
            (left, top, max(right - 1, left), max(bottom - 1, top)),
            outline=class_color(detection.class_id),
            width=width,
        )
    occupied = np.zeros(size, np.bool_)
    for detection in detections:
        text = f"{detection.name} {detection.score * 100:.0f}%"
        draw_label(drawing, text, detection.xyxy[:2], class_color(detection.class_id), font, occupied)
    return drawing


def open_for_drawing(image: Any, size: Size, *, apply_exif: bool = False) -> PillowImage:
    """Return an RGB copy of an image; see `draw` for the parameters.

    Raises:
        DarkparseError: The image has another size.
    """
    pixels = as_image(image, None, apply_exif=apply_exif).pixels
    if pixels.shape[:2] != size:
        actual_size = " × ".join(map(str, pixels.shape[1::-1]))
        raise DarkparseError(
            f"wrong image size, got {actual_size} pixels; expected {size[1]} × {size[0]}, the size of the "
            f"detections' image"
        )
    if pixels.dtype.kind == "f":
        pixels = (pixels.clip(0, 1) * 255).round().astype("uint8")
    drawing: PillowImage = import_pillow().fromarray(pixels)
    return drawing


def draw_label(
    drawing: PillowImage, text: str, corner: tuple[float, float], color: Color, font: Font, occupied: NDArray[np.bool_]
) -> None:
    """Draw a label above the top edge of a box, or lower if the space is occupied.

    Args:
        drawing: RGB image to draw on.
        text: Text of the label.
        corner: Left and top of the box in pixels.
        color: Background color.
        font: Font of the label.
        occupied: (H, W), pixels covered by labels; the new label is added.
    """
    label = _render_label(text, color, font)
    width, height = label.width - 1, label.height - 1
    x = round(min(max(corner[0], 0), max(occupied.shape[1] - width, 0)))
    y = round(corner[1] - height if corner[1] >= height else corner[1])
    while occupied[y : y + height, x : x + width].any() and y + 2 * height <= occupied.shape[0]:
        y += height
    occupied[y : y + height, x : x + width] = True
    drawing.paste(label, (x, y))


@lru_cache(maxsize=1024)
def _render_label(text: str, color: Color, font: Font) -> PillowImage:
    """Render a label, one pixel larger than the space it needs; the images of a run repeat most of their labels."""
    from PIL import ImageDraw

    pillow = import_pillow()
    left, top, right, bottom = ImageDraw.Draw(pillow.new("RGB", (1, 1))).textbbox((0, 0), text, font=font)
    label: PillowImage = pillow.new("RGB", (math.ceil(right - left) + 7, math.ceil(bottom - top) + 7), color)
    ImageDraw.Draw(label).text((3 - left, 3 - top), text, font=font, fill=text_color(color))
    return label


def _draw_list(canvas: Any, detections: Sequence[Detection], font: Any) -> None:
    """Draw a classifier's results, one below the other."""
    y = 4.0
    for detection in detections:
        text = f"{detection.score * 100:5.2f}% {detection.name}"
        left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
        canvas.rectangle((4, y, 10 + right - left, y + bottom - top + 6), fill=(0, 0, 0))
        canvas.text((7 - left, y + 3 - top), text, font=font, fill=(255, 255, 255))
        y += bottom - top + 6


@lru_cache(maxsize=4096)
def class_color(class_id: int) -> Color:
    """Return a color for each class; the hues are a golden angle apart, so that adjacent classes differ."""
    hue = (0.58 + class_id * 0.6180339887) % 1.0
    value = 0.95 - 0.25 * (class_id % 2)

    def channel(shift: float) -> int:
        return round(255 * (value - value * 0.85 * max(0.0, min(1.0, 2 - abs((hue * 6 + shift) % 6 - 3)))))

    return channel(0), channel(2), channel(4)


def text_color(background: Color) -> Color:
    """Return black or white, whichever contrasts with a color (WCAG relative luminance)."""
    linear = [c / 255 / 12.92 if c <= 10 else math.pow((c / 255 + 0.055) / 1.055, 2.4) for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


@lru_cache(maxsize=16)
def load_font(size: int) -> Font:
    """Return Pillow's own font in a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def save(image: PillowImage, path: str | os.PathLike[str]) -> None:
    """Save an image atomically; the extension selects the format."""
    target = Path(path)
    suffix = target.suffix.lower()
    # Pillow does not report incomplete writes to a full disk, so the image is encoded in memory first.
    encoded = BytesIO()
    image.save(encoded, format=import_pillow().registered_extensions()[suffix], **_SAVE_OPTIONS.get(suffix, {}))
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as part:
        part.write_bytes(encoded.getbuffer())


_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 92},
    ".jpeg": {"quality": 92},
    ".webp": {"quality": 92},
    ".png": {"compress_level": 3},
}
