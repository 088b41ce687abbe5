"""Crops that change with the aspect ratio or leave nothing of an image, and the input sizes of `random=1`."""

from __future__ import annotations

import pytest

from darkparse.layers import DIALECTS
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.layers.training import NetTraining
from darkparse.training.data.geometry import CropWindow
from darkparse.training.data.sampling import create_generator, sample_crop, sample_size


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
