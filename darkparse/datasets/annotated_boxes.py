"""Boxes and sizes of annotation files, checked as they are read."""

from __future__ import annotations

from darkparse.datasets.image_files import Size
from darkparse.datasets.labels import Box
from darkparse.diagnostics.source import quote_safe

Row = tuple[int, Box, bool]
"""An object: its class, its box as fractions of the image, and whether a detector may miss it."""

MAX_OVERHANG = 10.0
"""Largest plausible coordinate or side of a box, in multiples of the image size."""

MAX_SIDE = 10**6
"""Maximum height and width of an image in pixels."""


def check_size(height: object, width: object, name: str) -> Size:
    """Return an image size; raise ValueError if it is invalid."""
    if not (type(height) is int and type(width) is int and 0 < min(height, width) <= max(height, width) <= MAX_SIDE):
        raise ValueError(
            f"invalid size of {name}, got {quote_safe(str(height))}×{quote_safe(str(width))}; expected "
            f"1 to {MAX_SIDE} pixels"
        )
    return height, width


def check_box(box: Box, name: str, text: str) -> Box:
    """Return a box in fractions of the image; raise ValueError with its original `text` if it is invalid."""
    if not (all(-MAX_OVERHANG <= number <= MAX_OVERHANG for number in box) and all(number >= 0 for number in box[2:])):
        raise ValueError(
            f"{name}, got {quote_safe(text)}; expected finite numbers, a positive size and a place in or near the image"
        )
    return box
