"""Loss of `[yolo]` in both forks (yolo_layer.c forward_yolo_layer)."""

from __future__ import annotations

from math import inf
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from darkparse.layers.training import YoloTraining
from darkparse.layers.tree import read_map
from darkparse.training.losses.boxes import IOU_FUNCTIONS, giou, iou, overlap_delta
from darkparse.training.losses.predictors import Assignments, Predictors, sum_components
from darkparse.training.losses.result import HeadResult
from darkparse.training.losses.targets import Targets, assignment_rounds, gather_targets

Pairs = tuple[tuple[float, float], ...]


class YoloLoss:
    """pjreddie's loss: squared differences of box, objectness and classes.

    First every predictor gets a no-object delta, except those whose best IoU with a true box exceeds `ignore_thresh`;
    those above `truth_thresh` are assigned that box. Then each true box is assigned to the anchor with the most similar
    shape, in the cell of its center, if the anchor belongs to this head. A later box of a predictor overwrites an
    earlier one.
    """

    box_entries = 4
    maps_first = True

    def __init__(
        self,
        options: YoloTraining,
        classes: int,
        anchors: Pairs,
        mask: tuple[int, ...],
        strides: tuple[float, float],
        map: PurePath | None,
    ) -> None:
        self.options, self.classes, self.anchors, self.mask = options, classes, anchors, mask
        self.strides, self.map = strides, read_map(map, classes) if map is not None else None

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
        rows = Predictors.from_output(output.unflatten(1, (len(self.mask), -1)).permute(0, 1, 3, 4, 2))
        truths = gather_targets(
            truth, output, max_boxes=self.options.max, classes=self.classes, map=self.map, maps_first=self.maps_first
        )
        # The size of the input follows from the grid, because it may differ from the cfg's.
        net = rows.size * output.new_tensor(self.strides)
        anchors = output.new_tensor(self.anchors)
        row_anchors = anchors[torch.tensor(self.mask, device=output.device)][rows.anchor]
        boxes = self.decode(rows, row_anchors / net)
        best, truth_index = self._find_best(rows, truths, boxes)
        self.set_no_object(rows, truths, best, truth_index)
        confident = self._assign_best(rows, truths, truth_index, (best > self.options.truth_thresh).nonzero()[:, 0])
        self.set_confident_object(rows, confident, best[confident.rows])
        self.add_boxes(rows, confident, boxes, row_anchors / net)
        assignments = self._assign_truths(rows, truths, anchors / net)
        for indices in assignment_rounds(assignments.rows):
            self.set_object(rows, assignments[indices])
            self.add_boxes(rows, assignments[indices], boxes, row_anchors / net)
        self.finish(rows)
        return HeadResult(
            rows.planes() * self.options.delta_normalizer,
            self.cost(rows, assignments, boxes),
            iou(boxes[assignments.rows], assignments.boxes),
            rows.values[:, self.objectness].amax(),
        )

    def components(self, delta: Tensor) -> dict[str, Tensor]:
        """Return the squared sums of the delta by component."""
        return sum_components(delta, len(self.mask), self.box_entries)

    def decode(self, rows: Predictors, anchors: Tensor) -> Tensor:
        """Return the box of each predictor (get_yolo_box)."""
        center = (rows.grid_xy + rows.values[:, :2]) / rows.size
        return torch.cat((center, rows.values[:, 2:4].exp() * anchors), 1)

    def _find_best(self, rows: Predictors, truths: Targets, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return each predictor's best IoU with a true box of its image, and the index of that box."""
        overlap = iou(rows.by_image(boxes)[:, None], truths.boxes[:, :, None])
        best, truth_index = overlap.where(truths.valid[:, :, None], 0.0).max(1)
        return best.flatten(), truth_index.flatten()

    def _assign_best(self, rows: Predictors, truths: Targets, truth_index: Tensor, indices: Tensor) -> Assignments:
        """Assign the best true box of their image to the predictors at `indices`."""
        image = indices // (len(rows.values) // rows.shape[0])
        return Assignments(
            indices, truths.boxes[image, truth_index[indices]], truths.classes[image, truth_index[indices]]
        )

    def _assign_truths(self, rows: Predictors, truths: Targets, anchors: Tensor) -> Assignments:
        """Assign the true boxes, in order: to the best anchor of each, then to those above `iou_thresh`."""
        corner = torch.zeros_like(truths.boxes[..., :2])
        shape = torch.cat((corner, truths.boxes[..., 2:]), -1)[:, :, None]
        shapes = torch.cat((torch.zeros_like(anchors), anchors), 1)
        best = iou(shapes, shape).argmax(-1)
        position = torch.tensor([self.mask.index(i) if i in self.mask else -1 for i in range(len(anchors))])
        position = position.to(best.device)
        anchor_range = torch.arange(len(anchors), device=best.device)
        is_extra = torch.zeros_like(best, dtype=torch.bool)[..., None].expand(-1, -1, len(anchors))
        if self.options.iou_thresh < 1:
            is_extra = IOU_FUNCTIONS[self.options.iou_thresh_kind](shapes, shape) > self.options.iou_thresh
        anchor = torch.cat((best[..., None], anchor_range.expand(is_extra.shape)), -1)
        is_assigned = torch.cat((torch.ones_like(is_extra[..., :1]), is_extra & (anchor_range != best[..., None])), -1)
        image, number, slot = (is_assigned & truths.valid[..., None] & (position[anchor] >= 0)).nonzero(as_tuple=True)
        truth_boxes = truths.boxes[image, number]
        row, column = rows.cell(self.corner(truth_boxes))
        predictors = rows.index(image, position[anchor[image, number, slot]], row, column)
        return Assignments(predictors, truth_boxes, truths.classes[image, number])

    def corner(self, boxes: Tensor) -> Tensor:
        """Return the point (k, 2) of a true box whose cell predicts the box: its center."""
        return boxes[:, :2]

    @property
    def objectness(self) -> int:
        """Index of the objectness among a predictor's entries."""
        return self.box_entries

    def class_values(self, x: Tensor) -> Tensor:
        """Return the class entries, (rows, classes)."""
        return x[:, self.box_entries + 1 :]

    def set_no_object(self, rows: Predictors, truths: Targets, best: Tensor, truth_index: Tensor) -> None:
        """Set the no-object deltas; a predictor whose IoU with a true box exceeds `ignore_thresh` gets none."""
        missing = -rows.values[:, self.objectness]
        rows.delta[:, self.objectness] = missing.where(best <= self.options.ignore_thresh, 0.0)

    def set_confident_object(self, rows: Predictors, assignments: Assignments, best: Tensor) -> None:
        """Set the objectness and class deltas of predictors above `truth_thresh`."""
        self.set_object(rows, assignments)

    def set_object(self, rows: Predictors, assignments: Assignments) -> None:
        """Set the objectness and class deltas of predictors with an assigned true box; each may occur once."""
        rows.delta[assignments.rows, self.objectness] = 1 - rows.values[assignments.rows, self.objectness]
        self.set_class(rows, assignments, self.class_values(rows.delta)[assignments.rows, 0] != 0)

    def set_class(self, rows: Predictors, assignments: Assignments, is_set: Tensor) -> None:
        """Set the class deltas of all classes, or only of the true class where an earlier true box has set them."""
        delta = self.class_values(rows.delta)
        y = torch.nn.functional.one_hot(assignments.classes, self.classes)
        new_delta = y - self.class_values(rows.values)[assignments.rows]
        delta[assignments.rows] = torch.where(is_set[:, None] & (y == 0), delta[assignments.rows], new_delta)

    def add_boxes(self, rows: Predictors, assignments: Assignments, boxes: Tensor, anchors: Tensor) -> None:
        """Set the box deltas; they overwrite those of an earlier true box."""
        rows.delta[assignments.rows, :4] = self.distance(rows, assignments, anchors)

    def distance(self, rows: Predictors, assignments: Assignments, anchors: Tensor) -> Tensor:
        """Return (k, 4): target minus value of x, y, w, h, times 2 minus the true box's area."""
        center = assignments.boxes[:, :2] * rows.size - rows.grid_xy[assignments.rows]
        target = torch.cat((center, self.extent(assignments.boxes[:, 2:] / anchors[assignments.rows])), 1)
        weight = 2 - assignments.boxes[:, 2:].prod(1, keepdim=True)
        return weight * (target - rows.values[assignments.rows, :4])

    def extent(self, ratio: Tensor) -> Tensor:
        """Return the raw output for a side of `ratio` times the anchor's."""
        return ratio.log()

    def finish(self, rows: Predictors) -> None:
        """Modify the complete deltas; the default does nothing."""

    def cost(self, rows: Predictors, assignments: Assignments, boxes: Tensor) -> Tensor:
        """Return the cost that Darknet reports."""
        return rows.delta.square().sum()


class AlexeyYoloLoss(YoloLoss):
    """AlexeyAB's loss: IoU losses, normalizers, several anchors per true box.

    The box deltas of a predictor with several true boxes are added.
    """

    maps_first = False

    def __init__(self, *, new_coords: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.new_coords = new_coords
        counters = [max(count, 1) for count in self.options.counters_per_class]
        max_multiplier = self.options.max_delta
        self.multipliers = [min(max(counters) / count, max_multiplier) for count in counters] or [1.0] * self.classes

    def decode(self, rows: Predictors, anchors: Tensor) -> Tensor:
        if not self.new_coords:
            return super().decode(rows, anchors)
        center = (rows.grid_xy + rows.values[:, :2]) / rows.size
        return torch.cat((center, rows.values[:, 2:4].square() * 4 * anchors), 1)

    def extent(self, ratio: Tensor) -> Tensor:
        return (ratio / 4).sqrt() if self.new_coords else ratio.log()

    def multiplier(self, assignments: Assignments) -> Tensor:
        """Return the weight (k,) of each true box by the rarity of its class (`counters_per_class`)."""
        return assignments.boxes.new_tensor(self.multipliers)[assignments.classes]

    def confident_iou(self, rows: Predictors, best: Tensor) -> Tensor:
        """Return the best IoU where the score of some class exceeds 0.25 (compare_yolo_class), otherwise 0."""
        return best.where((self.class_values(rows.values) > 0.25).any(1), 0.0)

    def set_no_object(self, rows: Predictors, truths: Targets, best: Tensor, truth_index: Tensor) -> None:
        confident_iou, objectness = self.confident_iou(rows, best), rows.values[:, self.objectness]
        delta_near = torch.zeros_like(objectness)
        if self.options.objectness_smooth:
            delta_near = torch.maximum(confident_iou - objectness, -objectness)
        delta = torch.where(confident_iou > self.options.ignore_thresh, delta_near, -objectness)
        rows.delta[:, self.objectness] = self.options.obj_normalizer * delta

    def set_confident_object(self, rows: Predictors, assignments: Assignments, best: Tensor) -> None:
        target = best.square() if self.options.objectness_smooth else torch.ones_like(best)
        objectness = target - rows.values[assignments.rows, self.objectness]
        rows.delta[assignments.rows, self.objectness] = self.options.obj_normalizer * objectness
        self.set_class(rows, assignments, self.is_set(rows, assignments))
        if self.options.objectness_smooth:
            true_class_delta = self.multiplier(assignments) * (
                target - self.class_values(rows.values)[assignments.rows, assignments.classes]
            )
            self.class_values(rows.delta)[assignments.rows, assignments.classes] = true_class_delta

    def set_object(self, rows: Predictors, assignments: Assignments) -> None:
        delta = self.options.obj_normalizer * (1 - rows.values[assignments.rows, self.objectness])
        delta = delta * self.multiplier(assignments)
        if self.keeps_objectness:
            previous = rows.delta[assignments.rows, self.objectness]
            delta = torch.where(previous == 0, delta, previous)
        rows.delta[assignments.rows, self.objectness] = delta
        self.set_class(rows, assignments, self.is_set(rows, assignments))

    @property
    def keeps_objectness(self) -> bool:
        """Whether a true box sets the objectness delta only where it is 0 (yolo_layer.c:570)."""
        return self.options.objectness_smooth

    def is_set(self, rows: Predictors, assignments: Assignments) -> Tensor:
        """Return where an earlier true box has set the delta of the same class."""
        return self.class_values(rows.delta)[assignments.rows, assignments.classes] != 0

    def set_class(self, rows: Predictors, assignments: Assignments, is_set: Tensor) -> None:
        options, delta = self.options, self.class_values(rows.delta)
        p = self.class_values(rows.values)[assignments.rows]
        y = torch.nn.functional.one_hot(assignments.classes, self.classes)
        smooth = y * (1 - options.label_smooth_eps) + options.label_smooth_eps / 2
        is_true_class = (y != 0) & torch.ones_like(is_set)[:, None]
        multiplier = self.multiplier(assignments)[:, None] if options.counters_per_class else torch.ones_like(p[:, :1])
        true_class_delta = multiplier * (smooth - p)
        if options.focal_loss:
            confidence = p.gather(1, assignments.classes[:, None]) + 1e-15
            new_delta = (y - p) * 0.5 * -(1 - confidence) * (2 * confidence * confidence.log() + confidence - 1)
        else:
            normalizer = options.cls_normalizer if options.counters_per_class else 1.0
            new_delta = torch.where(is_true_class, multiplier * normalizer, 1.0) * (smooth - p)
        repeated_delta = torch.where(is_true_class, true_class_delta, delta[assignments.rows])
        delta[assignments.rows] = torch.where(is_set[:, None], repeated_delta, new_delta)

    def add_boxes(self, rows: Predictors, assignments: Assignments, boxes: Tensor, anchors: Tensor) -> None:
        factor = self.options.iou_normalizer * self.multiplier(assignments)[:, None]
        if self.options.iou_loss == "mse":
            delta = factor * self.distance(rows, assignments, anchors)
        else:
            delta = self.clip_delta(factor * self.overlap(rows, assignments, boxes))
        rows.delta[assignments.rows, :4] += delta

    def overlap(self, rows: Predictors, assignments: Assignments, boxes: Tensor) -> Tensor:
        """Return the delta of an IoU loss; width and height pass through exp(), without the anchor's factor."""
        box = boxes[assignments.rows]
        box = torch.cat((box[:, :2], box[:, 2:].where(box[:, 2:] != 0, 1.0)), 1)
        delta = overlap_delta(box, assignments.boxes, self.options.iou_loss)
        if not self.new_coords:
            delta[:, 2:] *= self.raw_extent(rows)[assignments.rows].exp()
        return delta

    def raw_extent(self, rows: Predictors) -> Tensor:
        """Return the raw values of width and height, (rows, 2)."""
        return rows.values[:, 2:4]

    def clip_delta(self, delta: Tensor) -> Tensor:
        """Replace NaN and infinite deltas by 0 and clip the others to ±`max_delta`."""
        delta = delta.nan_to_num(0.0, 0.0, 0.0)
        return delta if self.options.max_delta == inf else delta.clamp(-self.options.max_delta, self.options.max_delta)

    def finish(self, rows: Predictors) -> None:
        if self.options.iou_thresh < 1:
            self.average_deltas(rows, rows.delta[:, self.objectness] != 0)

    def average_deltas(self, rows: Predictors, where: Tensor) -> None:
        """Divide the box deltas of selected predictors by their number of classes with a positive delta, at least 1.

        See averages_yolo_deltas.
        """
        num_classes = (self.class_values(rows.delta) > 0).sum(1).clamp(min=1).where(where, 1)
        rows.delta[:, : self.box_entries] /= num_classes[:, None]

    def cost(self, rows: Predictors, assignments: Assignments, boxes: Tensor) -> Tensor:
        """Return the cost that Darknet reports.

        With an IoU loss and `show_details`, it is the mean of 1 - IoU plus the squares of the other deltas, each
        weighted by its normalizer.
        """
        options = self.options
        if options.iou_loss == "mse" or not options.show_details:
            return super().cost(rows, assignments, boxes)
        overlap = (giou if options.iou_loss == "giou" else iou)(boxes[assignments.rows], assignments.boxes)
        missing = (1 - overlap).sum() / max(len(assignments), 1)
        other_cost = rows.delta[:, self.box_entries :].square().sum()
        return options.iou_normalizer * missing + options.obj_normalizer * other_cost
