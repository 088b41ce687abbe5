"""Where a picture comes to lie in the network's input, and its boxes with it, once the random numbers are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from darkparse.datasets.image_files import Size
from darkparse.detect.images import Pixels
from darkparse.detect.preprocess import Floats, ResampleWeights, axis_weights, resample

INVALID_CENTER = np.float32(999999)
"""A centre that stands for a box which is none (data.c correct_boxes)."""
MIN_SIDE = 0.001
"""Side of a box, as a share of the input (pjreddie data.c fill_truth_detection)."""

Window = tuple[slice, slice]
"""Rows and columns of the input."""
FULL_WINDOW: Window = (slice(None), slice(None))


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """A picture laid whole on grey (pjreddie data.c load_data_detection, image.c place_image)."""

    width: float
    height: float
    """What it is scaled to, in pixels of the input."""
    left: float
    top: float

    def render(self, pixels: Pixels, size: Size, *, flip: bool, window: Window = FULL_WINDOW) -> Floats:
        """A window of the input (C, *size), float32 in 0…1."""
        out = np.full((pixels.shape[2], *size), 0.5, np.float32)
        height, width = int(self.height), int(self.width)
        rows, top = _clip_taps(_bilinear_taps(pixels.shape[0], height), int(self.top), size[0])
        columns, left = _clip_taps(_bilinear_taps(pixels.shape[1], width), int(self.left), size[1])
        patch = resample(pixels, rows, columns)
        out[:, top : top + patch.shape[1], left : left + patch.shape[2]] = patch
        return out[:, :, :: -1 if flip else 1][:, window[0], window[1]]

    def move_boxes(self, boxes: Floats, size: Size, shape: Size, *, flip: bool) -> Floats:
        """See `transform_boxes`."""
        (h, w), scale = size, np.float32
        shift = (scale(-self.left) / scale(w), scale(-self.top) / scale(h))
        return transform_boxes(boxes, shift, (scale(self.width) / scale(w), scale(self.height) / scale(h)), flip=flip)


@dataclass(frozen=True, slots=True)
class CropWindow:
    """A part of a picture stretched to the input, by the pixels that are cut off each side, less than 0 where the edge
    goes on instead (AlexeyAB data.c load_data_detection, image.c crop_image, resize_image)."""

    left: int
    top: int
    right: int
    bottom: int

    def render(self, pixels: Pixels, size: Size, *, flip: bool, window: Window = FULL_WINDOW) -> Floats:
        """See `ImagePlace.render`."""
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
            _slice_taps(_slice_taps(columns, slice(None, None, -1 if flip else 1)), window[1]),
        )

    def move_boxes(self, boxes: Floats, size: Size, shape: Size, *, flip: bool) -> Floats:
        """See `transform_boxes`."""
        share = np.float32
        sx = share(shape[1] - self.left - self.right) / share(shape[1])
        sy = share(shape[0] - self.top - self.bottom) / share(shape[0])
        shift = (share(self.left) / share(shape[1]) / sx, share(self.top) / share(shape[0]) / sy)
        return transform_boxes(boxes, shift, (1 / sx, 1 / sy), flip=flip, drops_outside=True)

    def or_full_image(self, shape: Size) -> CropWindow:
        """The whole picture if nothing would be left of it."""
        height, width = shape
        min_remaining = min(
            width - self.left - self.right, height - self.top - self.bottom, width - self.left, height - self.top
        )
        return self if min_remaining > 0 else CropWindow(0, 0, 0, 0)

    def letterbox(self, shape: Size, size: Size) -> CropWindow:
        """With the edges that bring the picture to the input's aspect."""
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
    """Boxes (K, 5: centre x, y, width, height, class) where the picture now lies, cut to it (data.c correct_boxes).

    Args:
        boxes: as fractions of the picture.
        shift: of x and y after scaling, to be subtracted.
        scale: of x and y.
        flip: whether the result is mirrored.
        drops_outside: whether boxes that lie outside of the picture are `NOWHERE`, as those at 0, 0 always are.
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
    """The boxes that AlexeyAB's Darknet keeps: of a known class, a pixel large at least, with their centre inside
    (data.c fill_truth_detection)."""
    min_sides = 1 / np.array(size[::-1], np.float32)
    center, sides = boxes[:, :2], boxes[:, 2:4]
    is_valid = (boxes[:, 4] < classes) & (sides >= min_sides).all(1) & ((center > 0) & (center <= 1)).all(1)
    return boxes[is_valid]


def drop_tiny(boxes: Floats) -> Floats:
    """The boxes that pjreddie's keeps."""
    return boxes[(boxes[:, 2:4] >= MIN_SIDE).all(1)]


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the four pictures of a mosaic: where it lies, and where its own part of that size begins."""

    window: Window
    start: tuple[int, int]
    """Row and column in the picture, which has the input's size."""

    @property
    def source(self) -> Window:
        """The part of the picture that is taken."""
        rows, columns = (slice(at, at + w.stop - w.start) for at, w in zip(self.start, self.window, strict=True))
        return rows, columns

    def place_boxes(self, boxes: Floats, size: Size, *, bound: bool) -> Floats:
        """Boxes (K, 5) of the picture where they lie in the mosaic (data.c blend_truth_mosaic).

        Args:
            boxes: as fractions of the picture.
            size: of the input.
            bound: whether they are cut to the tile (`mosaic_bound`), or to the input.
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
    """A tile of a mosaic.

    Args:
        number: which, counted row by row from 0.
        size: of the input.
        center: the row and the column where the tiles meet.
        crop: what is taken of the picture. Where its edge goes on the tile begins later, so that less of that shows.
        shape: height and width of the picture.
        flip: whether it is mirrored.
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
    """A tile along an axis, and where its part of the picture begins: as much of an edge that goes on is left out."""
    if is_second:
        return slice(center, size), min(center, border_before)
    return slice(0, center), size - center - min(size - center, border_after)


def rotate_crop(
    pixels: Pixels, side: int, *, angle: float, scale: float, shift: tuple[float, float], aspect: float
) -> Floats:
    """A square of a scaled and turned picture, 0 beyond its edge (image.c rotate_crop_image).

    Args:
        pixels: (H, W, C), uint8, or float32 in 0…1.
        side: of the square.
        angle: in radians.
        scale: of the picture.
        shift: right and down, in pixels of the square.
        aspect: factor on the width.

    Returns:
        (C, side, side), float32 in 0…1.
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
    """First and last pixel, rounded towards zero as C does."""
    return np.trunc((center - extent / 2) * sides), np.trunc((center + extent / 2) * sides)


def _bilinear_taps(old_size: int, new_size: int) -> ResampleWeights:
    """Without corner alignment; beyond the last row or column lies 0 (image.c bilinear_interpolate)."""
    positions = np.arange(new_size, dtype=np.float32) / np.float32(new_size) * np.float32(old_size)
    first = np.floor(positions).astype(np.intp)
    fraction = positions - first.astype(np.float32)
    weights = np.stack((1 - fraction, np.where(first + 1 < old_size, fraction, 0)))
    return ResampleWeights(np.stack((first, first + 1)).clip(0, old_size - 1), weights.astype(np.float32))


def _clip_taps(taps: ResampleWeights, start: int, size: int) -> tuple[ResampleWeights, int]:
    """Those of the positions, of which the first lies at `start`, that lie in an input, and where they begin."""
    return _slice_taps(taps, slice(max(0, -start), max(0, size - start))), max(0, start)


def _shift_taps(taps: ResampleWeights, start: int, size: int) -> ResampleWeights:
    """Those of a part that begins at `start`, for the whole, whose edges go on."""
    return ResampleWeights((taps.places + start).clip(0, size - 1), taps.weights)


def _slice_taps(taps: ResampleWeights, positions: slice) -> ResampleWeights:
    return ResampleWeights(taps.places[:, positions], taps.weights[:, positions])
