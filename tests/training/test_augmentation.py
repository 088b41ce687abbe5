"""What is done to pictures and boxes once the random numbers are drawn, beside Darknet's own numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from darkparse.datasets.labels import label_path
from darkparse.layers import DIALECTS
from darkparse.training.data.color import distort
from darkparse.training.data.geometry import (
    CropWindow,
    ImagePlace,
    Tile,
    build_tile_axis,
    drop_invalid,
    drop_tiny,
    transform_boxes,
)
from tests.conftest import DATA

NUMBERS: dict[str, list[Any]] = json.loads((DATA / "training" / "augmentation.json").read_text("utf-8"))
TOLERANCE = 1e-6


def cases(part: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", NUMBERS[part], ids=[str(i) for i in range(len(NUMBERS[part]))])


def _ordered(boxes: Any) -> Any:
    rows = np.asarray(boxes, np.float32)
    return rows[np.lexsort(rows.T[::-1])]


def _picture(case: dict[str, Any]) -> Any:
    return np.array(case["image"], np.float32).reshape(case["shape"])


def test_label_path_equals_each_fork() -> None:
    for picture, *labels in NUMBERS["label_paths"]:
        found = [label_path(picture, DIALECTS[name]) for name in ("pjreddie", "alexeyab")]
        assert found == labels


@cases("boxes")
def test_transform_boxes_equals_darknet(case: dict[str, Any]) -> None:
    lines = np.array([(*box, number) for number, *box in case["lines"]], np.float32)
    how = (lines, (case["dx"], case["dy"]), (case["sx"], case["sy"]))
    flip = bool(case["flip"])
    assert np.allclose(_ordered(drop_tiny(transform_boxes(*how, flip=flip))), case["pjreddie"], atol=TOLERANCE)
    kept = drop_invalid(
        transform_boxes(*how, flip=flip, drops_outside=True), (case["height"], case["width"]), case["classes"]
    )
    assert np.allclose(_ordered(kept), case["alexeyab"], atol=TOLERANCE)


@cases("colour")
def test_distort_equals_darknet(case: dict[str, Any]) -> None:
    found = distort(_picture(case), case["hue"], case["saturation"], case["exposure"])
    assert found.dtype == np.float32
    assert np.allclose(found.ravel(), case["result"], atol=TOLERANCE)


@cases("place")
def test_place_and_crop_equal_darknet(case: dict[str, Any]) -> None:
    pixels = _picture(case).transpose(1, 2, 0)
    width, height = case["size"]
    laid, cut = case["pjreddie"], case["alexeyab"]
    right, bottom = pixels.shape[1] - cut["left"] - cut["width"], pixels.shape[0] - cut["top"] - cut["height"]
    ways: tuple[ImagePlace | CropWindow, ...] = (
        ImagePlace(laid["nw"], laid["nh"], laid["dx"], laid["dy"]),
        CropWindow(cut["left"], cut["top"], right, bottom),
    )
    for way, one in zip(ways, (laid, cut), strict=True):
        found = way.render(pixels, (height, width), flip=bool(case["flip"]))
        assert found.dtype == np.float32
        assert np.allclose(found.ravel(), one["result"], atol=TOLERANCE)
        part = way.render(pixels, (height, width), flip=bool(case["flip"]), window=(slice(2, 5), slice(1, 7)))
        assert np.array_equal(part, found[:, 2:5, 1:7])


@cases("mosaic")
def test_mosaic_boxes_equal_darknet(case: dict[str, Any]) -> None:
    size, found = (case["height"], case["width"]), []
    for number, one in enumerate(case["tiles"]):
        rows, top = build_tile_axis(size[0], case["cut_y"], one["top"], one["bottom"], is_second=number >= 2)
        columns, left = build_tile_axis(size[1], case["cut_x"], one["left"], one["right"], is_second=number % 2 == 1)
        boxes = np.array(one["boxes"], np.float32)
        found.append(Tile((rows, columns), (top, left)).place_boxes(boxes, size, bound=bool(case["mosaic_bound"])))
    assert np.allclose(np.concatenate(found), case["alexeyab"], atol=TOLERANCE)
