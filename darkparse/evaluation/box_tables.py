"""Conversion of a model's outputs, with axes in any order, to tables with one row per box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from darkparse.evaluation.differences import Floats

MAX_SPLIT = 16
"""Maximum number of boxes per cell for which the first axis of an array is read as boxes × columns."""


@dataclass(frozen=True, slots=True)
class BoxTable:
    """Boxes in the reference's format, one per row, with all possible scores of these boxes."""

    boxes: Floats
    scores: tuple[Floats, ...]


def list_tables(outputs: Sequence[Floats], rows: int, classes: int) -> Iterator[BoxTable]:
    """Read the outputs as boxes and scores of `rows` rows."""
    for output in outputs:
        for table in _split_rows(output, rows, 4 + classes):
            yield BoxTable(table[:, :4], (table[:, 4:],))
        for table in _split_rows(output, rows, 5 + classes):
            yield BoxTable(table[:, :4], _combine_scores(table[:, 5:], table[:, 4:5]))
    for number, output in enumerate(outputs):
        others = [*outputs[:number], *outputs[number + 1 :]]
        for table in _split_rows(output, rows, 4):
            yield BoxTable(table, tuple(_list_scores(others, rows, classes)))


def _list_scores(outputs: Sequence[Floats], rows: int, classes: int) -> Iterator[Floats]:
    """Read the outputs as scores of `rows` boxes, with the objectness in a column or in a separate output."""
    scores = [table for output in outputs for table in _split_rows(output, rows, classes)]
    objectness = [table for output in outputs for table in _split_rows(output, rows, 1)]
    yield from scores
    for table, column in product(scores, objectness):
        yield table * column
    for output in outputs:
        for table in _split_rows(output, rows, 1 + classes):
            yield from _combine_scores(table[:, 1:], table[:, :1])


def _combine_scores(scores: Floats, objectness: Floats) -> tuple[Floats, ...]:
    """Return the scores unchanged, because they may include the objectness, and multiplied by it."""
    return scores, scores * objectness


def _split_rows(array: Floats, rows: int, columns: int) -> Iterator[Floats]:
    """Read an array as (rows, columns), with the columns on any axis; the first or last may be boxes × columns."""
    if array.size != rows * columns or not columns:
        return
    shape = array.shape[1:] if array.ndim > 1 and array.shape[0] == 1 else array.shape
    if columns == 1:
        yield array.reshape(rows, 1)
        return
    for axis, length in enumerate(shape):
        count, rest = divmod(length, columns)
        if not rest and (count == 1 or axis == len(shape) - 1 or (axis == 0 and count <= MAX_SPLIT)):
            split = array.reshape(*shape[:axis], count, columns, *shape[axis + 1 :])
            yield np.moveaxis(split, axis + 1, -1).reshape(rows, columns)
