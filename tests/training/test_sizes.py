"""Crops, tiles, rotations and colors beside values computed by hand, and the input sizes of `random=1`."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkparse.datasets.dataset import DatasetImage
from darkparse.detect.images import Pixels
from darkparse.detect.preprocess import Floats
from darkparse.layers import DIALECTS
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.layers.training import NetTraining
from darkparse.training.data.color import distort
from darkparse.training.data.detection_dataset import SampledTransform
from darkparse.training.data.geometry import (
    INVALID_CENTER,
    CropWindow,
    ImagePlace,
    Tile,
    build_tile,
    build_tile_axis,
    rotate_crop,
    transform_boxes,
)
from darkparse.training.data.sampling import create_generator, sample_colors, sample_crop, sample_place, sample_size
from tests.training.test_sampling import PLAIN, _detection


@pytest.mark.parametrize(("shape", "size", "crop", "expected"), [
    ((100, 400), (416, 416), (0, 0, 0, 0), (0, -150, 0, -150)),
    ((400, 100), (416, 416), (0, 0, 0, 0), (-150, 0, -150, 0)),
    ((100, 400), (208, 416), (10, 20, 30, 40), (10, -30, 30, -10)),
    ((100, 100), (208, 416), (10, 20, 30, 40), (-40, 20, -20, 40)),
    ((100, 200), (208, 416), (10, 20, 30, 40), (10, 20, 30, 40)),
    ((101, 100), (208, 416), (1, 2, 3, 4), (-50, 2, -48, 4)),  # rounded toward zero, as in C
])  # fmt: skip
def test_letterbox_extends_the_image_to_the_aspect_ratio_of_the_input(
    shape: tuple[int, int], size: tuple[int, int], crop: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert CropWindow(*crop).letterbox(shape, size) == CropWindow(*expected)


@pytest.mark.parametrize(("crop", "is_kept"), [
    ((0, 0, 0, 0), True), ((10, 5, 9, 4), True), ((10, 0, 10, 0), False), ((0, 5, 0, 5), False), ((19, 9, 0, 0), True),
    ((20, 0, -5, 0), False), ((0, 10, 0, -5), False), ((-5, -5, 24, 14), True), ((-5, 0, 25, 0), False),
])  # fmt: skip
def test_crop_of_which_nothing_would_remain_is_the_whole_image(crop: tuple[int, ...], is_kept: bool) -> None:
    expected = CropWindow(*crop) if is_kept else CropWindow(0, 0, 0, 0)
    assert CropWindow(*crop).or_full_image((10, 20)) == expected


@pytest.mark.parametrize(("net", "is_extended"), [
    (Augmentation(letter_box=True), True), (Augmentation(letter_box=True, mosaic=True), False), (Augmentation(), False),
])  # fmt: skip
def test_crop_is_extended_with_letter_box_but_not_in_a_mosaic(net: Augmentation, is_extended: bool) -> None:
    crop = sample_crop(create_generator(0), (100, 400), (416, 416), net, HeadAugmentation(jitter=0, resize=1))
    assert crop == CropWindow(0, -150 * is_extended, 0, -150 * is_extended)


@pytest.mark.parametrize(("dialect", "batch", "max_batches", "factor", "expected"), [
    ("alexeyab", 0, 2000, 1.0, {(128, 160)}), ("alexeyab", 9, 2000, 1.7, {(128, 192)}),
    ("alexeyab", 1910, 2000, 1.0, {(128, 160)}), ("alexeyab", 1909, 2000, 1.0, None), ("alexeyab", 1910, 0, 1.0, None),
    ("pjreddie", 1810, 2000, 1.0, {(608, 608)}), ("pjreddie", 1809, 2000, 1.0, None), ("pjreddie", 0, 2000, 1.0, None),
])  # fmt: skip
def test_sample_size_is_the_largest_in_the_first_and_last_batches(
    dialect: str, batch: int, max_batches: int, factor: float, expected: set[tuple[int, int]] | None
) -> None:
    """detector.c train_detector: ten batches of one size; AlexeyAB's begins with the largest too."""
    options = NetTraining(max_batches=max_batches)
    sizes = {sample_size(seed, batch, (64, 96), DIALECTS[dialect], options, 32, factor) for seed in range(40)}
    assert sizes == expected if expected else len(sizes) > 3


def test_sample_size_of_a_smaller_input_is_never_larger_than_that_of_the_cfg() -> None:
    """Darknet adds a step to every size; a small input would grow where it should shrink."""
    options = NetTraining()
    sizes = [sample_size(0, 10 * i, (32, 32), DIALECTS["alexeyab"], options, 32, 1.4) for i in range(1, 101)]
    assert set(sizes) == {(32, 32), (64, 64)}
    assert 30 < sizes.count((32, 32)) < 70
    sizes = [sample_size(0, 10 * i, (32, 320), DIALECTS["alexeyab"], options, 32, 1.4) for i in range(1, 101)]
    assert all((height > 32) == (width > 320) for height, width in sizes)


@pytest.mark.parametrize(("flip", "left", "right"), [(False, 10, 106), (True, 14, 110)])
def test_tile_of_a_mosaic_shows_less_of_replicated_edges(flip: bool, left: int, right: int) -> None:
    """The image of 50×100 has edges of 5, 3, 7 and 9 pixels, twice as many of the input of 100×200."""
    top, bottom = (slice(0, 40), 100 - 40 - 18), (slice(40, 100), 6)
    first, second = (slice(0, 80), right), (slice(80, 200), left)
    for number, (rows, columns) in enumerate(((top, first), (top, second), (bottom, first), (bottom, second))):
        tile = build_tile(number, (100, 200), (40, 80), CropWindow(-5, -3, -7, -9), (50, 100), flip=flip)
        assert tile.window == (rows[0], columns[0])
        assert tile.start == (rows[1], columns[1])
        assert tile.source == tuple(slice(start, start + w.stop - w.start) for w, start in (rows, columns))


@pytest.mark.parametrize(("number", "start"), [(0, (60, 120)), (3, (0, 0))])
def test_tile_of_a_cut_image_shows_its_inner_corner(number: int, start: tuple[int, int]) -> None:
    tile = build_tile(number, (100, 200), (40, 80), CropWindow(5, 3, 7, 9), (50, 100), flip=False)
    assert tile.start == start


def test_tile_shows_no_more_than_the_edges_leave() -> None:
    assert build_tile_axis(100, 30, 50, 80, is_second=True) == (slice(30, 100), 30)
    assert build_tile_axis(100, 30, 50, 80, is_second=False) == (slice(0, 30), 0)


def _rotate(pixels: Floats, side: int, angle: float, scale: float, shift: tuple[float, float], aspect: float) -> Floats:
    """image.c rotate_crop_image, pixel by pixel, with bilinear_interpolate."""
    height, width, channels = pixels.shape
    out = np.zeros((channels, side, side))
    for y, x, c in np.ndindex(side, side, channels):
        dx, dy = x - side / 2 + shift[0], y - side / 2 + shift[1]
        rx = np.cos(angle) * (dx / scale * aspect) - np.sin(angle) * (dy / scale) + width / 2
        ry = np.sin(angle) * (dx / scale * aspect) + np.cos(angle) * (dy / scale) + height / 2
        column, row = int(np.floor(rx)), int(np.floor(ry))
        for i, j in np.ndindex(2, 2):
            if 0 <= row + i < height and 0 <= column + j < width:
                weight = abs(1 - i - (ry - row)) * abs(1 - j - (rx - column))
                out[c, y, x] += weight * pixels[row + i, column + j, c]
    return out.astype(np.float32)


@pytest.mark.parametrize(("angle", "scale", "shift", "aspect"), [
    (0.3, 1.3, (0.7, -1.4), 1.2), (-1.1, 0.8, (-2.2, 0.9), 0.7),
    (0.0, 0.5, (0.0, 0.0), 1.0), (0.0, 2.0, (3.0, 2.0), 1.0),
])  # fmt: skip
def test_rotate_crop_equals_darknets_loops(
    angle: float, scale: float, shift: tuple[float, float], aspect: float
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    expected = _rotate((pixels / 255).astype(np.float32), 10, angle, scale, shift, aspect)
    for image in (pixels, (pixels / 255).astype(np.float32)):
        found = rotate_crop(image, 10, angle=angle, scale=scale, shift=shift, aspect=aspect)
        assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("hue", "saturation", "exposure"), [
    (0.2, 1.5, 1.3), (-0.3, 0.5, 0.7), (0.9, 1.0, 1.0), (0.0, 2.0, 1.0), (0.0, 1.0, 1.5), (-1.4, 1.1, 0.9),
])  # fmt: skip
def test_distort_equals_conversion_to_hsv_and_back(hue: float, saturation: float, exposure: float) -> None:
    """More rows than are computed at once, with gray, black and pure colors."""
    image = np.random.default_rng(1).random((3, 130, 2)).astype(np.float32)
    image[:, :8, 0] = np.array(list(np.ndindex(2, 2, 2)), np.float32).T
    image[:, 8, 0] = 0.5
    expected = np.zeros_like(image)
    for row, column in np.ndindex(130, 2):
        h, s, v = colorsys.rgb_to_hsv(*image[:, row, column].tolist())
        h, s, v = h + hue, s * saturation, v * exposure
        for channel, start in enumerate((5, 3, 1)):
            k = (start + h * 6) % 6
            expected[channel, row, column] = min(max(v - v * s * max(0, min(k, 4 - k, 1)), 0), 1)
    assert np.allclose(distort(image, hue, saturation, exposure), expected, atol=1e-5)


@pytest.mark.parametrize(("noise", "expected"), [(0, {0}), (30, {0, 30}), (127, {0, 127}), (300, {0, 127}), (-5, {0})])
def test_deviation_of_noise_is_at_most_127(noise: int, expected: set[int]) -> None:
    random = create_generator(0)
    assert {sample_colors(random, Augmentation(gaussian_noise=noise)).noise for _ in range(40)} == expected


@pytest.mark.parametrize(("kernel", "sides", "is_blurred"), [
    (1, (0.02, 0.02), True), (1, (), True), (0, (0.5, 0.5), False), (31, (), False), (31, (0.5, 0.5), True),
])  # fmt: skip
def test_image_is_blurred_around_its_boxes_or_as_a_whole(
    kernel: int, sides: tuple[float, ...], is_blurred: bool, tmp_path: Path
) -> None:
    """image_opencv.cpp image_data_augmentation: without boxes nothing limits the blur but their number, 0."""
    dataset, images = _detection(tmp_path, Augmentation(blur=31))
    images.pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    boxes = np.array([[0.5, 0.5, *sides, 0]] if sides else [], np.float32).reshape(-1, 5)
    random, crop = create_generator(0), CropWindow(0, 0, 0, 0)
    plain, blurred = (
        dataset._render(random, SampledTransform(images.image, images.pixels, crop, False, colors), (64, 64), boxes)
        for colors in (PLAIN, replace(PLAIN, blur=kernel))
    )
    assert (not np.array_equal(plain, blurred)) == is_blurred


@pytest.mark.parametrize(("box", "bound", "expected"), [
    ((0.25, 0.25, 0.2, 0.2), False, (0.25, 0.25, 0.2, 0.2)),
    ((0.05, 0.25, 0.2, 0.2), False, (0.075, 0.25, 0.15, 0.2)),
    ((0.0, 0.25, 0.2, 0.2), False, (0.05, 0.25, 0.1, 0.2)),
    ((0.25, 0.9375, 0.25, 0.25), False, (0.25, 0.9075, 0.25, 0.19)),
    ((0.9, 0.9, 0.2, 0.2), False, (0.9, 0.9, 0.2, 0.2)),
    ((0.1, 0.1, 0.2, 0.2), False, (0.1, 0.1, 0.2, 0.2)),
    ((0.55, 0.25, 0.2, 0.2), True, (0.525, 0.25, 0.15, 0.2)),
    ((0.25, 0.55, 0.2, 0.2), True, (0.25, 0.525, 0.2, 0.15)),
    ((0.05, 0.05, 0.2, 0.2), True, (0.075, 0.075, 0.15, 0.15)),
    ((0.7, 0.25, 0.2, 0.2), True, None),  # it begins where the tile ends
    ((-0.2, 0.25, 0.2, 0.2), False, None), ((0.25, 1.2, 0.2, 0.2), False, None),
    ((0.5, 0.5, 1, 1), False, None), ((0.5, 0.5, 0.9, 1), False, None),
    ((0.5, 0.5, 0.98, 0.98), False, (0.5, 0.5, 0.98, 0.98)),
    ((0.25, 0.25, 0.004, 0.2), False, None), ((0.25, 0.25, 0.2, 0.009), False, None),
    ((0.25, 0.25, 0.006, 0.011), False, (0.25, 0.25, 0.006, 0.011)),
])  # fmt: skip
def test_boxes_of_a_tile_are_clipped_to_the_input_or_to_the_tile(
    box: tuple[float, ...], bound: bool, expected: tuple[float, ...] | None
) -> None:
    """data.c blend_truth_mosaic: sides of more than a pixel and less than the input are kept."""
    tile = Tile((slice(0, 60), slice(0, 120)), (0, 0))
    placed = tile.place_boxes(np.array([[*box, 3]], np.float32), (100, 200), bound=bound)
    assert placed.tolist() == ([pytest.approx((*expected, 3), abs=1e-6)] if expected else [])


OUTSIDE = (float(INVALID_CENTER),) * 4


@pytest.mark.parametrize(("box", "drops_outside", "expected"), [
    ((0.5, 0.5, 0.2, 0.4), True, (0.5, 0.5, 0.2, 0.4)),
    ((-0.25, 0.5, 0.5, 0.4), True, (0, 0.5, 0, 0.4)), ((1.25, 0.5, 0.5, 0.4), True, (1, 0.5, 0, 0.4)),
    ((0.5, -0.25, 0.4, 0.5), True, (0.5, 0, 0.4, 0)), ((0.5, 1.25, 0.4, 0.5), True, (0.5, 1, 0.4, 0)),
    ((-0.3, 0.5, 0.5, 0.4), True, OUTSIDE), ((1.3, 0.5, 0.5, 0.4), True, OUTSIDE),
    ((0.5, -0.3, 0.4, 0.5), True, OUTSIDE),
    ((0.5, 1.3, 0.4, 0.5), True, OUTSIDE), ((-0.3, 0.5, 0.5, 0.4), False, (0, 0.5, 0, 0.4)),
    ((0, 0, 0.5, 0.5), False, OUTSIDE), ((0, 0.5, 0.5, 0.5), False, (0.125, 0.5, 0.25, 0.5)),
])  # fmt: skip
def test_box_outside_the_image_is_marked(
    box: tuple[float, ...], drops_outside: bool, expected: tuple[float, ...]
) -> None:
    """data.c correct_boxes: a box that only touches the edge is not outside; labels 0 0 never have a position."""
    shift, scale = (np.float32(0), np.float32(0)), (np.float32(1), np.float32(1))
    for flip in (False, True):
        boxes = np.array([[*box, 2]], np.float32)
        found = transform_boxes(boxes, shift, scale, flip=flip, drops_outside=drops_outside)
        x = expected[0] if expected == OUTSIDE or not flip else 1 - expected[0]
        assert found.tolist() == [pytest.approx((x, *expected[1:], 2), abs=1e-6)]


@pytest.mark.parametrize("flip", [False, True])
def test_boxes_of_a_crop_follow_its_pixels(flip: bool) -> None:
    """A crop of 10 to 60 of 100 columns and of -5 to 45 of 40 rows."""
    crop = CropWindow(10, -5, 40, -5)
    found = crop.move_boxes(np.array([[0.35, 0.5, 0.1, 0.25, 1]], np.float32), (64, 64), (40, 100), flip=flip)
    assert found.tolist() == [pytest.approx((0.5, 0.5, 0.2, 0.2, 1))]
    place = ImagePlace(32, 16, 8, 24)
    found = place.move_boxes(np.array([[0.25, 0.5, 0.1, 0.25, 1]], np.float32), (64, 64), (40, 100), flip=flip)
    assert found.tolist() == [pytest.approx((0.75 if flip else 0.25, 0.5, 0.05, 0.0625, 1))]


def test_square_image_fills_the_width_of_a_wide_input() -> None:
    """pjreddie data.c load_data_detection: `if (new_ar < 1) nh = h else nw = w`."""
    place = sample_place(create_generator(0), (100, 100), (64, 128), 0)
    assert (place.width, place.height, place.left) == (128, 128, 0)
    assert -64 <= place.top <= 0


@pytest.mark.parametrize(("dialect", "option"), [("alexeyab", "mosaic"), ("alexeyab", "mixup"), ("pjreddie", "mixup")])
def test_joined_sample_has_the_path_of_its_first_image(dialect: str, option: str, tmp_path: Path) -> None:
    dataset, images = _detection(tmp_path, Augmentation(**{option: True}), dialect)
    drawn: list[str] = []

    def draw(random: np.random.Generator) -> tuple[DatasetImage, Pixels]:
        drawn.append(f"{len(drawn)}.png")
        return images.image._replace(path=drawn[-1]), images.pixels

    images.draw = draw  # type: ignore[method-assign]
    joined = 0
    for number in range(8):
        first = len(drawn)
        assert dataset.sample(create_generator(number), (8, 16)).path == drawn[first]
        joined += len(drawn) - first > 1
    assert joined > 1
