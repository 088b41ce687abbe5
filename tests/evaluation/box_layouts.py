"""Boxes of heads as other implementations write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from darkparse.evaluation.box_layouts import GridBoxes
from darkparse.evaluation.differences import Floats

Order = tuple[int, int, int]
"""Axes of the rows from the slowest: 0 rows of cells, 1 columns, 2 boxes of a cell."""


def random_heads(grids: Sequence[tuple[int, int, int]], classes: int, seed: int = 0) -> tuple[list[GridBoxes], Floats]:
    """Return heads with boxes near their cells, and the objectness of all boxes (B, 1)."""
    random = np.random.default_rng(seed)
    heads = []
    for rows, columns, per_cell in grids:
        cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)[:, :, None]
        centers = (cells + random.random((rows, columns, per_cell, 2))) / (columns, rows)
        sizes = np.exp(random.normal(-2, 1, centers.shape))
        boxes = np.concatenate((centers, sizes), -1).reshape(-1, 4).astype(np.float32)
        scores = (random.random((len(boxes), classes)) / 4).astype(np.float32)
        heads.append(GridBoxes((rows, columns, per_cell), boxes, scores))
    count = sum(len(head.boxes) for head in heads)
    return heads, (0.5 + random.random((count, 1)) / 2).astype(np.float32)


def sort_rows(rows: Floats, grid: tuple[int, int, int], order: Order) -> Floats:
    """Write rows (B, …) of a head in another order."""
    cells = rows.reshape(*grid, -1)
    return cells.transpose(*order, 3).reshape(len(rows), -1)


def to_corners(boxes: Floats) -> Floats:
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), 1)


ENCODINGS: dict[str, Callable[[Floats], Floats]] = {
    "centers": lambda boxes: boxes,
    "corners": to_corners,
    "corners, y before x,": lambda boxes: to_corners(boxes)[:, [1, 0, 3, 2]],
}

Form = Callable[[Floats, Floats, Floats], list[Floats]]
"""Boxes (B, 4), scores (B, classes) and objectness (B, 1) to arrays whose first axis counts boxes."""

FORMS: dict[str, Form] = {
    "one tensor": lambda boxes, scores, _: [np.concatenate((boxes, scores), 1)],
    "objectness beside scores": lambda boxes, scores, objectness: [np.concatenate((boxes, objectness, scores), 1)],
    "objectness to multiply": lambda boxes, scores, objectness: [
        np.concatenate((boxes, objectness, scores / objectness), 1)
    ],
    "two tensors": lambda boxes, scores, _: [scores, boxes],
    "two tensors, an axis more": lambda boxes, scores, _: [boxes[:, None], scores],
    "three tensors": lambda boxes, scores, objectness: [boxes, scores / objectness, objectness[:, 0]],
    "objectness before classes": lambda boxes, scores, objectness: [
        boxes,
        np.concatenate((objectness, scores / objectness), 1),
    ],
}


def write_outputs(
    heads: Sequence[GridBoxes],
    objectness: Floats,
    *,
    form: Form = FORMS["one tensor"],
    encoding: str = "centers",
    pixels: tuple[int, int] | None = None,
    order: Order = (0, 1, 2),
    joined: bool = True,
    head_order: Sequence[int] | None = None,
) -> list[Floats]:
    """Write heads as another implementation's outputs (1, B, …); `pixels` is the input's height and width."""
    starts = np.cumsum([0, *(len(head.boxes) for head in heads)])
    unit = np.array((1, 1) if pixels is None else (pixels[1], pixels[0]), np.float32)
    unit = np.tile(unit[::-1] if encoding.endswith("x,") else unit, 2)
    parts = []
    for i in head_order or range(len(heads)):
        head, own = heads[i], objectness[starts[i] : starts[i + 1]]
        boxes, scores, own = (sort_rows(rows, head.grid, order) for rows in (head.boxes, head.scores, own))
        parts.append(form(ENCODINGS[encoding](boxes) * unit, scores, own))
    if joined:
        return [np.concatenate(arrays)[None] for arrays in zip(*parts, strict=True)]
    return [array[None] for arrays in parts for array in arrays]
