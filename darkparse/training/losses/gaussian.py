"""Loss of `[Gaussian_yolo]` (gaussian_yolo_layer.c forward_gaussian_yolo_layer)."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor

from darkparse.training.losses.predictors import Assignments, Predictors
from darkparse.training.losses.targets import Targets
from darkparse.training.losses.yolo import AlexeyYoloLoss

SIGMA = 0.3
"""Offset that is added to each deviation in a density."""


class GaussianYoloLoss(AlexeyYoloLoss):
    """Loss of boxes that are predicted as four alternating means and deviations.

    The box deltas follow from the density at the target.
    """

    box_entries = 8

    def __init__(self, shift: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shift = shift

    def decode(self, rows: Predictors, anchors: Tensor) -> Tensor:
        extent = rows.values[:, 4:8:2].exp() * anchors
        point = (rows.grid_xy + rows.values[:, 0:4:2]) / rows.size
        return torch.cat((point + self.shift * extent, extent), 1)

    def corner(self, boxes: Tensor) -> Tensor:
        return boxes[:, :2] - self.shift * boxes[:, 2:]

    def raw_extent(self, rows: Predictors) -> Tensor:
        return rows.values[:, 4:8:2]

    def set_no_object(self, rows: Predictors, truths: Targets, best: Tensor, truth_index: Tensor) -> None:
        if not self.options.objectness_smooth:
            return super().set_no_object(rows, truths, best, truth_index)
        confident_iou, objectness = self.confident_iou(rows, best), rows.values[:, self.objectness]
        is_near = confident_iou > self.options.ignore_thresh
        target = confident_iou.square().where(is_near, 0.0)
        rows.delta[:, self.objectness] = self.options.obj_normalizer * (target - objectness)
        assignments = self._assign_best(rows, truths, truth_index, is_near.nonzero()[:, 0])
        return self.set_class(rows, assignments, self.is_set(rows, assignments))

    @property
    def keeps_objectness(self) -> bool:
        return False

    def is_set(self, rows: Predictors, assignments: Assignments) -> Tensor:
        return self.class_values(rows.delta)[assignments.rows, 0] != 0

    def add_boxes(self, rows: Predictors, assignments: Assignments, boxes: Tensor, anchors: Tensor) -> None:
        values = rows.values[assignments.rows]
        mean, deviation = values[:, 0:8:2], values[:, 1:8:2]
        point = self.corner(assignments.boxes) * rows.size - rows.grid_xy[assignments.rows]
        target = torch.cat((point, (assignments.boxes[:, 2:] / anchors[assignments.rows]).log()), 1)
        z = (target - mean) / deviation
        density = (-z.square() / 2).exp() / ((2 * pi) ** 0.5 * (deviation + SIGMA))
        weight = (2 - assignments.boxes[:, 2:].prod(1, keepdim=True)) / 2 * density / (density + 1e-9)
        mean_delta = weight * z / deviation
        deviation_delta = weight * (z.square() / deviation - 1 / (deviation + SIGMA)) * self.options.uc_normalizer
        if self.options.iou_loss != "mse":
            mean_delta = self.overlap(rows, assignments, boxes)
        mean_delta = mean_delta * self.options.iou_normalizer * self.multiplier(assignments)[:, None]
        deltas = torch.stack((self.clip_delta(mean_delta), self.clip_delta(deviation_delta)), 2)
        rows.delta[assignments.rows, :8] += deltas.flatten(1)

    def overlap(self, rows: Predictors, assignments: Assignments, boxes: Tensor) -> Tensor:
        """Return the delta of an IoU loss for the predicted point, which lies `shift` box sizes before the center."""
        delta = super().overlap(rows, assignments, boxes)
        extent = delta[:, 2:] / self.raw_extent(rows)[assignments.rows].exp()
        return torch.cat((delta[:, :2] - self.shift * extent, delta[:, 2:]), 1)

    def finish(self, rows: Predictors) -> None:
        self.average_deltas(rows, torch.ones_like(rows.column, dtype=torch.bool))

    def cost(self, rows: Predictors, assignments: Assignments, boxes: Tensor) -> Tensor:
        return rows.delta.square().sum()
