"""Drawing of boxes and labels on images."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from colorsys import hsv_to_rgb
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
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
LIST_MARGIN = 4
"""Distance of a classifier's results from the left and top edges, in pixels."""
QUALITY = 92
"""Quality of drawings in lossy formats, in percent."""


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
        _draw_list(drawing, detections, font)
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
    x = round(min(corner[0], max(occupied.shape[1] - width, 0)))
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
    left, top, right, bottom = font.getbbox(text)
    label: PillowImage = pillow.new("RGB", (math.ceil(right - left) + 7, math.ceil(bottom - top) + 7), color)
    ImageDraw.Draw(label).text((3 - left, 3 - top), text, font=font, fill=text_color(color))
    return label


def _draw_list(drawing: PillowImage, detections: Sequence[Detection], font: Font) -> None:
    """Draw a classifier's results, one below the other."""
    y = LIST_MARGIN
    for detection in detections:
        label = _render_label(f"{detection.score * 100:5.2f}% {detection.name}", BLACK, font)
        drawing.paste(label, (LIST_MARGIN, y))
        y += label.height - 1


def class_color(class_id: int) -> Color:
    """Return a color for each class; the hues are a golden angle apart, so that adjacent classes differ."""
    hue = (151.2 + 137.507764 * class_id) / 360
    red, green, blue = hsv_to_rgb(hue, 0.85, 0.7 if class_id % 2 else 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_color(background: Color) -> Color:
    """Return black or white, whichever contrasts with a color (WCAG relative luminance).

    WCAG's curve is linear near 0, which makes no difference where the contrasts are equal.
    """
    red, green, blue = (((channel / 255 + 0.055) / 1.055) ** 2.4 for channel in background)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else WHITE


@lru_cache
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
    ".jpg": {"quality": QUALITY},
    ".jpeg": {"quality": QUALITY},
    ".webp": {"quality": QUALITY},
    ".png": {"compress_level": 3},
}
