"""The loss of `[Gaussian_yolo]` (gaussian_yolo_layer.c forward_gaussian_yolo_layer)."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor

from darkparse.training.losses.predictors import Assignments, Rows
from darkparse.training.losses.targets import Targets
from darkparse.training.losses.yolo import AlexeyYoloLoss

SIGMA = 0.3
"""Added to each deviation under a density."""


class GaussianYoloLoss(AlexeyYoloLoss):
    """A box is four means and deviations in turn, and its loss the density at the target."""

    box_entries = 8

    def __init__(self, shift: float, **rest: Any) -> None:
        super().__init__(**rest)
        self.shift = shift

    def decode(self, rows: Rows, anchors: Tensor) -> Tensor:
        extent = rows.values[:, 4:8:2].exp() * anchors
        point = (rows.place + rows.values[:, 0:4:2]) / rows.size
        return torch.cat((point + self.shift * extent, extent), 1)

    def corner(self, boxes: Tensor) -> Tensor:
        return boxes[:, :2] - self.shift * boxes[:, 2:]

    def raw_extent(self, rows: Rows) -> Tensor:
        return rows.values[:, 4:8:2]

    def ignore(self, rows: Rows, truths: Targets, best: Tensor, which: Tensor) -> None:
        if not self.options.objectness_smooth:
            return super().ignore(rows, truths, best, which)
        matched, objectness = self.matched(rows, best), rows.values[:, self.objectness]
        near = matched > self.options.ignore_thresh
        target = matched.square().where(near, 0.0)
        rows.delta[:, self.objectness] = self.options.obj_normalizer * (target - objectness)
        claims = self._claims(rows, truths, which, near.nonzero()[:, 0])
        return self.set_class(rows, claims, self.is_set(rows, claims))

    @property
    def keeps_objectness(self) -> bool:
        return False

    def is_set(self, rows: Rows, claims: Assignments) -> Tensor:
        return self.class_values(rows.delta)[claims.rows, 0] != 0

    def add_boxes(self, rows: Rows, claims: Assignments, boxes: Tensor, anchors: Tensor) -> None:
        values = rows.values[claims.rows]
        mean, deviation = values[:, 0:8:2], values[:, 1:8:2]
        point = self.corner(claims.boxes) * rows.size - rows.place[claims.rows]
        target = torch.cat((point, (claims.boxes[:, 2:] / anchors[claims.rows]).log()), 1)
        z = (target - mean) / deviation
        density = (-z.square() / 2).exp() / ((2 * pi) ** 0.5 * (deviation + SIGMA))
        weight = (2 - claims.boxes[:, 2:].prod(1, keepdim=True)) / 2 * density / (density + 1e-9)
        of_mean = weight * z / deviation
        of_deviation = weight * (z.square() / deviation - 1 / (deviation + SIGMA)) * self.options.uc_normalizer
        if self.options.iou_loss != "mse":
            of_mean = self.overlap(rows, claims, boxes)
        of_mean = of_mean * self.options.iou_normalizer * self.multiplier(claims)[:, None]
        both = torch.stack((self.limited(of_mean), self.limited(of_deviation)), 2)
        rows.delta[claims.rows, :8] += both.flatten(1)

    def overlap(self, rows: Rows, claims: Assignments, boxes: Tensor) -> Tensor:
        """The same, with what width and height bring to the point that is predicted."""
        delta = super().overlap(rows, claims, boxes)
        extent = delta[:, 2:] / self.raw_extent(rows)[claims.rows].exp()
        return torch.cat((delta[:, :2] - self.shift * extent, delta[:, 2:]), 1)

    def finish(self, rows: Rows) -> None:
        self.average(rows, torch.ones_like(rows.column, dtype=torch.bool))

    def cost(self, rows: Rows, claims: Assignments, boxes: Tensor) -> Tensor:
        return rows.delta.square().sum()
