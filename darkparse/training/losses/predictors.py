"""Shared code of the box heads: the predictors of a batch as rows, and their assignment to true boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

COMPONENTS = ("box", "objectness", "class")
"""Components of a predictor's entries, in their order."""


@dataclass(eq=False)
class Predictors:
    """Predictors of a batch, one per row, ordered by image, anchor, row and column of the grid.

    Attributes:
        values: (rows, entries), output of the head.
        delta: (rows, entries), delta at the head's input.
        shape: N, anchors, height, width.
        column, row, anchor: (rows,), position of each predictor.
    """

    values: Tensor
    delta: Tensor
    shape: tuple[int, int, int, int]
    column: Tensor
    row: Tensor
    anchor: Tensor

    @classmethod
    def from_output(cls, planes: Tensor) -> Predictors:
        """Build from a head's output (N, anchors, H, W, entries)."""
        n, a, h, w, _ = planes.shape
        values = planes.flatten(0, 3)
        index = torch.arange(len(values), device=values.device)
        return cls(values, torch.zeros_like(values), (n, a, h, w), index % w, index // w % h, index // (h * w) % a)

    @property
    def size(self) -> Tensor:
        """Width and height of the grid, (2,)."""
        return self.values.new_tensor((self.shape[3], self.shape[2]))

    @property
    def grid_xy(self) -> Tensor:
        """Column and row of each predictor's cell, (rows, 2)."""
        return torch.stack((self.column, self.row), 1)

    def by_image(self, x: Tensor) -> Tensor:
        """Reshape (rows, …) to (N, rows per image, …)."""
        return x.reshape(self.shape[0], -1, *x.shape[1:])

    def index(self, image: Tensor, anchor: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Return the row number of a predictor."""
        _, a, h, w = self.shape
        return ((image * a + anchor) * h + row) * w + column

    def cell(self, center: Tensor) -> tuple[Tensor, Tensor]:
        """Return row and column of the cell that contains a point (…, 2).

        For a coordinate of 1, Darknet reads the next value in memory; darkparse uses the last cell.
        """
        column, row = (center * self.size).long().unbind(-1)
        return row.clamp(0, self.shape[2] - 1), column.clamp(0, self.shape[3] - 1)

    def planes(self) -> Tensor:
        """Return the delta as (N, anchors · entries, H, W), the layout of the head's input."""
        return self.delta.reshape(*self.shape, -1).permute(0, 1, 4, 2, 3).flatten(1, 2)


def sum_components(delta: Tensor, predictors: int, box_entries: int) -> dict[str, Tensor]:
    """Sum the squares of a delta (N, predictors · entries, H, W) by component."""
    squares = delta.unflatten(1, (predictors, -1)).square()
    components = squares.split((box_entries, 1, squares.shape[2] - box_entries - 1), 2)
    return {name: component.sum() for name, component in zip(COMPONENTS, components, strict=True)}


@dataclass(frozen=True, eq=False)
class Assignments:
    """Predictors with their assigned true boxes, in Darknet's order.

    Attributes:
        rows: (k,), row numbers of the predictors.
        boxes: (k, 4), true boxes.
        classes: (k,), true classes.
    """

    rows: Tensor
    boxes: Tensor
    classes: Tensor

    def __getitem__(self, index: Tensor) -> Assignments:
        return Assignments(self.rows[index], self.boxes[index], self.classes[index])

    def __len__(self) -> int:
        return len(self.rows)
