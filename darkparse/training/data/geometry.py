"""Geometric augmentation with sampled parameters: transforms of images and of their boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from darkparse.datasets.image_files import Size
from darkparse.detect.images import Pixels
from darkparse.detect.preprocess import Floats, ResampleWeights, axis_weights, resample

INVALID_CENTER = np.float32(999999)
"""Center coordinate that marks an invalid box (data.c correct_boxes)."""
MIN_SIDE = 0.001
"""Minimum side of a box, as a fraction of the input (pjreddie data.c fill_truth_detection)."""

Window = tuple[slice, slice]
"""Rows and columns of the input."""
FULL_WINDOW: Window = (slice(None), slice(None))
REVERSED = slice(None, None, -1)
"""Positions of a flipped axis."""


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Placement of a whole image on a gray canvas (pjreddie data.c load_data_detection, image.c place_image)."""

    width: float
    height: float
    """Scaled size, in pixels of the input."""
    left: float
    top: float

    def render(
        self, pixels: Pixels, size: Size, *, flip: bool, window: Window = FULL_WINDOW, out: Floats | None = None
    ) -> Floats:
        """Render a window of the input.

        Args:
            pixels: (H, W, C), uint8, or float32 in [0, 1].
            size: Height and width of the input.
            flip: Flip horizontally.
            window: Rows and columns of the flipped input.
            out: Array to write to.

        Returns:
            (C, rows, columns), float32 in [0, 1].
        """
        y, x = (range(length)[positions] for length, positions in zip(size, window, strict=True))
        out = np.empty((pixels.shape[2], len(y), len(x)), np.float32) if out is None else out
        out.fill(0.5)
        rows = _bilinear_taps(pixels.shape[0], int(self.height))
        columns, left = _bilinear_taps(pixels.shape[1], int(self.width)), int(self.left)
        if flip:
            columns, left = _slice_taps(columns, REVERSED), size[1] - left - columns.weights.shape[1]
        rows, top = _clip_taps(rows, int(self.top) - y.start, len(y))
        columns, left = _clip_taps(columns, left - x.start, len(x))
        height, width = rows.weights.shape[1], columns.weights.shape[1]
        if height and width:
            resample(pixels, rows, columns, out[:, top : top + height, left : left + width])
        return out

    def move_boxes(self, boxes: Floats, size: Size, shape: Size, *, flip: bool) -> Floats:
        """Transform boxes (K, 5) into the input; see `transform_boxes`."""
        (h, w), scale = size, np.float32
        shift = (scale(-self.left) / scale(w), scale(-self.top) / scale(h))
        return transform_boxes(boxes, shift, (scale(self.width) / scale(w), scale(self.height) / scale(h)), flip=flip)


@dataclass(frozen=True, slots=True)
class CropWindow:
    """A crop of an image that is stretched to the input, as pixels cut off from each side.

    Negative values extend the image by replicating its edge (AlexeyAB data.c load_data_detection, image.c crop_image,
    resize_image).
    """

    left: int
    top: int
    right: int
    bottom: int

    def render(
        self, pixels: Pixels, size: Size, *, flip: bool, window: Window = FULL_WINDOW, out: Floats | None = None
    ) -> Floats:
        """Render a window of the input; see `ImagePlace.render`."""
        height, width = pixels.shape[:2]
        rows = _shift_taps(
            axis_weights(height - self.top - self.bottom, size[0], last_is_exact=False), self.top, height
        )
        columns = _shift_taps(
            axis_weights(width - self.left - self.right, size[1], last_is_exact=True), self.left, width
        )
        return resample(
            pixels,
            _slice_taps(rows, window[0]),
            _slice_taps(_slice_taps(columns, REVERSED) if flip else columns, window[1]),
            out,
        )

    def move_boxes(self, boxes: Floats, size: Size, shape: Size, *, flip: bool) -> Floats:
        """Transform boxes (K, 5) into the input; see `transform_boxes`."""
        share = np.float32
        sx = share(shape[1] - self.left - self.right) / share(shape[1])
        sy = share(shape[0] - self.top - self.bottom) / share(shape[0])
        shift = (share(self.left) / share(shape[1]) / sx, share(self.top) / share(shape[0]) / sy)
        return transform_boxes(boxes, shift, (1 / sx, 1 / sy), flip=flip, drops_outside=True)

    def or_full_image(self, shape: Size) -> CropWindow:
        """Return the crop, or one of the whole image if nothing of the image would remain."""
        height, width = shape
        min_remaining = min(
            width - self.left - self.right, height - self.top - self.bottom, width - self.left, height - self.top
        )
        return self if min_remaining > 0 else CropWindow(0, 0, 0, 0)

    def letterbox(self, shape: Size, size: Size) -> CropWindow:
        """Extend the crop so that the whole image has the input's aspect ratio."""
        (height, width), aspect = shape, np.float32(size[1]) / np.float32(size[0])
        if np.float32(width) / np.float32(height) / aspect > 1:
            border = (np.float32(width) / aspect - height) / 2
            return replace(self, top=int(self.top - border), bottom=int(self.bottom - border))
        border = (np.float32(height) * aspect - width) / 2
        return replace(self, left=int(self.left - border), right=int(self.right - border))


def transform_boxes(
    boxes: Floats,
    shift: tuple[np.float32, np.float32],
    scale: tuple[np.float32, np.float32],
    *,
    flip: bool,
    drops_outside: bool = False,
) -> Floats:
    """Transform boxes from the image to the input and clip them to it (data.c correct_boxes).

    Args:
        boxes: (K, 5), center x, center y, width, height as fractions of the image, class.
        shift: Offset of x and y, subtracted after scaling.
        scale: Factor on x and y.
        flip: Flip horizontally after scaling and shifting.
        drops_outside: Mark boxes outside the image with `INVALID_CENTER`; boxes centered at 0, 0 always are.
    """
    center, half = boxes[:, :2], boxes[:, 2:4] / 2
    first, last = center - half, center + half
    is_invalid = (center == 0).all(1)
    if drops_outside:
        is_invalid |= ((last < 0) | (first > 1)).any(1)
    first, last = (side * np.array(scale, np.float32) - np.array(shift, np.float32) for side in (first, last))
    if flip:
        first[:, 0], last[:, 0] = 1 - last[:, 0], 1 - first[:, 0]
    first, last = first.clip(0, 1), last.clip(0, 1)
    out: Floats = np.concatenate(((first + last) / 2, last - first, boxes[:, 4:]), 1, dtype=np.float32)
    out[is_invalid, :4] = INVALID_CENTER
    return out


def drop_invalid(boxes: Floats, size: Size, classes: int) -> Floats:
    """Return the boxes that AlexeyAB's Darknet keeps (data.c fill_truth_detection).

    These have a known class, sides of at least one pixel and their center inside the input.
    """
    min_sides = 1 / np.array(size[::-1], np.float32)
    center, sides = boxes[:, :2], boxes[:, 2:4]
    is_valid = (boxes[:, 4] < classes) & (sides >= min_sides).all(1) & ((center > 0) & (center <= 1)).all(1)
    return boxes[is_valid]


def drop_tiny(boxes: Floats) -> Floats:
    """Return the boxes that pjreddie's Darknet keeps: those with sides of at least `MIN_SIDE`."""
    return boxes[(boxes[:, 2:4] >= MIN_SIDE).all(1)]


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the four images of a mosaic: its window, and the start of the visible part of the image."""

    window: Window
    start: tuple[int, int]
    """Row and column in the image, which has the input's size."""

    @property
    def source(self) -> Window:
        """Part of the image that is visible in the mosaic."""
        rows, columns = (slice(at, at + w.stop - w.start) for at, w in zip(self.start, self.window, strict=True))
        return rows, columns

    def place_boxes(self, boxes: Floats, size: Size, *, bound: bool) -> Floats:
        """Move the boxes (K, 5) of the image into the mosaic (data.c blend_truth_mosaic).

        Args:
            boxes: (K, 5), as fractions of the image.
            size: Height and width of the input.
            bound: Clip boxes to the tile (`mosaic_bound`) instead of the input.
        """
        sides = np.array(size[::-1], np.float32)
        shift = [(w.start - at) / n for w, at, n in zip(self.window[::-1], self.start[::-1], size[::-1], strict=True)]
        center, extent = boxes[:, :2] + np.array(shift, np.float32), boxes[:, 2:4]
        first, last = _edges(center, extent, sides)
        if bound:
            low, high = (np.array([getattr(w, end) for w in self.window[::-1]]) for end in ("start", "stop"))
            first, last = np.maximum(first, low), np.minimum(last, high)
            center, extent = (first + last).astype(np.float32) / 2 / sides, (last - first).astype(np.float32) / sides
        else:
            overflow_low = np.minimum(first, 0).astype(np.float32) / sides
            overflow_high = np.maximum(last - sides, 0) / sides
            center, extent = center - overflow_low / 2 - overflow_high / 2, extent + overflow_low - overflow_high
            first, last = _edges(center, extent, sides)
        is_inside = (first >= 0) & (last <= sides) & (center > 0) & (center < 1)
        is_valid = (is_inside & (extent > 1 / sides) & (extent < 1)).all(1)
        placed: Floats = np.concatenate((center, extent, boxes[:, 4:]), 1, dtype=np.float32)[is_valid]
        return placed


def build_tile(number: int, size: Size, center: tuple[int, int], crop: CropWindow, shape: Size, *, flip: bool) -> Tile:
    """Compute a tile of a mosaic.

    Args:
        number: Tile number, row by row from 0.
        size: Height and width of the input.
        center: Row and column where the tiles meet.
        crop: Crop of the image. Replicated edges move the visible part, so that less of them is visible.
        shape: Height and width of the image.
        flip: Whether the image is flipped horizontally.
    """
    left, right = (crop.right, crop.left) if flip else (crop.left, crop.right)
    top, bottom, left, right = (
        max(0, -n * size[axis] // shape[axis]) for n, axis in ((crop.top, 0), (crop.bottom, 0), (left, 1), (right, 1))
    )
    rows, row = build_tile_axis(size[0], center[0], top, bottom, is_second=number >= 2)
    columns, column = build_tile_axis(size[1], center[1], left, right, is_second=number % 2 == 1)
    return Tile((rows, columns), (row, column))


def build_tile_axis(
    size: int, center: int, border_before: int, border_after: int, *, is_second: bool
) -> tuple[slice, int]:
    """Return the window of a tile along an axis and the start of the image's visible part.

    The start moves by the width of the replicated edge.
    """
    if is_second:
        return slice(center, size), min(center, border_before)
    return slice(0, center), size - center - min(size - center, border_after)


def rotate_crop(
    pixels: Pixels, side: int, *, angle: float, scale: float, shift: tuple[float, float], aspect: float
) -> Floats:
    """Crop a square from a scaled and rotated image; pixels outside the image are 0 (image.c rotate_crop_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in [0, 1].
        side: Side of the square in pixels.
        angle: Rotation in radians.
        scale: Scale of the image.
        shift: Offset right and down, in pixels of the square.
        aspect: Factor on the horizontal source coordinates.

    Returns:
        (C, side, side), float32 in [0, 1].
    """
    offsets = np.arange(side, dtype=np.float32) - np.float32(side / 2)
    x, y = (
        (offsets + np.float32(shift[0])) * np.float32(aspect / scale),
        (offsets + np.float32(shift[1])) / np.float32(scale),
    )
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    height, width = pixels.shape[:2]
    columns = cos * x - sin * y[:, None] + np.float32(width / 2)
    rows = sin * x + cos * y[:, None] + np.float32(height / 2)
    left, top = np.floor(columns).astype(np.intp), np.floor(rows).astype(np.intp)
    x_fraction, y_fraction = columns - left, rows - top
    out = np.zeros((side, side, pixels.shape[2]), np.float32)
    for i, j, weight in (
        (0, 0, (1 - y_fraction) * (1 - x_fraction)),
        (1, 0, y_fraction * (1 - x_fraction)),
        (0, 1, (1 - y_fraction) * x_fraction),
        (1, 1, y_fraction * x_fraction),
    ):
        row, column = top + i, left + j
        is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        values = pixels[row.clip(0, height - 1), column.clip(0, width - 1)]
        out += values * (weight * is_inside)[..., None].astype(np.float32)
    out /= np.float32(255 if pixels.dtype == np.uint8 else 1)
    return out.transpose(2, 0, 1)


def _edges(center: Floats, extent: Floats, sides: Floats) -> tuple[Floats, Floats]:
    """Return the first and the last pixel of boxes, rounded toward zero as in C."""
    return np.trunc((center - extent / 2) * sides), np.trunc((center + extent / 2) * sides)


def _bilinear_taps(old_size: int, new_size: int) -> ResampleWeights:
    """Return bilinear weights without corner alignment; pixels after the last are 0 (image.c bilinear_interpolate)."""
    positions = np.arange(new_size, dtype=np.float32) / np.float32(new_size) * np.float32(old_size)
    first = np.floor(positions).astype(np.intp)
    fraction = positions - first.astype(np.float32)
    weights = np.stack((1 - fraction, np.where(first + 1 < old_size, fraction, 0)))
    return ResampleWeights(np.stack((first, first + 1)).clip(0, old_size - 1), weights.astype(np.float32))


def _clip_taps(taps: ResampleWeights, start: int, size: int) -> tuple[ResampleWeights, int]:
    """Return the weights of the positions inside an input of `size` pixels, and the position of the first."""
    return _slice_taps(taps, slice(max(0, -start), max(0, size - start))), max(0, start)


def _shift_taps(taps: ResampleWeights, start: int, size: int) -> ResampleWeights:
    """Convert the weights of a part that begins at `start` to those of the whole image, with replicated edges."""
    return ResampleWeights((taps.places + start).clip(0, size - 1), taps.weights)


def _slice_taps(taps: ResampleWeights, positions: slice) -> ResampleWeights:
    return ResampleWeights(taps.places[:, positions], taps.weights[:, positions])
