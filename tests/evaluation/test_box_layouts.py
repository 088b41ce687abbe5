"""Boxes are found among another implementation's outputs, whatever their layout."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from darkparse.evaluation.box_layouts import GridBoxes, LayoutMatch, match_layout
from tests.evaluation.box_layouts import ENCODINGS, FORMS, random_heads, write_outputs

SIZE = (48, 96)
GRIDS = ((3, 6, 3), (6, 12, 2))


def check_matches(heads: list[GridBoxes], outputs: list[Any], encoding: str, unit: str) -> None:
    for head, match in zip(heads, match_layout(outputs, heads, SIZE).heads, strict=True):
        assert match is not None
        assert match.layout == f"{encoding} in {unit}"
        assert np.allclose(match.boxes, head.boxes, atol=1e-5)
        assert match.scores is not None
        assert np.allclose(match.scores, head.scores, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "encoding", "pixels"),
    [
        # Each form and each encoding once in each unit; the other combinations are slow.
        pytest.param(form, encoding, pixels, marks=() if i % 3 == (j + pixels) % 3 else pytest.mark.slow)
        for (i, form), (j, encoding), pixels in product(enumerate(FORMS), enumerate(ENCODINGS), (False, True))
    ],
)
def test_match_layout_any_form_and_encoding_finds_boxes(form: str, encoding: str, pixels: bool) -> None:
    heads, objectness = random_heads(GRIDS, classes=2)
    unit = "pixels" if pixels else "fractions of the input"
    for joined in (False, True):
        outputs = write_outputs(
            heads, objectness, form=FORMS[form], encoding=encoding, pixels=SIZE if pixels else None, joined=joined
        )
        check_matches(heads, outputs, encoding, unit)


@pytest.mark.parametrize(
    "order",
    [pytest.param(order, marks=() if order == (2, 0, 1) else pytest.mark.slow) for order in permutations(range(3))],
)
def test_match_layout_any_order_of_rows_and_heads_finds_boxes(order: tuple[int, int, int]) -> None:
    heads, objectness = random_heads((*GRIDS, (2, 4, 3)), classes=5)
    for head_order in permutations(range(3)):
        outputs = write_outputs(heads, objectness, order=order, head_order=head_order, encoding="corners")
        check_matches(heads, outputs, "corners", "fractions of the input")


@pytest.mark.parametrize("classes", [1, pytest.param(4, marks=pytest.mark.slow), 80])
def test_match_layout_any_number_of_classes_finds_boxes(classes: int) -> None:
    heads, objectness = random_heads(GRIDS, classes)
    for form in FORMS.values():
        check_matches(heads, write_outputs(heads, objectness, form=form), "centers", "fractions of the input")


def test_match_layout_axes_of_cells_and_columns_first_finds_boxes() -> None:
    heads, objectness = random_heads(GRIDS[:1], classes=2)
    rows, columns, per_cell = GRIDS[0]
    cells = write_outputs(heads, objectness)[0].reshape(rows, columns, per_cell, 6)
    for output in (
        cells.transpose(2, 0, 1, 3),
        cells.reshape(rows, columns, -1),
        cells.transpose(2, 3, 0, 1).reshape(-1, rows, columns),
        cells.reshape(-1, 6).T,
    ):
        check_matches(heads, [output[None]], "centers", "fractions of the input")


def test_match_layout_boxes_without_scores_has_no_scores() -> None:
    heads, objectness = random_heads(GRIDS, classes=3)
    matches = match_layout(write_outputs(heads, objectness, form=lambda boxes, *_: [boxes]), heads, SIZE).heads
    assert [match is not None and match.scores is None for match in matches] == [True, True]


def test_match_layout_one_head_missing_finds_the_other() -> None:
    heads, objectness = random_heads(GRIDS, classes=3)
    first, second = match_layout(write_outputs(heads, objectness, joined=False)[:1], heads, SIZE).heads
    assert first is not None
    assert second is None


def test_match_layout_other_outputs_finds_nothing() -> None:
    heads, _ = random_heads(GRIDS, classes=2)
    random = np.random.default_rng(1)
    count = sum(len(head.boxes) for head in heads)
    undecoded = [random.random((1, len(head.boxes), 7), np.float32) for head in heads]
    for outputs in (
        [],
        [random.random((1, 10), np.float32)],
        [random.random((1, count, 6), np.float32)],
        [np.full((1, count, 6), np.nan, np.float32)],
        undecoded,
    ):
        assert match_layout(outputs, heads, SIZE) == LayoutMatch((None, None), np.inf)
