"""A picture to the network's input, and boxes back to the picture, with Darknet's own rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from darkparse.detect.images import Pixels

Resize = Literal["letterbox", "stretch", "crop"]
"""letterbox: all of the picture, grey around it. stretch: all of it, distorted. crop: its middle (classifiers)."""

RESIZES: tuple[Resize, ...] = get_args(Resize)

Floats = NDArray[np.float32]

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the network's input."""

    net: Size
    scaled: Size
    """What the whole picture is scaled to. A very long one comes to no height or no width: nothing of it is left."""
    offset: Size
    """Its top and left edge in the input; negative where it is cropped."""

    def undo(self, boxes: Floats) -> Floats:
        """Boxes (B, 4: centre x, y, width, height) as fractions of the input to fractions of the picture.

        The shift is (netw - new_w)/2./netw, half a pixel off where the padding is odd (yolo_layer.c
        correct_yolo_boxes).
        """
        net, scaled = np.array(self.net[::-1], np.float64), np.array(self.scaled[::-1], np.float64)
        ratio = (scaled / net).astype(np.float32)
        centre = ((boxes[:, :2] - (net - scaled) / 2.0 / net) / ratio).astype(np.float32)
        return np.concatenate((centre, boxes[:, 2:] * (net / scaled).astype(np.float32)), 1)


def place(image: Size, net: Size, resize: Resize, *, crop_first: bool = False) -> Placement:
    """Where a picture of some size lies in an input of some size.

    Args:
        image: the picture's height and width.
        net: the input's.
        resize: how it is fitted.
        crop_first: for `crop`: cut the largest square out and scale that (pjreddie image.c center_crop_image), instead
            of scaling the shorter side to the input's width and cutting then (AlexeyAB classifier.c
            predict_classifier).
    """
    (height, width), (net_h, net_w) = image, net
    if resize == "stretch" or (resize == "crop" and crop_first):
        return Placement(net, net, (0, 0))
    if resize == "crop":
        scaled = (
            (height * net_w // width, net_w) if width < height else (net_w, width * net_w // height)
        )  # image.c resize_min
        # C rounds towards zero.
        return Placement(net, scaled, (int((net_h - scaled[0]) / 2), int((net_w - scaled[1]) / 2)))
    if np.float32(net_w) / np.float32(width) < np.float32(net_h) / np.float32(height):
        scaled = (height * net_w // width, net_w)
    else:
        scaled = (net_h, width * net_h // height)
    return Placement(net, scaled, ((net_h - scaled[0]) // 2, (net_w - scaled[1]) // 2))


def fit(pixels: Pixels, net: Size, resize: Resize, *, crop_first: bool = False) -> tuple[Floats, Placement]:
    """A picture as the network's input (image.c letterbox_image, resize_image, crop_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        net: height and width of the input.
        resize: how the picture is fitted to it.
        crop_first: see `place`.

    Returns:
        (C, height, width), float32 in 0…1, and where the picture lies in it.
    """
    if resize == "crop" and crop_first:
        side = min(pixels.shape[:2])
        top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    placement = place(pixels.shape[:2], net, resize, crop_first=crop_first)
    if 0 in placement.scaled:
        return np.full((pixels.shape[2], *net), 0.5, np.float32), placement
    scaled = resize_image(pixels, placement.scaled)
    if placement.scaled == net:
        return scaled, placement
    top, left = placement.offset
    if resize == "crop":
        # Beyond the edge the last row or column goes on (image.c crop_image).
        rows, columns = (np.arange(n) - at for n, at in zip(net, (top, left), strict=True))
        rows, columns = rows.clip(0, placement.scaled[0] - 1), columns.clip(0, placement.scaled[1] - 1)
        return scaled[:, rows[:, None], columns], placement
    boxed = np.full((scaled.shape[0], *net), 0.5, np.float32)
    boxed[:, top : top + placement.scaled[0], left : left + placement.scaled[1]] = scaled
    return boxed, placement


def resize_image(pixels: Pixels, size: Size) -> Floats:
    """Separable bilinear scaling with the corners aligned, as Darknet's (image.c resize_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        size: height and width to scale to.

    Returns:
        (C, height, width), float32 in 0…1.
    """
    rows = axis_taps(pixels.shape[0], size[0], last_is_exact=False)
    return resample(pixels, rows, axis_taps(pixels.shape[1], size[1], last_is_exact=True))


STRIP = 32
"""Rows that are computed at once: what lies between stays in the processor's cache."""


def resample(pixels: Pixels, rows: Taps, columns: Taps) -> Floats:
    """The weighted sums of two neighbours along both axes: (C, rows, columns), float32 in 0…1.

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        rows: where each row comes from.
        columns: where each column does.
    """
    channels = pixels.shape[2]
    # Single values are gathered faster than pixels of three, and so come out plane by plane.
    left, right = (
        (place * channels + np.arange(channels)[:, None]).ravel() for place in (columns.first, columns.second)
    )
    weights = np.tile(columns.weights, channels)
    out = np.empty((channels, len(rows.first), len(columns.first)), np.float32)
    for start in range(0, len(rows.first), STRIP):
        strip = slice(start, start + STRIP)
        needed, place_of = np.unique((rows.first[strip], rows.second[strip]), return_inverse=True)
        first, second = place_of.reshape(2, -1)
        part = _mix(pixels[needed].reshape(len(needed), -1), left, right, weights, axis=1)
        lines = _mix(part, first, second, rows.weights[:, strip, None], axis=0)
        out[:, strip] = lines.reshape(len(first), channels, -1).swapaxes(0, 1)
    return out


def _mix(values: Pixels, first: NDArray[np.intp], second: NDArray[np.intp], weights: Floats, axis: int) -> Floats:
    """The weighted sum of two neighbours along an axis, in float32."""
    out, other = (_scaled(values.take(index, axis)) for index in (first, second))
    out *= weights[0]
    other *= weights[1]
    out += other
    return out


def _scaled(values: Pixels) -> Floats:
    return np.divide(values, np.float32(255), dtype=np.float32) if values.dtype == np.uint8 else values


@dataclass(frozen=True, slots=True)
class Taps:
    """The two neighbours of each new position and their weights (2, n)."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    weights: Floats


@lru_cache(maxsize=256)
def axis_taps(before: int, after: int, *, last_is_exact: bool) -> Taps:
    """Where the values of an axis come from.

    Along the width the last column is the picture's last. Along the height Darknet computes the last row's place like
    any other's, in float32, and leaves its second neighbour out: where rounding puts the place just above the last row,
    that row comes out almost black (image.c:1223-1231), and here too.
    """
    scale = np.float32(before - 1) / np.float32(after - 1) if after > 1 else np.float32(0)
    place = np.arange(after, dtype=np.float32) * scale
    first = place.astype(np.intp)
    if before == 1:
        first[:] = 0
    fraction = place - first.astype(np.float32)
    weights = np.stack((1 - fraction, fraction))
    if last_is_exact or after == 1:
        first[-1], weights[:, -1] = (before - 1 if last_is_exact else 0), (1, 0)
    else:
        weights[1, -1] = 0
    first = first.clip(0, before - 1)
    return Taps(first, (first + 1).clip(0, before - 1), weights)
