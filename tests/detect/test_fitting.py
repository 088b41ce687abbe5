"""Pictures to the network's input, beside a transcription of what image.c does pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkparse.datasets.image_files import Size
from darkparse.detect.preprocess import Placement, compute_placement, fit_image, resize_image
from tests.detect.reference import picture

SIZES = st.tuples(st.integers(2, 40), st.integers(2, 40))


def resized_by_loops(pixels: Any, height: int, width: int) -> Any:
    """image.c resize_image with its loops, float32."""
    image = pixels.astype(np.float32) / np.float32(255)
    h, w, c = image.shape
    part, out = np.zeros((h, width, c), np.float32), np.zeros((height, width, c), np.float32)
    w_scale, h_scale = np.float32(w - 1) / np.float32(width - 1), np.float32(h - 1) / np.float32(height - 1)
    for x in range(width):
        if x == width - 1 or w == 1:
            part[:, x] = image[:, w - 1]
            continue
        sx = np.float32(x) * w_scale
        ix = int(sx)
        dx = np.float32(sx - np.float32(ix))
        part[:, x] = (np.float32(1) - dx) * image[:, ix] + dx * image[:, ix + 1]
    for y in range(height):
        sy = np.float32(y) * h_scale
        iy = int(sy)
        dy = np.float32(sy - np.float32(iy))
        out[y] = (np.float32(1) - dy) * part[iy]
        if not (y == height - 1 or h == 1):
            out[y] += dy * part[iy + 1]
    return out.transpose(2, 0, 1)


@given(SIZES, SIZES)
def test_resize_image_equals_darknets_loops(size: tuple[int, int], to: tuple[int, int]) -> None:
    pixels = np.random.RandomState(size[0]).randint(0, 256, (*size, 3)).astype(np.uint8)
    assert np.array_equal(resize_image(pixels, to), resized_by_loops(pixels, *to))


def test_resize_image_last_row_is_almost_black_as_in_darknet() -> None:
    """float32((h-1)/(H-1))·(H-1) falls just short of h-1 for some heights,
    and Darknet leaves the second neighbor out."""
    heights = [h for h in range(2, 400) if np.float32(h - 1) / np.float32(319) * np.float32(319) < h - 1]
    assert heights
    white = np.full((heights[0], 4, 3), 255, np.uint8)
    out = resize_image(white, (320, 4))
    assert out[:, -1].max() < 1e-4
    assert out[:, :-1].min() > 0.999
    assert np.array_equal(out, resized_by_loops(white, 320, 4))


def test_fit_image_of_same_size_is_identity() -> None:
    pixels = picture(1)
    out, placement = fit_image(pixels, pixels.shape[:2], "stretch")
    assert np.array_equal(out, pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    assert placement.offset == (0, 0)


@pytest.mark.parametrize(
    ("image", "net", "scaled", "offset"),
    [
        ((576, 768), (320, 320), (240, 320), (40, 0)),
        ((424, 640), (416, 416), (275, 416), (70, 0)),  # 275.6 is cut, and 70.5 too
        ((100, 33), (64, 64), (64, 21), (0, 21)),
        ((1, 1000), (64, 64), (0, 64), (32, 0)),  # nothing of it is left
        ((480, 640), (320, 640), (320, 426), (0, 107)),
    ],
)
def test_letterbox_placement_rounds_as_darknet(image: Size, net: Size, scaled: Size, offset: Size) -> None:
    assert compute_placement(image, net, "letterbox") == Placement(net, scaled, offset)


def test_letterbox_pads_with_gray() -> None:
    out, placement = fit_image(picture(2, 30, 60), (64, 64), "letterbox")
    assert placement == Placement((64, 64), (32, 64), (16, 0))
    assert (out[:, :16] == 0.5).all()
    assert (out[:, 48:] == 0.5).all()
    assert np.array_equal(out[:, 16:48], resize_image(picture(2, 30, 60), (32, 64)))


def test_to_image_boxes_of_letterbox_keeps_darknets_half_pixel() -> None:
    placement = compute_placement((424, 640), (416, 416), "letterbox")
    box = placement.to_image_boxes(np.array([[0.5, 0.5, 0.25, 0.25]], np.float32))[0]
    assert box == pytest.approx([0.5, (0.5 - 141 / 2 / 416) / (275 / 416), 0.25, 0.25 * 416 / 275], abs=1e-6)


def test_to_image_boxes_of_stretch_is_identity() -> None:
    boxes = np.random.RandomState(0).rand(5, 4).astype(np.float32)
    assert np.allclose(compute_placement((30, 50), (64, 64), "stretch").to_image_boxes(boxes), boxes, atol=1e-7)


def test_crop_of_alexeyab_scales_shorter_side_and_cuts() -> None:
    pixels = picture(3, 40, 80)
    out, placement = fit_image(pixels, (32, 32), "crop")
    assert placement.scaled_size == (32, 64)
    assert np.array_equal(out, resize_image(pixels, (32, 64))[:, :, 16:48])


def test_crop_of_pjreddie_cuts_square_and_scales() -> None:
    pixels = picture(3, 40, 80)
    out, _ = fit_image(pixels, (32, 32), "crop", crop_first=True)
    assert np.array_equal(out, resize_image(pixels[:, 20:60], (32, 32)))
