"""Drawn boxes and labels, pixel by pixel."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import darkparse
from darkparse.datasets.image_files import Size
from darkparse.detect.detection import Detection
from darkparse.detect.drawing import Color, class_color, draw, draw_label, load_font, open_for_drawing, save, text_color
from tests.detect.reference import picture

RED = (200, 10, 10)


def detect_in_pixels(
    left: float, top: float, right: float, bottom: float, size: Size, *, class_id: int = 0
) -> Detection:
    """Return a detection whose edges are a quarter pixel further to the right and below, so that rounding is safe."""
    height, width = size
    left, top, right, bottom = (value + 0.25 for value in (left, top, right, bottom))
    box = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
    return Detection(class_id, f"jay {class_id}", 0.9349, 1.0, box, size)


def render(text: str, background: Color, color: Color, font_size: int) -> NDArray[np.uint8]:
    """Draw text with a margin of three pixels, and one more row and column."""
    font = ImageFont.load_default(font_size)
    left, top, right, bottom = map(int, font.getbbox(text))
    label = Image.new("RGB", (right - left + 7, bottom - top + 7), background)
    ImageDraw.Draw(label).text((3 - left, 3 - top), text, color, font)
    return np.asarray(label)


@pytest.mark.parametrize(
    ("size", "line", "font_size"),
    [((100, 200), 2, 11), ((200, 100), 2, 11), ((600, 640), 3, 18)],
)
def test_draw_box_is_a_frame_with_its_label_above(size: tuple[int, int], line: int, font_size: int) -> None:
    image = np.full((*size, 3), 255, np.uint8)
    drawing = np.asarray(draw(image, [detect_in_pixels(10, 50, 80, 90, size)], size))
    color = class_color(0)
    expected = image.copy()
    expected[50:90, 10:80] = color
    expected[50 + line : 90 - line, 10 + line : 80 - line] = 255
    label = render("jay 0 93%", color, text_color(color), font_size)
    top = 50 - len(label) + 1  # its last row is the first of the frame
    expected[top : top + len(label), 10 : 10 + label.shape[1]] = label
    np.testing.assert_array_equal(drawing, expected)


def test_draw_best_detection_is_on_top() -> None:
    size = (100, 100)
    boxes = [detect_in_pixels(20, 30, 60, 80, size, class_id=number) for number in (3, 4)]
    drawing = draw(np.zeros((*size, 3), np.uint8), boxes, size)
    assert drawing.getpixel((20, 79)) == class_color(3)


@pytest.mark.parametrize("box", [(30, 40, 30, 40), (99.5, 40, 100, 60), (30, 79.7, 60, 80)])
def test_draw_box_thinner_than_a_pixel_is_visible(box: tuple[float, float, float, float]) -> None:
    size = (80, 100)
    drawing = np.asarray(draw(np.zeros((*size, 3), np.uint8), [detect_in_pixels(*box, size)], size))
    assert tuple(drawing[min(int(box[1]), 79), min(int(box[0]), 99)]) == class_color(0)


def test_draw_without_detections_copies_image() -> None:
    image = picture(0)
    np.testing.assert_array_equal(np.asarray(draw(image, [], image.shape[:2])), image)


def test_draw_lists_classes_below_each_other() -> None:
    size = (90, 120)
    classes = [Detection(i, f"g{i}", score, 1.0, (0.5, 0.5, 1.0, 1.0), size) for i, score in enumerate((0.98, 0.015))]
    drawing = np.asarray(draw(np.full((*size, 3), 99, np.uint8), classes, size))
    expected, top = np.full((*size, 3), 99, np.uint8), 4
    for text in ("98.00% g0", " 1.50% g1"):
        label = render(text, (0, 0, 0), (255, 255, 255), 11)
        expected[top : top + len(label), 4 : 4 + label.shape[1]] = label
        top += len(label) - 1
    np.testing.assert_array_equal(drawing, expected)


HEIGHT, WIDTH = (side - 1 for side in render("label", RED, RED, 12).shape[:2])


@pytest.mark.parametrize(
    ("corner", "place"),
    [
        ((10, 30), (10, 30 - HEIGHT)),
        ((10.6, 29.6), (11, 30 - HEIGHT)),
        ((10, HEIGHT), (10, 0)),
        ((10, HEIGHT - 1), (10, HEIGHT - 1)),  # there is no space above
        ((200 - WIDTH, 30), (200 - WIDTH, 30 - HEIGHT)),
        ((199, 30), (200 - WIDTH, 30 - HEIGHT)),  # it would end outside the image
    ],
)
def test_label_is_above_its_corner_and_in_the_image(corner: Any, place: tuple[int, int]) -> None:
    drawing, occupied = Image.new("RGB", (200, 60)), np.zeros((60, 200), np.bool_)
    draw_label(drawing, "label", corner, RED, load_font(12), occupied)
    rows, columns = np.nonzero(np.asarray(drawing).any(2))
    assert (columns.min(), rows.min()) == place
    assert (columns.max() - columns.min(), rows.max() - rows.min()) in ((WIDTH, HEIGHT), (WIDTH - 1, HEIGHT))
    rows, columns = np.nonzero(occupied)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (
        *place,
        place[0] + WIDTH,
        place[1] + HEIGHT,
    )


def test_label_wider_than_the_image_begins_at_its_edge() -> None:
    drawing = Image.new("RGB", (WIDTH - 5, 60))
    draw_label(drawing, "label", (9, 30), RED, load_font(12), np.zeros((60, WIDTH - 5), np.bool_))
    assert drawing.getpixel((0, 29)) == RED


@pytest.mark.parametrize(("space", "labels"), [(3 * HEIGHT - 1, 2), (3 * HEIGHT, 3)])
def test_labels_of_one_corner_are_stacked_while_there_is_space(space: int, labels: int) -> None:
    drawing, occupied = Image.new("RGB", (100, space)), np.zeros((space, 100), np.bool_)
    for number in range(3):
        draw_label(drawing, "label", (5, HEIGHT), (number + 1, 0, 0), load_font(12), occupied)
        expected = min(number, labels - 1)
        assert drawing.getpixel((5, expected * HEIGHT + 1)) == (number + 1, 0, 0)
    assert occupied[: labels * HEIGHT, 5].all()
    assert not occupied[labels * HEIGHT :].any()


@pytest.mark.parametrize(
    ("distance", "is_moved"), [(WIDTH - 1, True), (WIDTH, False), (1 - WIDTH, True), (-WIDTH, False)]
)
def test_label_is_moved_if_it_would_cover_a_part_of_another(distance: int, is_moved: bool) -> None:
    drawing, occupied = Image.new("RGB", (4 * WIDTH, 100)), np.zeros((100, 4 * WIDTH), np.bool_)
    draw_label(drawing, "label", (WIDTH, 50), RED, load_font(12), occupied)
    draw_label(drawing, "label", (WIDTH + distance, 50), (0, 0, 9), load_font(12), occupied)
    rows, _ = np.nonzero(np.asarray(drawing)[..., 2] == 9)
    assert rows.min() == (50 if is_moved else 50 - HEIGHT)


def test_drawing_of_floats_is_scaled_and_clipped() -> None:
    pixels = np.array([[-0.3, 0.0, 0.499, 1.0, 1.4]], np.float32)[..., None].repeat(3, 2)
    assert np.asarray(open_for_drawing(pixels, (1, 5)))[0, :, 0].tolist() == [0, 0, 127, 255, 255]


@pytest.mark.parametrize("size", [(40, 57), (41, 56)])
def test_drawing_on_image_of_other_size_names_both(size: tuple[int, int]) -> None:
    message = f"wrong image size, got 56 × 40 pixels; expected {size[1]} × {size[0]}, the size of the detections' image"
    with pytest.raises(darkparse.DarkparseError, match=message):
        draw(picture(0), [], size)


def test_class_colors_are_saturated_and_differ() -> None:
    colors = [class_color(i) for i in range(80)]
    hues, saturations, values = np.array([colorsys.rgb_to_hsv(*(c / 255 for c in color)) for color in colors]).T
    np.testing.assert_allclose(saturations, 0.85, atol=0.005)
    np.testing.assert_allclose(values, np.resize([0.95, 0.7], 80), atol=0.005)
    steps = np.diff(hues) % 1
    assert steps.min() == pytest.approx(steps.max(), abs=0.005) == pytest.approx((3 - 5**0.5) / 2, abs=0.003)
    assert len(set(colors)) == 80
    assert colors[:3] == [(36, 242, 143), (150, 27, 178), (221, 242, 36)]  # as in earlier drawings


def get_luminance(color: Color) -> float:
    """Compute the relative luminance of WCAG 2.2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize(
    "color", [*map(class_color, range(8)), (0, 0, 0), (255, 255, 255), (117, 117, 117), (101, 94, 254)]
)
def test_text_has_the_color_of_more_contrast(color: Color) -> None:
    contrasts = {(0, 0, 0): (get_luminance(color) + 0.05) / 0.05, (255, 255, 255): 1.05 / (get_luminance(color) + 0.05)}
    assert text_color(color) == max(contrasts, key=contrasts.__getitem__)


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("b.jpeg", "JPEG"), ("c.webp", "WEBP"), ("d.bmp", "BMP")]
)
def test_save_writes_format_of_extension_into_new_directories(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "new" / "directory" / name
    for seed in (0, 1):  # the second one replaces the first
        pixels = picture(seed)
        save(Image.fromarray(pixels), path)
        with Image.open(path) as image:
            assert image.format == form
            assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 6
    assert list(path.parent.iterdir()) == [path]
