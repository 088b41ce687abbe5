"""2,000 draws of each random choice, beside Darknet's ranges, and what is done with the values drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse.datasets.dataset import DatasetImage
from darkparse.detect.images import Pixels
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.training.data import classification_dataset, detection_dataset
from darkparse.training.data.classification_dataset import ClassificationDataset
from darkparse.training.data.color import blur
from darkparse.training.data.detection_dataset import DetectionDataset, SampledTransform
from darkparse.training.data.geometry import CropWindow, ImagePlace, rotate_crop
from darkparse.training.data.sampling import (
    ColorJitter,
    create_generator,
    sample_colors,
    sample_crop,
    sample_cutmix_window,
    sample_mosaic_center,
    sample_place,
)

DRAWS = 2000
HALF = pytest.approx(DRAWS / 2, abs=4.5 * (DRAWS / 4) ** 0.5)
"""Half of the draws, within 4.5 standard deviations."""
QUARTER = pytest.approx(DRAWS / 4, abs=4.5 * (DRAWS * 3 / 16) ** 0.5)
HEAD = "[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nclasses=2\nanchors=4,4\n"
PLAIN = ColorJitter(hue=0, saturation=1, exposure=1, blur=0, noise=0)


class OneImage:
    """Stands in for the images of a list: the same pixels for every draw, which are counted."""

    def __init__(self, pixels: Pixels, label: Path) -> None:
        self.pixels, self.count = pixels, 0
        self.image = DatasetImage("class0.png", str(label), 1)

    def draw(self, random: np.random.Generator) -> tuple[DatasetImage, Pixels]:
        self.count += 1
        return self.image, self.pixels


def _detection(
    folder: Path, net: Augmentation, dialect: str = "alexeyab", jitter: float = 0.3
) -> tuple[DetectionDataset, OneImage]:
    (folder / "x.txt").write_text("0 .5 .5 .5 .5\n")
    network = darkparse.compile(f"[net]\nwidth=16\nheight=8\nchannels=3\n{HEAD}", dialect=dialect)
    images: Any = OneImage(np.full((12, 20, 3), 128, np.uint8), folder / "x.txt")
    return DetectionDataset(network, images, net, HeadAugmentation(jitter=jitter, max=200)), images


def _record_kernels(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[int]:
    """Replace the module's `blur` with one that only records the kernel."""
    kernels: list[int] = []

    def record(image: Any, kernel: int) -> Any:
        kernels.append(kernel)
        return image

    monkeypatch.setattr(module, "blur", record)
    return kernels


def _spread(values: Any, low: float, high: float) -> bool:
    """Return whether values lie in a range, reach within 1 % of its ends, and have its middle as their mean."""
    values, slack = np.asarray(values, float), 0.01 * (high - low)
    is_inside = low <= values.min() <= low + slack and high - slack <= values.max() <= high
    return bool(is_inside and abs(values.mean() - (low + high) / 2) < 5 * (high - low) / (12 * len(values)) ** 0.5)


@pytest.mark.parametrize(
    ("mosaic", "mixup", "images"),
    [
        (False, False, {1}),
        pytest.param(True, False, {1, 4}, marks=pytest.mark.slow),
        (False, True, {1, 2}),
        (True, True, {1, 4}),
    ],
)
def test_sample_joins_images_in_half_of_the_draws(
    mosaic: bool, mixup: bool, images: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, list_ = _detection(tmp_path, Augmentation(mosaic=mosaic, mixup=mixup))
    no_boxes = np.empty((0, 5), np.float32)
    monkeypatch.setattr(dataset, "_render", lambda *_: np.float32(0))  # only the choices are of interest
    monkeypatch.setattr(dataset, "_read_boxes", lambda *_: no_boxes)
    random, counts = create_generator(1), []
    for _ in range(DRAWS):
        before = list_.count
        dataset.sample(random, (8, 16))
        counts.append(list_.count - before)
    assert set(counts) == images
    assert len(images) == 1 or counts.count(1) == HALF


@pytest.mark.parametrize(("dialect", "net"), [
    ("alexeyab", Augmentation(mosaic=True, blur=1, hue=0.1)),
    ("alexeyab", Augmentation(mixup=True, gaussian_noise=20, saturation=1.5)),
    ("alexeyab", Augmentation(flip=False, blur=7)), ("pjreddie", Augmentation(hue=0.1, exposure=1.5)),
])  # fmt: skip
def test_sample_fills_every_value_of_a_given_array(dialect: str, net: Augmentation, tmp_path: Path) -> None:
    detection, images = _detection(tmp_path, net, dialect)
    images.pixels = np.random.default_rng(2).integers(0, 256, images.pixels.shape).astype(np.uint8)
    for dataset in (detection, _classification(net, dialect)):
        for number in range(12):
            expected = dataset.sample(create_generator(3, number), (8, 16))
            out = np.full((3, 8, 16), np.nan, np.float32)
            sample = dataset.sample(create_generator(3, number), (8, 16), out)
            assert sample.image is out
            assert np.array_equal(out, expected.image)
            assert np.array_equal(sample.truth, expected.truth)


def test_mixup_sample_is_mean_of_two_images_with_boxes_of_both(tmp_path: Path) -> None:
    dataset, images = _detection(tmp_path, Augmentation(mixup=True, flip=False), jitter=0)
    shades = iter([40, 80] * 20)

    def draw(random: np.random.Generator) -> tuple[DatasetImage, Pixels]:
        return images.image, np.full((8, 16, 3), next(shades), np.uint8)

    images.draw = draw  # type: ignore[method-assign]
    samples = [dataset.sample(create_generator(2, n), (8, 16)) for n in range(8)]
    mixed = [sample for sample in samples if len(sample.truth) == 2]
    assert mixed
    assert all(np.allclose(sample.image, 60 / 255, atol=1e-6) for sample in mixed)


@pytest.mark.parametrize(
    ("dialect", "flip", "mirrored"),
    [("alexeyab", True, HALF), ("alexeyab", False, 0), ("pjreddie", True, HALF)],
)
def test_sample_mirrors_half_of_the_images(dialect: str, flip: bool, mirrored: object, tmp_path: Path) -> None:
    dataset, _ = _detection(tmp_path, Augmentation(flip=flip), dialect)
    random = create_generator(3)
    assert sum(dataset._sample_transform(random, (8, 16)).flip for _ in range(DRAWS)) == mirrored


def test_sample_crop_jitter_moves_each_side_within_its_own_range() -> None:
    random, head = create_generator(4), HeadAugmentation(jitter=0.2)
    crops = [sample_crop(random, (1000, 4000), (416, 416), Augmentation(), head) for _ in range(DRAWS)]
    for side, limit in (("top", 200), ("bottom", 200), ("left", 800), ("right", 800)):
        assert _spread([getattr(crop, side) for crop in crops], -limit, limit)
    assert (
        abs(np.corrcoef([(crop.left, crop.right, crop.top, crop.bottom) for crop in crops], rowvar=False)[0, 1:]).max()
        < 0.1
    )


@pytest.mark.parametrize(
    ("resize", "low", "high"), [(1.5, (1 - 1.5) / 2, (1 - 1 / 1.5) / 2), (0.5, (1 - 2) / 2, 0), (1.0, 0, 0)]
)
def test_sample_crop_resize_has_darknets_range_and_one_draw_for_two_sides(
    resize: float, low: float, high: float
) -> None:
    """data.c load_data_detection: resize_r1 is for left and top, resize_r2 for right and bottom."""
    random, head = create_generator(5), HeadAugmentation(jitter=0, resize=resize)
    crops = [sample_crop(random, (1000, 4000), (416, 416), Augmentation(), head) for _ in range(DRAWS)]
    lefts, tops, rights = ([getattr(crop, side) for crop in crops] for side in ("left", "top", "right"))
    if low == high == 0:
        assert {*lefts, *tops, *rights} == {0}
        return
    assert _spread(np.array(lefts) / 4000, low, high)
    assert np.allclose(np.array(lefts) / 4, tops, atol=1.5)
    assert abs(np.corrcoef(lefts, rights)[0, 1]) < 0.1


def test_sample_place_fits_jittered_aspect_into_input() -> None:
    """pjreddie data.c load_data_detection: (w ± jitter·w) / (h ± jitter·h), placed at random where there is room."""
    random, aspects = create_generator(6), []
    for _ in range(DRAWS):
        place = sample_place(random, (100, 200), (64, 128), 0.3)
        assert place.width == 128
        assert min(0, 64 - place.height) <= place.top <= max(0, 64 - place.height)
        assert place.left == 0
        aspects.append(place.width / place.height)
    assert 200 * 0.7 / (100 * 1.3) <= min(aspects) < 1.2
    assert 3.4 < max(aspects) <= 200 * 1.3 / (100 * 0.7)
    upright = [sample_place(random, (200, 100), (64, 128), 0.3) for _ in range(DRAWS)]
    assert all(place.height == 64 and place.top == 0 and place.width < 64 for place in upright)
    assert _spread([place.left / (128 - place.width) for place in upright], 0, 1)


def test_sample_mosaic_center_lies_between_a_fifth_and_four_fifths() -> None:
    random = create_generator(7)
    rows, columns = zip(*(sample_mosaic_center(random, (100, 400)) for _ in range(DRAWS)), strict=True)
    assert _spread(rows, 20, 80)
    assert _spread(columns, 80, 320)


def test_sample_cutmix_window_has_three_to_eight_tenths_of_each_side() -> None:
    random = create_generator(8)
    windows = [sample_cutmix_window(random, (100, 400)) for _ in range(DRAWS)]
    assert _spread([rows.stop - rows.start for rows, _ in windows], 30, 80)
    assert _spread([columns.stop - columns.start for _, columns in windows], 120, 320)
    assert all(rows.start >= 0 and rows.stop <= 100 and columns.stop <= 400 for rows, columns in windows)


def test_sample_colors_has_darknets_ranges() -> None:
    random, net = create_generator(9), Augmentation(hue=0.1, saturation=1.5, exposure=2.0, blur=9, gaussian_noise=30)
    colors = [sample_colors(random, net) for _ in range(DRAWS)]
    assert _spread([one.hue for one in colors], -0.1, 0.1)
    for values, limit in (([c.saturation for c in colors], 1.5), ([c.exposure for c in colors], 2.0)):
        assert sum(value >= 1 for value in values) == HALF
        assert _spread([value for value in values if value >= 1], 1, limit)
        assert _spread([1 / value for value in values if value < 1], 1, limit)
    assert {one.blur for one in colors} == {0, 1, 9}
    assert sum(one.noise == 30 for one in colors) == HALF
    assert {one.noise for one in colors} == {0, 30}


@pytest.fixture
def classifier_crops(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Arguments of every `rotate_crop` of a classifier, which returns gray."""
    crops: list[dict[str, Any]] = []

    def record(pixels: Pixels, side: int, **arguments: Any) -> Any:
        crops.append(arguments | {"side": side})
        return np.full((3, side, side), 0.5, np.float32)

    monkeypatch.setattr(classification_dataset, "rotate_crop", record)
    return crops


def _classification(net: Augmentation, dialect: str) -> ClassificationDataset:
    network = darkparse.compile(
        "[net]\nwidth=24\nheight=24\nchannels=3\n[convolutional]\nfilters=2\n[avgpool]\n[softmax]\n", dialect=dialect
    )
    images: Any = OneImage(np.zeros((40, 80, 3), np.uint8), Path("none"))
    return ClassificationDataset(network, images, net, ("class0", "class1"))


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_classifier_crop_has_darknets_size_angle_and_shift(
    dialect: str, classifier_crops: list[dict[str, Any]]
) -> None:
    """image.c random_augment_args: the shorter side becomes min_crop to max_crop pixels."""
    dataset, random = _classification(Augmentation(min_crop=16, max_crop=48, angle=7), dialect), create_generator(10)
    for _ in range(DRAWS):
        dataset.sample(random, (24, 24))
    assert {crop["side"] for crop in classifier_crops} == {24}
    scales = np.array([crop["scale"] for crop in classifier_crops])
    assert _spread(40 * scales, 16, 48)
    assert _spread([crop["angle"] for crop in classifier_crops], -np.deg2rad(7), np.deg2rad(7))
    shifts = np.array([crop["shift"] for crop in classifier_crops])
    room = np.stack(((80 * scales - 24) / 2, (40 * scales - 24) / 2), 1)
    if dialect == "alexeyab":  # where the image is smaller than the crop, AlexeyAB's Darknet does not move it
        assert (shifts[room <= 0] == 0).all()
        room = room.clip(0)
    assert (abs(shifts) <= abs(room) + 1e-6).all()
    for axis in (0, 1):
        is_wide = abs(room[:, axis]) > 0.5
        assert _spread(shifts[is_wide, axis] / abs(room[is_wide, axis]), -1, 1)


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_classifier_sample_of_two_images_has_pixels_and_shares_of_both(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shades = iter([0.25, 0.75] * 40)
    monkeypatch.setattr(
        classification_dataset, "rotate_crop", lambda _, side, **__: np.full((3, side, side), next(shades), np.float32)
    )
    dataset = _classification(Augmentation(**{option: True}), "alexeyab")
    truths = iter([np.array([1, 0], np.float32), np.array([0, 1], np.float32)] * 40)
    monkeypatch.setattr(dataset, "_truth", lambda _: next(truths))
    mixed = [s for n in range(12) if (s := dataset.sample(create_generator(4, n), (24, 24))).truth.min() > 0]
    assert len(mixed) > 2
    for image, truth, path in mixed:
        assert path == "class0.png"
        assert truth.sum() == pytest.approx(1)
        first = (image < 0.5).mean() if option == "cutmix" else 0.5
        assert sorted(truth) == pytest.approx(sorted((first, 1 - first)))
        assert set(image.flatten().tolist()) == ({0.25, 0.75} if option == "cutmix" else {0.5})


def test_classifier_crop_of_stretched_image_keeps_shorter_side(classifier_crops: list[dict[str, Any]]) -> None:
    dataset, random = (
        _classification(Augmentation(min_crop=30, max_crop=30, aspect=0.25), "alexeyab"),
        create_generator(11),
    )
    for _ in range(DRAWS):
        dataset.sample(random, (24, 24))
    aspects = np.array([crop["aspect"] for crop in classifier_crops])
    assert sum(aspects <= 1) == HALF
    assert _spread(aspects[aspects <= 1], 0.25, 1)
    assert _spread(1 / aspects[aspects > 1], 0.25, 1)
    for crop in classifier_crops:
        assert crop["scale"] == 30 / min(40, int(80 * crop["aspect"]))
        limit = max(0, (80 * crop["scale"] / crop["aspect"] - 24) / 2)
        assert abs(crop["shift"][0]) <= limit + 1e-6


@pytest.mark.parametrize(("option", "kernel"), [(1, 15), (7, 7)])
def test_classifier_blurs_a_quarter_of_the_images(
    option: int, kernel: int, classifier_crops: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = _record_kernels(monkeypatch, classification_dataset)
    dataset, random = _classification(Augmentation(blur=option), "alexeyab"), create_generator(12)
    for _ in range(DRAWS):
        dataset.sample(random, (24, 24))
    assert set(kernels) == {kernel}
    assert len(kernels) == QUARTER


def test_rotate_crop_aspect_stretches_columns_only() -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    pixels = np.stack((rows, columns, rows), 2).astype(np.float32) / 255
    out = rotate_crop(pixels, 8, angle=0, scale=1, shift=(0, 0), aspect=2) * 255
    expected = np.arange(8) - 4
    assert np.allclose(out[0], 32 + expected[:, None], atol=1e-3)
    assert np.allclose(out[1], 32 + 2 * expected, atol=1e-3)
    shifted = rotate_crop(pixels, 8, angle=0, scale=2, shift=(3, 5), aspect=1) * 255
    assert np.allclose(shifted[0], 32 + (expected[:, None] + 5) / 2, atol=1e-3)
    assert np.allclose(shifted[1], 32 + (expected + 3) / 2, atol=1e-3)


def test_blur_reflects_both_axes_at_the_border() -> None:
    image = np.random.default_rng(0).random((2, 9, 13)).astype(np.float32)
    weights = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 1.1**2))  # OpenCV's sigma of a kernel of 5
    weights /= weights.sum()
    expected = np.zeros_like(image)
    for y in range(9):
        for x in range(13):
            for i, vertical in enumerate(weights):
                for j, horizontal in enumerate(weights):
                    row, column = abs(y + i - 2), abs(x + j - 2)
                    row, column = min(row, 16 - row), min(column, 24 - column)
                    expected[:, y, x] += vertical * horizontal * image[:, row, column]
    assert np.allclose(blur(image, 5), expected, atol=1e-5)
    assert np.allclose(blur(image, 4), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("sides", "kernel"), [((0.25, 1.0), 4), ((1.0, 0.5), 2), ((1.0, 1.0), 4), ((0.05, 1.0), 0), ((1.0, 0.05), 0)]
)
def test_detection_blur_is_limited_by_smallest_side_of_a_box(
    sides: tuple[float, float], kernel: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An eighth of the smallest side in pixels, of an input of 32 rows and 128 columns (image_opencv.cpp)."""
    kernels = _record_kernels(monkeypatch, detection_dataset)
    dataset, images = _detection(tmp_path, Augmentation(blur=31))
    transform = SampledTransform(images.image, images.pixels, CropWindow(0, 0, 0, 0), False, replace(PLAIN, blur=31))
    boxes = np.array([[0.5, 0.5, 1, 1, 0], [0.5, 0.5, *sides, 0]], np.float32)
    dataset._render(create_generator(0), transform, (32, 128), boxes)
    assert kernels == ([kernel] if kernel > 1 else [])


def test_detection_noise_only_brightens_image_by_its_deviation(tmp_path: Path) -> None:
    dataset, images = _detection(tmp_path, Augmentation())
    transform = SampledTransform(images.image, images.pixels, CropWindow(0, 0, 0, 0), False, replace(PLAIN, noise=20))
    added = dataset._render(create_generator(0), transform, (64, 64), np.zeros((0, 5), np.float32)) * 255 - 128
    assert (added[:, :-1] > -0.01).all()
    assert added[added > 0.5].mean() == pytest.approx(
        20 * (2 / np.pi) ** 0.5, rel=0.05
    )  # half of a normal distribution
    assert (added > 0.5).mean() == pytest.approx(0.49, abs=0.01), "more than half a step"


def test_crop_window_last_row_is_almost_black_and_last_column_is_not() -> None:
    """As resize_image of Darknet, which computes the last row's place in float32 (image.c)."""
    height = next(h for h in range(2, 400) if np.float32(h - 1) / np.float32(319) * np.float32(319) < h - 1)
    white = np.full((height, height, 3), 255, np.uint8)
    image = CropWindow(0, 0, 0, 0).render(white, (320, 320), flip=False)
    assert image[:, -1].max() < 1e-4
    assert np.allclose(image[:, :-1], 1, atol=1e-4)


def test_image_place_window_equals_part_of_whole() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (11, 17, 3)).astype(np.uint8)
    for geometry in (ImagePlace(20, 12, 3, -2), CropWindow(-2, 1, 3, 2)):
        for flip in (False, True):
            whole = geometry.render(pixels, (16, 24), flip=flip)
            part = geometry.render(pixels, (16, 24), flip=flip, window=(slice(2, 9), slice(5, 20)))
            assert whole.shape == (3, 16, 24)
            assert np.array_equal(part, whole[:, 2:9, 5:20])
            assert np.array_equal(whole, geometry.render(pixels, (16, 24), flip=not flip)[:, :, ::-1])


@pytest.mark.parametrize(("width", "height"), [(0.4, 12), (20, 0.4)])
def test_image_place_below_one_pixel_is_gray(width: float, height: float) -> None:
    pixels = np.zeros((11, 17, 3), np.uint8)
    assert (ImagePlace(width, height, 3, 2).render(pixels, (16, 24), flip=True) == 0.5).all()


@pytest.mark.parametrize(("dialect", "boxes"), [("alexeyab", 0), ("pjreddie", 1)])
def test_box_of_less_than_a_pixel_is_dropped_in_alexeyab_only(dialect: str, boxes: int, tmp_path: Path) -> None:
    """data.c fill_truth_detection; pjreddie's drops sides below a thousandth of the image."""
    dataset, images = _detection(tmp_path, Augmentation(), dialect)
    (tmp_path / "x.txt").write_text("0 .5 .5 .02 .02\n")
    transform = SampledTransform(images.image, images.pixels, CropWindow(0, 0, 0, 0), False, PLAIN)
    assert len(dataset._read_boxes(create_generator(0), transform, (8, 16))) == boxes
