"""Search for the boxes of each head among the outputs of another implementation, in any of the usual layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product
from math import prod

import numpy as np
from numpy.typing import NDArray

from darkparse.evaluation.box_tables import BoxTable, list_tables
from darkparse.evaluation.differences import Floats

MAX_CELLS, MAX_SHARE = 0.75, 0.2
"""Median distance of centers up to which a layout may be correct, in cells, and as a fraction of a large grid.

Even a faulty head predicts boxes near their cells, while rows in a wrong order are spread over the whole grid.
"""
MAX_LOG_RATIO = 5.0
"""Distance of two sizes if one is 0, negative or not finite; otherwise it is the logarithm of their ratio."""
MAX_SAMPLE = 500
"""Number of boxes of a head from which a layout is selected."""


@dataclass(frozen=True, slots=True)
class GridBoxes:
    """Boxes of one head, before any threshold: cell by cell, row by row, anchor by anchor.

    Attributes:
        grid: Rows and columns of cells, and boxes per cell.
        boxes: (B, 4), center x, center y, width, height as fractions of the network's input.
        scores: (B, classes), class scores with objectness included.
    """

    grid: tuple[int, int, int]
    boxes: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class MatchedBoxes:
    """Boxes and scores of a head from the reference, in the form and order of `GridBoxes`.

    Attributes:
        boxes: As in `GridBoxes`.
        scores: As in `GridBoxes`; None if no output contains them.
        layout: Format of the reference's boxes, such as `corners in pixels`.
    """

    boxes: Floats
    scores: Floats | None
    layout: str


@dataclass(frozen=True, slots=True)
class LayoutMatch:
    """Boxes from a model's outputs, in the layout with which they are nearest to those of the heads.

    Attributes:
        heads: Boxes of each head; None for a head that the outputs do not contain.
        distance: Distance from the heads' boxes; infinite if no layout fits.
    """

    heads: tuple[MatchedBoxes | None, ...]
    distance: float


def match_layout(outputs: Sequence[Floats], heads: Sequence[GridBoxes], input_size: tuple[int, int]) -> LayoutMatch:
    """Find each head's boxes among a model's outputs.

    One tensor (N, B, 4 + classes), with or without a column for the objectness, is tried before separate tensors for
    boxes and confidences; each may contain all heads in any order, or one head. The layout whose boxes are nearest to
    those of the heads is selected.

    Args:
        outputs: Arrays with a batch of 1.
        heads: Boxes to search for.
        input_size: Height and width of the network's input, in pixels.
    """
    tables = [list(_list_head_tables(outputs, heads, index)) for index in range(len(heads))]
    best = LayoutMatch((None,) * len(heads), np.inf)
    if not any(tables):
        return best
    for layout in _list_layouts(input_size):
        choices = [layout.choose(head, head_tables) for head, head_tables in zip(heads, tables, strict=True)]
        distance = sum(distance for _, distance in choices)
        if distance < best.distance:
            matches = (
                None if table is None else layout.match(head, table)
                for head, (table, _) in zip(heads, choices, strict=True)
            )
            best = LayoutMatch(tuple(matches), distance)
    return best


@dataclass(frozen=True, slots=True)
class _Layout:
    """Format of boxes.

    Attributes:
        order: Axes of the rows from the slowest: 0 for rows of cells, 1 for columns, 2 for boxes of a cell.
        decode: Function from a box's four numbers to center x, center y, width, height.
        unit: (4,), divisors that convert these to fractions of the input.
        name: Name in reports.
    """

    order: tuple[int, ...]
    decode: Callable[[Floats], Floats]
    unit: Floats
    name: str

    def locate(self, grid: tuple[int, int, int]) -> NDArray[np.intp]:
        """Return the row of each box of `GridBoxes` in a table of this order."""
        rows = np.arange(prod(grid)).reshape([grid[axis] for axis in self.order])
        return rows.transpose(np.argsort(self.order)).ravel()

    def choose(self, head: GridBoxes, tables: Sequence[BoxTable]) -> tuple[BoxTable | None, float]:
        """Return the table whose boxes are nearest to the head's, and their distance; None and 0 without tables."""
        count = len(head.boxes)
        sample = np.random.default_rng(0).permutation(count)[:MAX_SAMPLE]
        rows = self.locate(head.grid)[sample]
        distances = [
            _measure_distance(self.decode(table.boxes[rows]) / self.unit, head.boxes[sample], head.grid)
            for table in tables
        ]
        nearest = int(np.argmin(distances)) if tables else -1
        return (tables[nearest], distances[nearest]) if tables else (None, 0.0)

    def match(self, head: GridBoxes, table: BoxTable) -> MatchedBoxes:
        """Read the boxes, and those of the possible scores that are nearest to the head's."""
        rows = self.locate(head.grid)
        scores = [array[rows] for array in table.scores]
        distances = [float(np.nan_to_num(np.abs(array - head.scores), nan=np.inf).mean()) for array in scores]
        nearest = scores[int(np.argmin(distances))] if scores else None
        return MatchedBoxes(self.decode(table.boxes[rows]) / self.unit, nearest, self.name)


def _list_layouts(input_size: tuple[int, int]) -> Iterator[_Layout]:
    """Yield all layouts, for an input of this height and width in pixels."""
    pixels = np.array((input_size[1], input_size[0]) * 2, np.float32)
    units = {"fractions of the input": np.ones(4, np.float32), "pixels": pixels}
    for order, (encoding, decode), (unit, divisor) in product(permutations(range(3)), ENCODINGS.items(), units.items()):
        yield _Layout(order, decode, divisor, f"{encoding} in {unit}")


def _list_head_tables(outputs: Sequence[Floats], heads: Sequence[GridBoxes], index: int) -> Iterator[BoxTable]:
    """Read the outputs as boxes of one head, or as boxes of all heads, of which a part belongs to this head."""
    sizes = [len(head.boxes) for head in heads]
    rows, classes = sizes[index], heads[index].scores.shape[1]
    starts = _list_starts(sizes[:index] + sizes[index + 1 :])
    for table, start in product(list_tables(outputs, sum(sizes), classes), starts):
        part = slice(start, start + rows)
        yield BoxTable(table.boxes[part], tuple(scores[part] for scores in table.scores))
    if len(heads) > 1:
        yield from list_tables(outputs, rows, classes)


def _list_starts(other_sizes: Sequence[int]) -> list[int]:
    """Return the rows at which a head may start, because heads may be joined in any order."""
    subsets = (subset for count in range(len(other_sizes) + 1) for subset in combinations(other_sizes, count))
    return sorted({sum(subset) for subset in subsets})


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
"""Formats of a box in four numbers, with the functions that convert them to center x, center y, width and height."""


def _measure_distance(boxes: Floats, expected: Floats, grid: tuple[int, int, int]) -> float:
    """Measure the distance of boxes (B, 4) from the expected ones; infinite if they cannot be the same boxes.

    A mistake often affects either centers or sizes, a wrong layout both, so the product of both distances decides.
    """
    rows, columns, _ = grid
    with np.errstate(all="ignore"):
        cells = np.abs(boxes[:, :2] - expected[:, :2]) * (columns, rows)
        ratios = np.abs(np.log(boxes[:, 2:] / expected[:, 2:]))
    center_distance = float(np.median(cells.max(1)))
    if not center_distance <= max(MAX_CELLS, MAX_SHARE * max(rows, columns)):
        return np.inf
    size_distance = float(np.median(np.nan_to_num(ratios, nan=MAX_LOG_RATIO, posinf=MAX_LOG_RATIO)))
    return center_distance * size_distance + (center_distance + size_distance) / 10
