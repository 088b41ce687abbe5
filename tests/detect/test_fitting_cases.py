"""Images fitted to inputs of all shapes: placement, cropping, single rows and columns; and boxes that touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from darkparse.datasets.image_files import Size
from darkparse.detect.nms import compute_overlap, suppress
from darkparse.detect.preprocess import Placement, compute_placement, fit_image, resize_image
from darkparse.network.suppression import Suppression
from tests.detect.reference import picture


@pytest.mark.parametrize(
    ("image", "net", "resize", "crop_first", "scaled", "offset"),
    [
        ((40, 80), (32, 32), "crop", False, (32, 64), (0, -16)),
        ((80, 40), (32, 32), "crop", False, (64, 32), (-16, 0)),
        ((40, 80), (48, 32), "crop", False, (32, 64), (8, -16)),  # the width of the input counts alone
        ((50, 30), (20, 20), "crop", False, (33, 20), (-6, 0)),  # C rounds toward zero
        ((30, 50), (20, 20), "crop", False, (20, 33), (0, -6)),
        ((30, 30), (20, 24), "crop", False, (24, 24), (-2, 0)),
        ((40, 80), (32, 48), "crop", True, (32, 48), (0, 0)),
        ((40, 80), (32, 48), "stretch", False, (32, 48), (0, 0)),
        ((40, 80), (32, 48), "letterbox", True, (24, 48), (4, 0)),
        ((80, 41), (32, 48), "letterbox", False, (32, 16), (0, 16)),
        ((64, 96), (32, 48), "letterbox", False, (32, 48), (0, 0)),
        ((33, 100), (64, 64), "letterbox", False, (21, 64), (21, 0)),
    ],
)
def test_placement(image: Size, net: Size, resize: Any, crop_first: bool, scaled: Size, offset: Size) -> None:
    assert compute_placement(image, net, resize, crop_first=crop_first) == Placement(net, scaled, offset)


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (45, 80), (80, 45), (41, 40)])
def test_crop_of_pjreddie_takes_the_middle(height: int, width: int) -> None:
    pixels = picture(3, height, width)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    expected = resize_image(pixels[top : top + side, left : left + side], (24, 32))
    out, placement = fit_image(pixels, (24, 32), "crop", crop_first=True)
    np.testing.assert_array_equal(out, expected)
    assert placement == Placement((24, 32), (24, 32), (0, 0))


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (20, 50)])
@pytest.mark.parametrize("net", [(32, 32), (48, 32), (24, 32)])
def test_crop_of_alexeyab_repeats_the_edge(height: int, width: int, net: Size) -> None:
    """image.c crop_image takes the pixel of each place that is nearest within the scaled image."""
    pixels = picture(3, height, width)
    out, placement = fit_image(pixels, net, "crop")
    scaled = resize_image(pixels, placement.scaled_size)
    for row in range(net[0]):
        for column in (0, 1, net[1] // 2, net[1] - 1):
            y = min(max(row - placement.offset[0], 0), placement.scaled_size[0] - 1)
            x = min(max(column - placement.offset[1], 0), placement.scaled_size[1] - 1)
            assert out[:, row, column].tolist() == scaled[:, y, x].tolist()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize(("height", "width"), [(20, 50), (50, 20)])
def test_letterbox_of_any_channels_is_gray_around_the_image(channels: int, height: int, width: int) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, channels)).astype(np.uint8)
    out, placement = fit_image(pixels, (30, 40), "letterbox")
    assert (out.shape, out.dtype.name) == ((channels, 30, 40), "float32")
    (top, left), (rows, columns) = placement.offset, placement.scaled_size
    expected = np.full((channels, 30, 40), 0.5, np.float32)
    expected[:, top : top + rows, left : left + columns] = resize_image(pixels, (rows, columns))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("size", "target", "rows", "columns"),
    [
        ((1, 5), (3, 5), [0, 0, 0], range(5)),
        ((5, 1), (5, 3), range(5), [0, 0, 0]),
        ((1, 1), (2, 4), [0, 0], [0] * 4),
        ((5, 4), (1, 4), [0], range(4)),
        ((5, 4), (5, 1), range(5), [3]),  # the last column is the last of the image
        ((5, 4), (1, 1), [0], [3]),
        ((40, 3), (40, 3), range(40), range(3)),
    ],
)
def test_single_rows_and_columns(dtype: Any, size: Size, target: Size, rows: Any, columns: Any) -> None:
    """Along the height Darknet scales the last row by a weight of 1 where its place is exact."""
    pixels = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype(np.uint8)
    expected = pixels[list(rows)][:, list(columns)].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    given = pixels if dtype == np.uint8 else pixels.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(resize_image(given, target), expected)


def test_resized_image_is_written_into_an_array() -> None:
    out = np.zeros((3, 70, 9), np.float32)
    assert resize_image(picture(0), (70, 9), out) is out
    np.testing.assert_array_equal(out, resize_image(picture(0), (70, 9)))


@pytest.mark.parametrize("exponent", [None, 0.6])
def test_overlap_of_boxes_that_touch_or_have_no_area_is_a_number(exponent: float | None) -> None:
    boxes = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0.2, 0.2], [0.7, 0.5, 0.2, 0.2], [0.5, 0.7, 0.2, 0.2]], np.float32)
    overlaps = compute_overlap(boxes[:, None], boxes, exponent)
    assert np.isfinite(overlaps).all()
    assert overlaps[0, 0] == 0
    assert overlaps[1, 1] == pytest.approx(1)
    np.testing.assert_allclose(overlaps, overlaps.T)
    assert (overlaps[1, 2:] <= 1e-6).all()


@pytest.mark.parametrize("kind", ["default", "greedynms", "diounms"])
@pytest.mark.parametrize("classes_per_box", [1, 3])
def test_best_box_suppresses_across_blocks(kind: Any, classes_per_box: int) -> None:
    """300 boxes in one place and one beside them, of which the last ones are the best."""
    count = 300
    boxes = np.tile(np.array([[0.5, 0.5, 0.2, 0.2]], np.float32), (count + 1, 1))
    boxes[-1, 0] = 0.9
    of_box = np.repeat(np.arange(count + 1), classes_per_box)
    classes = np.tile(np.arange(classes_per_box), count + 1)
    scores = np.linspace(0.1, 0.9, count + 1, dtype=np.float32)[of_box]
    kept = suppress(boxes, scores, classes, 0.45, Suppression(kind, 0.8), box_indices=of_box)
    assert sorted(zip(of_box[kept].tolist(), classes[kept].tolist(), strict=True)) == [
        (box, label) for box in (count - 1, count) for label in range(classes_per_box)
    ]
    assert (np.diff(scores[kept]) <= 0).all()
