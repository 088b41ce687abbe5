"""A picture to the network's input, and boxes back to the picture, with Darknet's own rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.image_files import Size
from darkparse.detect.images import Pixels

Resize = Literal["letterbox", "stretch", "crop"]
"""letterbox: all of the picture, grey around it. stretch: all of it, distorted. crop: its middle (classifiers)."""

RESIZE_MODES: tuple[Resize, ...] = get_args(Resize)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the network's input."""

    input_size: Size
    scaled_size: Size
    """What the whole picture is scaled to. A very long one comes to no height or no width: nothing of it is left."""
    offset: Size
    """Its top and left edge in the input; negative where it is cropped."""

    def to_image_boxes(self, boxes: Floats) -> Floats:
        """Boxes (B, 4: centre x, y, width, height) as fractions of the input to fractions of the picture.

        The shift is (netw - new_w)/2./netw, half a pixel off where the padding is odd (yolo_layer.c
        correct_yolo_boxes).
        """
        net, scaled = np.array(self.input_size[::-1], np.float64), np.array(self.scaled_size[::-1], np.float64)
        ratio = (scaled / net).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # of boxes near the end of float32's range
            center = ((boxes[:, :2] - (net - scaled) / 2.0 / net) / ratio).astype(np.float32)
            return np.concatenate((center, boxes[:, 2:] * (net / scaled).astype(np.float32)), 1)


def compute_placement(image: Size, net: Size, resize: Resize, *, crop_first: bool = False) -> Placement:
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


def fit_image(pixels: Pixels, net: Size, resize: Resize, *, crop_first: bool = False) -> tuple[Floats, Placement]:
    """A picture as the network's input (image.c letterbox_image, resize_image, crop_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        net: height and width of the input.
        resize: how the picture is fitted to it.
        crop_first: see `compute_placement`.

    Returns:
        (C, height, width), float32 in 0…1, and where the picture lies in it.
    """
    if resize == "crop" and crop_first:
        side = min(pixels.shape[:2])
        top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    placement = compute_placement(pixels.shape[:2], net, resize, crop_first=crop_first)
    if 0 in placement.scaled_size:
        return np.full((pixels.shape[2], *net), 0.5, np.float32), placement
    if placement.scaled_size == net:
        return resize_image(pixels, net), placement
    top, left = placement.offset
    if resize == "crop":
        scaled = resize_image(pixels, placement.scaled_size)
        # Beyond the edge the last row or column goes on (image.c crop_image).
        rows, columns = (np.arange(n) - offset for n, offset in zip(net, (top, left), strict=True))
        rows, columns = rows.clip(0, placement.scaled_size[0] - 1), columns.clip(0, placement.scaled_size[1] - 1)
        return scaled[:, rows[:, None], columns], placement
    canvas = np.full((pixels.shape[2], *net), 0.5, np.float32)
    resize_image(
        pixels,
        placement.scaled_size,
        canvas[:, top : top + placement.scaled_size[0], left : left + placement.scaled_size[1]],
    )
    return canvas, placement


def resize_image(pixels: Pixels, size: Size, out: Floats | None = None) -> Floats:
    """Separable bilinear scaling with the corners aligned, as Darknet's (image.c resize_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        size: height and width to scale to.
        out: where to put it.

    Returns:
        (C, height, width), float32 in 0…1.
    """
    rows = axis_weights(pixels.shape[0], size[0], last_is_exact=False)
    return resample(pixels, rows, axis_weights(pixels.shape[1], size[1], last_is_exact=True), out)


def resample(pixels: Pixels, rows: ResampleWeights, columns: ResampleWeights, out: Floats | None = None) -> Floats:
    """The weighted sums of two neighbours along both axes: (C, rows, columns), float32 in 0…1.

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        rows: where each row comes from.
        columns: where each column does.
        out: where to put it.
    """
    channels, width = pixels.shape[2], columns.weights.shape[1]
    out = np.empty((channels, rows.weights.shape[1], width), np.float32) if out is None else out
    # Single values are gathered faster than pixels of three, and so come out plane by plane: first neighbours, second.
    index = (columns.places[:, None] * channels + np.arange(channels)[:, None]).ravel()
    weights = np.repeat(columns.weights[:, None], channels, 1).ravel()
    source, bands, n = pixels.reshape(len(pixels), -1), _split_bands(rows), channels * width
    max_lines = max((len(band.lines) for band in bands), default=0)
    buffers = (
        np.empty((max_lines, 2 * n), pixels.dtype),
        np.empty((max_lines, 2 * n), np.float32),
        np.empty((max_lines, n), np.float32),
    )
    pair_buffer = np.empty((2, BAND_ROWS, n), np.float32)
    for band in bands:
        gathered, mixed, lines = (array[: len(band.lines)] for array in buffers)
        source[band.lines].take(index, 1, gathered, "clip")
        np.copyto(mixed, gathered)
        if pixels.dtype == np.uint8:
            mixed /= np.float32(255)
        mixed *= weights
        np.add(mixed[:, :n], mixed[:, n:], lines)
        pairs = pair_buffer[:, : band.places.shape[1]]
        for target, places in zip(pairs, band.places, strict=True):
            lines.take(places, 0, target, "clip")
        pairs *= band.weights
        first, second = pairs.reshape(2, -1, channels, width).swapaxes(1, 2)
        np.add(first, second, out[:, band.rows])
    return out


BAND_ROWS = 32
"""Rows of the result that are made at once: what they need stays in the caches, and in memory that is there."""


@dataclass(frozen=True, slots=True)
class _Band:
    """Some rows of the result, and what they come from."""

    rows: slice
    lines: NDArray[np.intp]
    """The rows that are needed, each once."""
    places: NDArray[np.intp]
    """(2, n): which of the lines are a row's two neighbours."""
    weights: Floats
    """(2, n, 1): theirs."""


@lru_cache(maxsize=64)
def _split_bands(row_weights: ResampleWeights) -> list[_Band]:
    bands = []
    for top in range(0, row_weights.weights.shape[1], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        lines, places = np.unique(row_weights.places[:, rows], return_inverse=True)
        bands.append(_Band(rows, lines, places.reshape(2, -1), row_weights.weights[:, rows, None]))
    return bands


@dataclass(frozen=True, slots=True, eq=False)
class ResampleWeights:
    """The two neighbours of each new position, and their weights: (2, n)."""

    places: NDArray[np.intp]
    weights: Floats


@lru_cache(maxsize=256)
def axis_weights(in_size: int, out_size: int, *, last_is_exact: bool) -> ResampleWeights:
    """Where the values of an axis come from.

    Along the width the last column is the picture's last. Along the height Darknet computes the last row's place like
    any other's, in float32, and leaves its second neighbour out: where rounding puts the place just above the last row,
    that row comes out almost black (image.c:1223-1231), and here too.
    """
    scale = np.float32(in_size - 1) / np.float32(out_size - 1) if out_size > 1 else np.float32(0)
    place = np.arange(out_size, dtype=np.float32) * scale
    first = place.astype(np.intp)
    if in_size == 1:
        first[:] = 0
    fraction = place - first.astype(np.float32)
    weights = np.stack((1 - fraction, fraction))
    if last_is_exact or out_size == 1:
        first[-1], weights[:, -1] = (in_size - 1 if last_is_exact else 0), (1, 0)
    else:
        weights[1, -1] = 0
    return ResampleWeights(np.stack((first, first + 1)).clip(0, in_size - 1), weights)
