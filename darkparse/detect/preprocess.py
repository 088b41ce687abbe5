"""Fitting of images to the network's input, and mapping of boxes back, with Darknet's rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.image_files import Size
from darkparse.detect.images import Pixels

Resize = Literal["letterbox", "stretch", "crop"]
"""How an image is fitted: keep the aspect ratio and pad with gray, distort, or take the center (classifiers)."""

RESIZE_MODES: tuple[Resize, ...] = get_args(Resize)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placement:
    """Position of a resized image inside the network's input.

    Attributes:
        input_size: Height and width of the input, in pixels.
        scaled_size: Height and width of the resized image; 0 for an extremely long image.
        offset: Top and left edge of the image inside the input; negative if cropped.
    """

    input_size: Size
    scaled_size: Size
    offset: Size

    def to_image_boxes(self, boxes: Floats) -> Floats:
        """Convert boxes from fractions of the input to fractions of the image.

        The shift is (netw - new_w)/2./netw, half a pixel off for odd padding (yolo_layer.c correct_yolo_boxes).

        Args:
            boxes: (B, 4), center x, center y, width, height.
        """
        net, scaled = np.array(self.input_size[::-1], np.float64), np.array(self.scaled_size[::-1], np.float64)
        ratio = (scaled / net).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # boxes may be near the limits of float32
            center = ((boxes[:, :2] - (net - scaled) / 2.0 / net) / ratio).astype(np.float32)
            return np.concatenate((center, boxes[:, 2:] * (net / scaled).astype(np.float32)), 1)


def compute_placement(image: Size, net: Size, resize: Resize, *, crop_first: bool = False) -> Placement:
    """Compute the placement of an image in the network's input.

    Args:
        image: Height and width of the image.
        net: Height and width of the input.
        resize: How the image is fitted.
        crop_first: With "crop", cut out the largest square and resize it (pjreddie image.c center_crop_image), instead
            of resizing the shorter side to the input's width and cropping (AlexeyAB image.c resize_min, crop_image).
    """
    (height, width), (net_h, net_w) = image, net
    if resize == "stretch" or (resize == "crop" and crop_first):
        return Placement(net, net, (0, 0))
    if resize == "crop":
        scaled = (
            (height * net_w // width, net_w) if width < height else (net_w, width * net_w // height)
        )  # image.c resize_min
        # C rounds toward zero.
        return Placement(net, scaled, (int((net_h - scaled[0]) / 2), int((net_w - scaled[1]) / 2)))
    if np.float32(net_w) / np.float32(width) < np.float32(net_h) / np.float32(height):
        scaled = (height * net_w // width, net_w)
    else:
        scaled = (net_h, width * net_h // height)
    return Placement(net, scaled, ((net_h - scaled[0]) // 2, (net_w - scaled[1]) // 2))


def fit_image(pixels: Pixels, net: Size, resize: Resize, *, crop_first: bool = False) -> tuple[Floats, Placement]:
    """Fit an image to the network's input (image.c letterbox_image, resize_image, crop_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in [0, 1].
        net: Height and width of the input.
        resize: How the image is fitted.
        crop_first: See `compute_placement`.

    Returns:
        The input as (C, height, width), float32 in [0, 1], and the placement of the image in it.
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
        # Pixels outside the image replicate its edge (image.c crop_image).
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
    """Resize an image with Darknet's separable bilinear interpolation and aligned corners (image.c resize_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in [0, 1].
        size: Height and width of the result.
        out: Array to write to.

    Returns:
        (C, height, width), float32 in [0, 1].
    """
    rows = axis_weights(pixels.shape[0], size[0], last_is_exact=False)
    return resample(pixels, rows, axis_weights(pixels.shape[1], size[1], last_is_exact=True), out)


def resample(pixels: Pixels, rows: ResampleWeights, columns: ResampleWeights, out: Floats | None = None) -> Floats:
    """Compute weighted sums of two neighbors along both axes.

    Args:
        pixels: (H, W, C), uint8, or float32 in [0, 1].
        rows: Neighbors and weights of each row.
        columns: Neighbors and weights of each column.
        out: Array to write to.

    Returns:
        (C, rows, columns), float32 in [0, 1].
    """
    channels, width = pixels.shape[2], columns.weights.shape[1]
    out = np.empty((channels, rows.weights.shape[1], width), np.float32) if out is None else out
    # Gathering single values is faster than gathering pixels, and separates the planes: first neighbors, then second.
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
        samples, weighted, lines = (array[: len(band.lines)] for array in buffers)
        source[band.lines].take(index, 1, samples, "clip")
        np.copyto(weighted, samples)
        if pixels.dtype == np.uint8:
            weighted /= np.float32(255)
        weighted *= weights
        np.add(weighted[:, :n], weighted[:, n:], lines)
        pairs = pair_buffer[:, : band.places.shape[1]]
        for target, places in zip(pairs, band.places, strict=True):
            lines.take(places, 0, target, "clip")
        pairs *= band.weights
        first, second = pairs.reshape(2, -1, channels, width).swapaxes(1, 2)
        np.add(first, second, out[:, band.rows])
    return out


BAND_ROWS = 32
"""Rows of the result that are computed at once, so that the buffers fit into the CPU caches."""


@dataclass(frozen=True, slots=True)
class _Band:
    """Some rows of the result and the source rows that they need."""

    rows: slice
    lines: NDArray[np.intp]
    """Source rows, each once."""
    places: NDArray[np.intp]
    """(2, n), positions in `lines` of the two neighbors of each row."""
    weights: Floats
    """(2, n, 1), weights of the neighbors."""


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
    """The two neighbors of each new position and their weights, (2, n) each."""

    places: NDArray[np.intp]
    weights: Floats


@lru_cache(maxsize=256)
def axis_weights(in_size: int, out_size: int, *, last_is_exact: bool) -> ResampleWeights:
    """Compute the neighbors and weights of a resized axis.

    Along the width the last column equals the image's last. Along the height Darknet computes the last row's position
    in float32 like any other and ignores its second neighbor: if rounding places it just above the last row, that row
    is almost black (image.c:1223-1231). darkparse does the same.

    Args:
        in_size: Length of the image's axis.
        out_size: Length of the resized axis.
        last_is_exact: Whether the last position equals the image's last, as along the width.
    """
    scale = np.float32(in_size - 1) / np.float32(out_size - 1) if out_size > 1 else np.float32(0)
    place = np.arange(out_size, dtype=np.float32) * scale
    first = place.astype(np.intp)
    fraction = place - first.astype(np.float32)
    weights = np.stack((1 - fraction, fraction))
    if last_is_exact:
        first[-1], weights[:, -1] = in_size - 1, (1, 0)
    else:
        weights[1, -1] = 0
    return ResampleWeights(np.stack((first, first + 1)).clip(0, in_size - 1), weights)
