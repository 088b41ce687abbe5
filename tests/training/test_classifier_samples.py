"""Samples of a classifier that join images, and the targets of their classes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse.layers.augmentation import Augmentation
from darkparse.training.data import classification_dataset
from darkparse.training.data.classification_dataset import ClassificationDataset
from darkparse.training.data.sampling import create_generator
from tests.training.test_sampling import OneImage

NET = "[net]\nwidth=24\nheight=24\nchannels=3\n[convolutional]\nfilters={}\n[avgpool]\n[softmax]\n"


def _dataset(
    net: Augmentation, labels: tuple[str, ...] = ("class0", "class1")
) -> tuple[ClassificationDataset, OneImage]:
    network = darkparse.compile(NET.format(len(labels)), dialect="alexeyab")
    images: Any = OneImage(np.zeros((40, 80, 3), np.uint8), Path("none"))
    return ClassificationDataset(network, images, net, labels), images


@pytest.fixture
def _shades(monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th image that is drawn has the constant value n."""
    shades: Iterator[int] = count(1)
    monkeypatch.setattr(
        classification_dataset, "rotate_crop", lambda _, side, **__: np.full((3, side, side), next(shades), np.float32)
    )


@pytest.mark.usefixtures("_shades")
@pytest.mark.parametrize(("options", "expected"), [
    ((), {1: 1.0}), (("mixup",), {1: 0.5, 2: 0.5}), (("cutmix",), {1: 0.5, 2: 0.5}), (("mosaic",), {1: 0.5, 4: 0.5}),
    (("mosaic", "cutmix"), {1: 0.5, 2: 0.25, 4: 0.25}), (("mosaic", "mixup"), {1: 0.5, 4: 0.5}),
    (("cutmix", "mixup"), {1: 0.5, 2: 0.5}),
])  # fmt: skip
def test_classifier_joins_images_in_half_of_the_draws(options: tuple[str, ...], expected: dict[int, float]) -> None:
    dataset, images = _dataset(Augmentation(**dict.fromkeys(options, True)))
    random, counts = create_generator(0), []
    for _ in range(200):
        before = images.count
        dataset.sample(random, (24, 24))
        counts.append(images.count - before)
    assert {number: counts.count(number) / 200 for number in set(counts)} == pytest.approx(expected, abs=0.12)


@pytest.mark.usefixtures("_shades")
@pytest.mark.parametrize("size", [(24, 24), (24, 48), (48, 24)])
def test_classifier_mosaic_has_four_images_row_by_row(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, images = _dataset(Augmentation(mosaic=True), ("a", "b", "c", "d"))
    first = 0
    monkeypatch.setattr(dataset, "_truth", lambda _: np.eye(4, dtype=np.float32)[(images.count - first - 1) % 4])
    random, mosaics = create_generator(1), 0
    for _ in range(12):
        first = images.count
        image, truth, path = dataset.sample(random, size)
        assert image.shape == (3, *size)
        if images.count - first < 4:
            continue
        mosaics += 1
        shades = image[0] - image[0, 0, 0]
        row, column = int((shades[:, 0] == 0).sum()), int((shades[0] == 0).sum())
        assert 0.2 * size[0] - 1 <= row <= 0.8 * size[0] + 1
        expected = np.zeros(size)
        expected[:row, column:], expected[row:, :column], expected[row:, column:] = 1, 2, 3
        assert np.array_equal(shades, expected)
        areas = (row * column, row * (size[1] - column), (size[0] - row) * column, (size[0] - row) * (size[1] - column))
        assert truth.tolist() == pytest.approx([area / (size[0] * size[1]) for area in areas])
        assert path == "class0.png"
    assert mosaics > 2


@pytest.mark.parametrize(("labels", "eps", "expected"), [
    (("class0",), 0.0, [1.0]), (("class0",), 0.1, [0.9]), (("class0", "class1"), 0.1, [0.9, 0.1]),
    (("x", "class0", "y"), 0.1, [0.05, 0.9, 0.05]), (("x", "class0", "y"), 0.0, [0, 1, 0]),
    (("class", "class0", "y", "z", "v"), 0.2, [0.8, 0.8, 0.05, 0.05, 0.05]),
])  # fmt: skip
def test_classifier_truth_is_smoothed_over_the_other_classes(
    labels: tuple[str, ...], eps: float, expected: list[float]
) -> None:
    """data.c fill_truth, fill_truth_smooth: the labels that occur in the path."""
    dataset, _ = _dataset(Augmentation(label_smooth_eps=eps), labels)
    assert dataset._truth("folder/class0.png").tolist() == pytest.approx(expected)
