"""Loss of `[detection]`, the head of YOLOv1 (detection_layer.c forward_detection_layer)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from darkparse.layers.training import DetectionTraining
from darkparse.training.losses.boxes import iou
from darkparse.training.losses.predictors import COMPONENTS
from darkparse.training.losses.result import HeadResult
from darkparse.training.losses.targets import gather_targets

RANDOM_SEEN = 64_000
"""With `random`, the predictor is chosen at random until this many images were seen."""


class DetectionLoss:
    """Sum of squared differences.

    Only the first true box of each cell counts. It is assigned to the cell's nearest predictor.
    """

    def __init__(self, options: DetectionTraining, classes: int, num: int, side: int, sqrt: bool) -> None:
        self.options, self.classes, self.num, self.side, self.sqrt = options, classes, num, side, sqrt

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
        cells, options = self.side**2, self.options
        delta = torch.zeros_like(output)
        scores, objectness, boxes = self._split(output)
        score_delta, objectness_delta, box_delta = self._split(delta)
        objectness_delta[:] = -options.noobject_scale * objectness
        truths = gather_targets(truth, output, max_boxes=cells * 90, classes=self.classes)
        image, number = truths.valid.nonzero(as_tuple=True)
        truth_boxes, labels = truths.boxes[image, number], truths.classes[image, number]
        column, row = (truth_boxes[:, :2] * self.side).long().clamp(0, self.side - 1).unbind(1)
        cell = row * self.side + column
        first = _find_first(image * cells + cell)
        image, cell, truth_boxes, labels = image[first], cell[first], truth_boxes[first], labels[first]

        y = torch.nn.functional.one_hot(labels, self.classes)
        score_delta[image, cell] = options.class_scale * (y - scores[image, cell])
        corner = torch.stack((cell % self.side, cell // self.side), 1)
        target = torch.cat((truth_boxes[:, :2] * self.side - corner, truth_boxes[:, 2:]), 1)
        predictor, overlap = self._find_nearest(boxes[image, cell], target, seen)
        wanted = overlap if options.rescore else torch.ones_like(overlap)
        objectness_delta[image, cell, predictor] = options.object_scale * (wanted - objectness[image, cell, predictor])
        wanted = torch.cat((target[:, :2], target[:, 2:].sqrt() if self.sqrt else target[:, 2:]), 1)
        box_delta[image, cell, predictor] = options.coord_scale * (wanted - boxes[image, cell, predictor])
        return HeadResult(delta, delta.square().sum(), overlap, objectness.amax())

    def components(self, delta: Tensor) -> dict[str, Tensor]:
        """Return the squared sums of the delta by component."""
        return dict(
            zip(COMPONENTS, (component.square().sum() for component in reversed(self._split(delta))), strict=True)
        )

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return views of x (N, n): scores (N, cells, classes), objectness (N, cells, num), boxes (…, num, 4)."""
        cells = self.side**2
        scores, objectness, boxes = x.split((cells * self.classes, cells * self.num, cells * self.num * 4), 1)
        return (
            scores.unflatten(1, (cells, self.classes)),
            objectness.unflatten(1, (cells, self.num)),
            boxes.unflatten(1, (cells, self.num, 4)),
        )

    def _find_nearest(self, boxes: Tensor, target: Tensor, seen: int) -> tuple[Tensor, Tensor]:
        """Return the predictor of each cell with the best IoU, or else the smallest distance, and its IoU.

        Args:
            boxes: (k, num, 4) of the output.
            target: (k, 4): center within the cell, and size as a fraction of the image.
            seen: Number of images seen.
        """
        scale = boxes.new_tensor((1 / self.side, 1 / self.side, 1, 1))
        extent = boxes[..., 2:].square() if self.sqrt else boxes[..., 2:]
        scaled_boxes, target = torch.cat((boxes[..., :2], extent), -1) * scale, (target * scale)[:, None]
        overlap = iou(scaled_boxes, target)
        distance = (scaled_boxes - target).square().sum(-1).sqrt()
        best = torch.where((overlap > 0).any(1), overlap.argmax(1), distance.argmin(1))
        if self.options.forced:
            best = (target[:, 0, 2] * target[:, 0, 3] < 0.1).long().clamp(max=self.num - 1)
        if self.options.random and seen < RANDOM_SEEN:
            best = torch.randint_like(best, self.num)
        return best, overlap.gather(1, best[:, None])[:, 0]


def _find_first(keys: Tensor) -> Tensor:
    """Return the positions of the first occurrence of each key, ordered by key."""
    order = torch.argsort(keys, stable=True)
    ordered = keys[order]
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return order[is_first]
