"""Find the boxes of each head among the outputs of another implementation, in any of the usual layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_CELLS, MAX_SHARE = 0.75, 0.2
"""Median distance of centers up to which a layout may be the right one, in cells, and in shares of a large grid:
predictions stay near their cell, even of a faulty head, and rows in a wrong order are all over the grid."""
MAX_LOG_RATIO = 5.0
"""Distance of two sizes of which one is 0, negative or not finite; that of others is the logarithm of their ratio."""
MAX_SPLIT = 16
"""Boxes per cell up to which the first axis of an array is read as boxes × columns."""


@dataclass(frozen=True, slots=True)
class GridBoxes:
    """Boxes of one head, before any threshold: cell by cell, row by row, anchor by anchor.

    Attributes:
        grid: rows and columns of cells, and boxes per cell.
        boxes: (B, 4) center x, center y, width, height as fractions of the network's input.
        scores: (B, classes) class scores, objectness included.
    """

    grid: tuple[int, int, int]
    boxes: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class MatchedBoxes:
    """The other's boxes and scores of a head, in the form and order of `GridBoxes`.

    Attributes:
        boxes: as in `GridBoxes`.
        scores: as in `GridBoxes`; None if none of the outputs holds them.
        layout: how the other writes boxes: `corners in pixels`.
    """

    boxes: Floats
    scores: Floats | None
    layout: str


@dataclass(frozen=True, slots=True)
class _Table:
    """Boxes as the other writes them, a row each, with every reading of the scores that belong to them."""

    boxes: Floats
    scores: tuple[Floats, ...]


@dataclass(frozen=True, slots=True)
class LayoutMatch:
    """The layout that brings a model's outputs nearest to the boxes of some heads.

    Attributes:
        heads: the other's boxes of each head; None for a head that the outputs do not hold.
        distance: how far they are from the heads' boxes; infinite if no layout fits.
    """

    heads: tuple[MatchedBoxes | None, ...]
    distance: float


def match_layout(outputs: Sequence[Floats], heads: Sequence[GridBoxes], input_size: tuple[int, int]) -> LayoutMatch:
    """Find each head's boxes among a model's outputs.

    One tensor (N, B, 4 + classes), with or without a column for the objectness, is tried before boxes and confidences
    in tensors of their own; each may hold all heads in any order, or one head. Of all layouts the one counts that
    brings the boxes nearest to the heads'.

    Args:
        outputs: arrays with a batch of 1.
        heads: what they should hold.
        input_size: height and width of the network's input, in pixels.
    """
    pixels = np.array((input_size[1], input_size[0]) * 2, np.float32)
    units = {"fractions of the input": np.ones(4, np.float32), "pixels": pixels}
    tables = [list(_list_head_tables(outputs, heads, index)) for index in range(len(heads))]
    best = LayoutMatch((None,) * len(heads), np.inf)
    for order, encoding, unit in product(permutations(range(3)), ENCODINGS, units):
        layout = _Layout(order, ENCODINGS[encoding], units[unit], f"{encoding} in {unit}")
        choices = [
            min(
                (_measure_distance(layout.read(table.boxes, head.grid), head), i) for i, table in enumerate(head_tables)
            )
            for head, head_tables in zip(heads, tables, strict=True)
            if head_tables
        ]
        distance = sum(distance for distance, _ in choices)
        if choices and distance < best.distance:
            chosen = iter(choices)
            matches = (
                layout.match(head, head_tables[next(chosen)[1]]) if head_tables else None
                for head, head_tables in zip(heads, tables, strict=True)
            )
            best = LayoutMatch(tuple(matches), distance)
    return best


@dataclass(frozen=True, slots=True)
class _Layout:
    """One way to write boxes.

    Attributes:
        order: axes of the rows from the slowest: 0 rows of cells, 1 columns, 2 boxes of a cell.
        decode: a box's four numbers to center x, center y, width, height.
        unit: (4,) what they are divided by to give fractions of the input.
        name: for reports.
    """

    order: tuple[int, ...]
    decode: Callable[[Floats], Floats]
    unit: Floats
    name: str

    def read(self, table: Floats, grid: tuple[int, int, int]) -> Floats:
        """Convert rows of boxes (B, 4) to the form and order of `GridBoxes`."""
        return self.decode(self.sort(table, grid)) / self.unit

    def sort(self, table: Floats, grid: tuple[int, int, int]) -> Floats:
        """Bring rows (B, …) into the order of `GridBoxes`."""
        lengths = [grid[axis] for axis in self.order]
        return table.reshape(*lengths, -1).transpose(*np.argsort(self.order), 3).reshape(len(table), -1)

    def match(self, head: GridBoxes, table: _Table) -> MatchedBoxes:
        """Read boxes, and of the possible scores those nearest to the head's."""
        scores = [self.sort(array, head.grid) for array in table.scores]
        distances = [float(np.nan_to_num(np.abs(array - head.scores), nan=np.inf).mean()) for array in scores]
        nearest = scores[int(np.argmin(distances))] if scores else None
        return MatchedBoxes(self.read(table.boxes, head.grid), nearest, self.name)


def _list_head_tables(outputs: Sequence[Floats], heads: Sequence[GridBoxes], index: int) -> Iterator[_Table]:
    """Read the outputs as boxes of one head, or of all heads of which one part is its."""
    sizes = [len(head.boxes) for head in heads]
    rows, classes = sizes[index], heads[index].scores.shape[1]
    starts = _list_starts(sizes[:index] + sizes[index + 1 :])
    for table, start in product(_list_tables(outputs, sum(sizes), classes), starts):
        part = slice(start, start + rows)
        yield _Table(table.boxes[part], tuple(scores[part] for scores in table.scores))
    if len(heads) > 1:
        yield from _list_tables(outputs, rows, classes)


def _list_starts(other_sizes: Sequence[int]) -> list[int]:
    """Rows at which a head may begin among others: the heads may be joined in any order."""
    subsets = (subset for count in range(len(other_sizes) + 1) for subset in combinations(other_sizes, count))
    return sorted({sum(subset) for subset in subsets})


def _list_tables(outputs: Sequence[Floats], rows: int, classes: int) -> Iterator[_Table]:
    """Read the outputs as boxes and scores of `rows` rows."""
    for output in outputs:
        for table in _split_rows(output, rows, 4 + classes):
            yield _Table(table[:, :4], (table[:, 4:],))
        for table in _split_rows(output, rows, 5 + classes):
            yield _Table(table[:, :4], _combine_scores(table[:, 5:], table[:, 4:5]))
    for number, output in enumerate(outputs):
        others = [*outputs[:number], *outputs[number + 1 :]]
        for table in _split_rows(output, rows, 4):
            yield _Table(table, tuple(_list_scores(others, rows, classes)))


def _list_scores(outputs: Sequence[Floats], rows: int, classes: int) -> Iterator[Floats]:
    """Read the outputs as scores of `rows` boxes, with the objectness in a column or an output of its own."""
    scores = [table for output in outputs for table in _split_rows(output, rows, classes)]
    objectness = [table for output in outputs for table in _split_rows(output, rows, 1)]
    yield from scores
    for table, column in product(scores, objectness):
        yield table * column
    for output in outputs:
        for table in _split_rows(output, rows, 1 + classes):
            yield from _combine_scores(table[:, 1:], table[:, :1])


def _combine_scores(scores: Floats, objectness: Floats) -> tuple[Floats, ...]:
    """Scores that hold the objectness already, and scores that do not."""
    return scores, scores * objectness


def _split_rows(array: Floats, rows: int, columns: int) -> Iterator[Floats]:
    """Read an array as (rows, columns), the columns on any axis; the first may hold boxes × columns, the last too."""
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


def _read_centers(boxes: Floats) -> Floats:
    return boxes


def _read_corners(boxes: Floats) -> Floats:
    first, second = boxes[:, :2], boxes[:, 2:]
    return np.concatenate(((first + second) / 2, second - first), 1)


def _read_swapped_corners(boxes: Floats) -> Floats:
    return _read_corners(boxes[:, [1, 0, 3, 2]])


ENCODINGS: dict[str, Callable[[Floats], Floats]] = {
    "centers": _read_centers,
    "corners": _read_corners,
    "corners, y before x,": _read_swapped_corners,
}
"""Ways to write a box in four numbers, as functions to center x, center y, width and height."""


def _measure_distance(boxes: Floats, head: GridBoxes) -> float:
    """Measure how far boxes are from the head's; infinite if they cannot be the same boxes.

    A mistake often spoils either centers or sizes, a wrong layout both, so the product of both distances decides.
    """
    rows, columns, _ = head.grid
    with np.errstate(all="ignore"):
        cells = np.abs(boxes[:, :2] - head.boxes[:, :2]) * (columns, rows)
        ratios = np.abs(np.log(boxes[:, 2:] / head.boxes[:, 2:]))
    center_distance = float(np.median(cells.max(1)))
    if not center_distance <= max(MAX_CELLS, MAX_SHARE * max(rows, columns)):
        return np.inf
    size_distance = float(np.median(np.nan_to_num(ratios, nan=MAX_LOG_RATIO, posinf=MAX_LOG_RATIO)))
    return center_distance * size_distance + (center_distance + size_distance) / 10
