"""Random choices: which images are used, how each is augmented, and the input sizes of `random=1`.

Each choice uses a generator created from the seed and the key of the choice, so a run can resume at any batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darkparse.datasets.image_files import Size
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.layers.dialect import Dialect
from darkparse.layers.training import NetTraining
from darkparse.training.data.geometry import CropWindow, ImagePlace, Window

SIZE_BATCHES = 10
"""Number of consecutive batches with the same size (detector.c train_detector)."""
MIN_TILE_SHARE = 0.2
"""Minimum side of a mosaic tile, as a fraction of the input."""
CUTMIX_RANGE = (0.3, 0.8)
"""Minimum and maximum side of a `cutmix` window, as a fraction of the input."""
SIZE_STREAM, IMAGE_STREAM = 0, 1
"""First key of a generator, so that no two kinds of choices share random numbers."""


def create_generator(seed: int, *key: int) -> np.random.Generator:
    """Create a generator from a seed and the key of a choice."""
    return np.random.default_rng((seed, *key))


def sample_scale(random: np.random.Generator, maximum: float) -> float:
    """Sample a factor from 1 to `maximum`, or its reciprocal (utils.c rand_scale)."""
    factor = float(random.uniform(min(1, maximum), max(1, maximum)))
    return factor if random.integers(2) else 1 / factor


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Sampled color augmentation of an image."""

    hue: float
    saturation: float
    exposure: float
    blur: int
    """Kernel width; 0: no blur; 1: blur only the background."""
    noise: int
    """Standard deviation in steps of 1/255."""


def sample_colors(random: np.random.Generator, net: Augmentation) -> ColorJitter:
    """Sample the color augmentation of an image."""
    hue = float(random.uniform(-abs(net.hue), abs(net.hue)))
    saturation, exposure = sample_scale(random, net.saturation), sample_scale(random, net.exposure)
    blur = (0, 1, net.blur)[random.integers(3)] if net.blur else 0
    noise = min(max(net.gaussian_noise, 0), 127) if net.gaussian_noise and random.integers(2) else 0
    return ColorJitter(hue, saturation, exposure, blur, noise)


def sample_place(random: np.random.Generator, shape: Size, size: Size, jitter: float) -> ImagePlace:
    """Sample the placement of an image of `shape` in an input of `size` (pjreddie data.c load_data_detection)."""
    height, width = (n + float(random.uniform(-1, 1)) * jitter * n for n in shape)
    aspect = width / height
    nh, nw = (float(size[0]), size[0] * aspect) if aspect < 1 else (size[1] / aspect, float(size[1]))
    left, top = (float(random.uniform(min(0, space), max(0, space))) for space in (size[1] - nw, size[0] - nh))
    return ImagePlace(nw, nh, left, top)


def sample_crop(
    random: np.random.Generator, shape: Size, size: Size, net: Augmentation, head: HeadAugmentation
) -> CropWindow:
    """Sample the crop of an image of `shape` for an input of `size` (AlexeyAB data.c load_data_detection)."""
    low, high = sorted((head.resize, 1 / head.resize)) if head.resize > 0 else (1.0, 1.0)
    jitters, resizes = random.uniform(-1, 1, (2, 2)), random.random(2)
    cuts = []
    for length, jitter in zip(shape, jitters, strict=True):
        min_cut = int(length * (1 - 1 / low) / 2)
        max_cut = int(length * (1 - 1 / high) / 2) if head.resize >= 1 else 0
        jittered = [int(int(length * head.jitter) * part) for part in jitter]
        cuts.append(
            [int(cut + min_cut + (max_cut - min_cut) * part) for cut, part in zip(jittered, resizes, strict=True)]
        )
    (top, bottom), (left, right) = cuts
    crop = CropWindow(left, top, right, bottom)
    return crop.letterbox(shape, size) if net.letter_box and not net.mosaic else crop


def sample_mosaic_center(random: np.random.Generator, size: Size) -> tuple[int, int]:
    """Sample the row and column where the tiles of a mosaic meet."""
    row, column = (int(random.integers(int(n * MIN_TILE_SHARE), int(n * (1 - MIN_TILE_SHARE)) + 1)) for n in size)
    return row, column


def sample_cutmix_window(random: np.random.Generator, size: Size) -> Window:
    """Sample the window of an input that `cutmix` takes from a second image (data.c load_data_augment)."""
    sides = [int(random.integers(int(n * CUTMIX_RANGE[0]), int(n * CUTMIX_RANGE[1]) + 1)) for n in size]
    top, left = (int(random.integers(max(1, n - side))) for n, side in zip(size, sides, strict=True))
    return slice(top, top + sides[0]), slice(left, left + sides[1])


def move_to_corner(crop: CropWindow, tile: int, *, flip: bool) -> CropWindow:
    """Move a crop's cuts to the sides away from the corner of its mosaic tile, so that most of the image is visible."""
    is_left, is_top = (tile % 2 == 0) != flip, tile < 2
    total_x, total_y = crop.left + crop.right, crop.top + crop.bottom
    left, right = (0, total_x) if is_left else (total_x, 0)
    top, bottom = (0, total_y) if is_top else (total_y, 0)
    return CropWindow(left, top, right, bottom)


def sample_size(
    seed: int, batch: int, size: Size, dialect: Dialect, options: NetTraining, step: int, factor: float
) -> Size:
    """Sample the input size of a batch (detector.c train_detector).

    Args:
        seed: Random seed of the run.
        batch: Batch number, counted from 0.
        size: Height and width in the cfg.
        dialect: Darknet fork whose rule applies.
        options: Options of `[net]`.
        step: Sizes are multiples of this.
        factor: `random=` of the head.
    """
    first = batch - batch % SIZE_BATCHES
    random, is_final = (
        create_generator(seed, SIZE_STREAM, first),
        0 < options.max_batches < first + dialect.training.last_batches,
    )
    if dialect.training.square_sizes:
        side = max(dialect.training.square_sizes) if is_final else int(random.choice(dialect.training.square_sizes))
        return side, side
    factor = 1.4 if factor == 1 else factor
    ratio = factor if is_final or first == 0 else sample_scale(random, factor)
    height, width = (max(1, int(ratio * n / step + 1.5)) * step for n in size)
    return size if ratio < 1 and (width > size[1] or height > size[0]) else (height, width)
