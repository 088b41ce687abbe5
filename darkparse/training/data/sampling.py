"""What chance decides: which pictures, how each is varied, and the sizes of `random=1`.

Every draw comes from a generator that is made of the seed and of what is drawn, so that a run goes on from anywhere.
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
"""So many batches have one size (detector.c train_detector)."""
MIN_TILE_SHARE = 0.2
"""Share of the input that each tile of a mosaic has at least along a side."""
CUTMIX_RANGE = (0.3, 0.8)
"""Least and largest share of a side that `cutmix` takes from a second picture."""
SIZE_STREAM, IMAGE_STREAM = 0, 1
"""What a generator is for: the same numbers never decide two things."""


def create_generator(seed: int, *key: int) -> np.random.Generator:
    """Of a seed and of what is drawn."""
    return np.random.default_rng((seed, *key))


def sample_scale(random: np.random.Generator, maximum: float) -> float:
    """A factor from 1 to `maximum`, or one over it (utils.c rand_scale)."""
    factor = float(random.uniform(min(1, maximum), max(1, maximum)))
    return factor if random.integers(2) else 1 / factor


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """What is drawn for the colours of a picture."""

    hue: float
    saturation: float
    exposure: float
    blur: int
    """0: none. 1: behind the objects."""
    noise: int
    """Its deviation in steps of 1/255."""


def sample_colors(random: np.random.Generator, net: Augmentation) -> ColorJitter:
    """Of any picture."""
    hue = float(random.uniform(-abs(net.hue), abs(net.hue)))
    saturation, exposure = sample_scale(random, net.saturation), sample_scale(random, net.exposure)
    blur = (0, 1, net.blur)[random.integers(3)] if net.blur else 0
    noise = min(max(net.gaussian_noise, 0), 127) if net.gaussian_noise and random.integers(2) else 0
    return ColorJitter(hue, saturation, exposure, blur, noise)


def sample_place(random: np.random.Generator, shape: Size, size: Size, jitter: float) -> ImagePlace:
    """Of a picture of some shape in an input of some size (pjreddie data.c load_data_detection)."""
    height, width = (n + float(random.uniform(-1, 1)) * jitter * n for n in shape)
    aspect = width / height
    nh, nw = (float(size[0]), size[0] * aspect) if aspect < 1 else (size[1] / aspect, float(size[1]))
    left, top = (float(random.uniform(min(0, space), max(0, space))) for space in (size[1] - nw, size[0] - nh))
    return ImagePlace(nw, nh, left, top)


def sample_crop(
    random: np.random.Generator, shape: Size, size: Size, net: Augmentation, head: HeadAugmentation
) -> CropWindow:
    """Of a picture of some shape (AlexeyAB data.c load_data_detection)."""
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
    """The row and the column where a mosaic's tiles meet."""
    row, column = (int(random.integers(int(n * MIN_TILE_SHARE), int(n * (1 - MIN_TILE_SHARE)) + 1)) for n in size)
    return row, column


def sample_cutmix_window(random: np.random.Generator, size: Size) -> Window:
    """The part of an input that `cutmix` takes from a second picture (data.c load_data_augment)."""
    sides = [int(random.integers(int(n * CUTMIX_RANGE[0]), int(n * CUTMIX_RANGE[1]) + 1)) for n in size]
    top, left = (int(random.integers(max(1, n - side))) for n, side in zip(size, sides, strict=True))
    return slice(top, top + sides[0]), slice(left, left + sides[1])


def move_to_corner(crop: CropWindow, tile: int, *, flip: bool) -> CropWindow:
    """A mosaic's picture with what is cut off moved away from the corner of its tile, so that most of it shows."""
    is_left, is_top = (tile % 2 == 0) != flip, tile < 2
    total_x, total_y = crop.left + crop.right, crop.top + crop.bottom
    left, right = (0, total_x) if is_left else (total_x, 0)
    top, bottom = (0, total_y) if is_top else (total_y, 0)
    return CropWindow(left, top, right, bottom)


def sample_size(
    seed: int, batch: int, size: Size, dialect: Dialect, options: NetTraining, step: int, factor: float
) -> Size:
    """The input's size in a batch (detector.c train_detector).

    Args:
        seed: of the run.
        batch: counted from 0.
        size: the cfg's.
        dialect: whose rule it is.
        options: of `[net]`.
        step: what a size is a multiple of.
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
