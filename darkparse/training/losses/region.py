"""Loss of `[region]` in both forks (region_layer.c forward_region_layer)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from darkparse.layers.training import RegionTraining
from darkparse.layers.tree import read_map, read_tree
from darkparse.training.losses.boxes import iou
from darkparse.training.losses.predictors import Assignments, Predictors, sum_components
from darkparse.training.losses.result import HeadResult
from darkparse.training.losses.targets import Targets, assignment_rounds, gather_targets

PRIOR_SEEN, PRIOR_SCALE = 12800, 0.01
"""Until this many images were seen, every predictor is pulled toward its anchor, with this weight."""
CLASS_ONLY_X = 100_000
"""A true box with larger x and y has a class but no position."""


class RegionLoss:
    """pjreddie's loss: squared differences of box, objectness and classes (softmax, logistic or word tree).

    Each true box is assigned to the predictor in the cell of its center whose shape is most similar; with `bias_match`,
    the anchors' shapes are compared.
    """

    maps_first = True

    def __init__(
        self,
        options: RegionTraining,
        classes: int,
        anchors: tuple[tuple[float, float], ...],
        softmax: bool,
        tree: PurePath | None,
        map: PurePath | None,
        background: bool = False,
    ) -> None:
        self.options, self.classes, self.anchors, self.softmax = options, classes, anchors, softmax
        self.tree = read_tree(tree) if tree is not None else None
        self.map = read_map(map, classes) if map is not None else None
        self.background = background

    def __call__(self, output: Tensor, truth: Any, seen: int) -> HeadResult:
        rows = Predictors.from_output(self.planes(output))
        truths = gather_targets(
            truth, output, max_boxes=self.options.max, classes=self.classes, map=self.map, maps_first=self.maps_first
        )
        shapes = output.new_tensor(self.anchors)[rows.anchor] / rows.size
        center = rows.grid_xy + self.center(rows.values)
        boxes = torch.cat((center / rows.size, rows.values[:, 2:4].exp() * shapes), 1)
        overlap = iou(rows.by_image(boxes)[:, None], truths.boxes[:, :, None])
        best, truth_index = (x.flatten() for x in overlap.where(truths.valid[:, :, None], 0.0).max(1))
        self.set_no_object(rows, truths, best, truth_index)
        if seen < PRIOR_SEEN:
            all_rows = torch.arange(len(boxes), device=boxes.device)
            prior = torch.cat(((rows.grid_xy + 0.5) / rows.size, shapes), 1)
            self.set_boxes(rows, Assignments(all_rows, prior, all_rows), shapes, PRIOR_SCALE)
        is_class_only = self._find_class_only(truths)
        assignments = self._assign_truths(rows, truths, boxes, shapes, ~is_class_only)
        for indices in assignment_rounds(assignments.rows):
            self.set_object(rows, assignments[indices], boxes, shapes)
        self._set_class_only(rows, truths, is_class_only)
        overlaps = iou(boxes[assignments.rows], assignments.boxes)
        return HeadResult(self.input_delta(rows), rows.delta.square().sum(), overlaps, rows.values[:, 4].amax())

    def components(self, delta: Tensor) -> dict[str, Tensor]:
        """Return the squared sums of the delta by component."""
        return sum_components(delta, len(self.anchors), 4)

    def planes(self, output: Tensor) -> Tensor:
        """Reshape a head's output to (N, anchors, H, W, entries)."""
        planes: Tensor = output.unflatten(1, (len(self.anchors), -1))
        return planes.permute(0, 1, 3, 4, 2)

    def center(self, values: Tensor) -> Tensor:
        """Return x and y within the cell."""
        return values[:, :2]

    def slope(self, values: Tensor) -> Tensor:
        """Return the slope of the logistic function, by which deltas are multiplied.

        Here it is 1, because `input_delta` applies the slope after the cost is computed.
        """
        return torch.ones_like(values)

    def input_delta(self, rows: Predictors) -> Tensor:
        """Return the delta at the head's input: that of x, y and objectness passes through the logistic function.

        See backward_region_layer_gpu.
        """
        logistic = [0, 1] if self.background else [0, 1, 4]
        rows = Predictors(rows.values, rows.delta.clone(), rows.shape, rows.column, rows.row, rows.anchor)
        rows.delta[:, logistic] *= rows.values[:, logistic] * (1 - rows.values[:, logistic])
        return rows.planes()

    def set_no_object(self, rows: Predictors, truths: Targets, best: Tensor, truth_index: Tensor) -> None:
        """Set the no-object deltas; a predictor whose IoU with a true box exceeds `thresh` gets none."""
        target = 1.0 if self.background else 0.0
        missing = self.options.noobject_scale * (target - rows.values[:, 4])
        rows.delta[:, 4] = missing.where(best <= self.options.thresh, 0.0)

    def set_boxes(self, rows: Predictors, assignments: Assignments, shapes: Tensor, scale: Tensor | float) -> None:
        """Set the box deltas: target minus value of x, y, w, h (delta_region_box)."""
        values, size = rows.values[assignments.rows], shapes[assignments.rows]
        center = assignments.boxes[:, :2] * rows.size - rows.grid_xy[assignments.rows] - self.center(values)
        extent = (assignments.boxes[:, 2:] / size).log() - values[:, 2:4]
        rows.delta[assignments.rows, :4] = scale * torch.cat((center * self.slope(self.center(values)), extent), 1)

    def box_scale(self, assignments: Assignments) -> Tensor | float:
        return self.options.coord_scale * (2 - assignments.boxes[:, 2:].prod(1, keepdim=True))

    def _assign_truths(
        self, rows: Predictors, truths: Targets, boxes: Tensor, shapes: Tensor, has_box: Tensor
    ) -> Assignments:
        """Assign each true box to the predictor in its cell with the most similar shape."""
        image, number = (truths.valid & has_box[:, None]).nonzero(as_tuple=True)
        truth_boxes = truths.boxes[image, number]
        row, column = rows.cell(truth_boxes[:, :2])
        anchors = torch.arange(len(self.anchors), device=boxes.device)
        candidates = rows.index(image[:, None], anchors, row[:, None], column[:, None])
        sizes = shapes[candidates] if self.options.bias_match else boxes[candidates][..., 2:]
        origin = torch.zeros_like(sizes)
        shape = torch.cat((torch.zeros_like(truth_boxes[:, :2]), truth_boxes[:, 2:]), 1)
        best = iou(torch.cat((origin, sizes), -1), shape[:, None]).argmax(1, keepdim=True)
        return Assignments(candidates.gather(1, best)[:, 0], truth_boxes, truths.classes[image, number])

    def set_object(self, rows: Predictors, assignments: Assignments, boxes: Tensor, shapes: Tensor) -> None:
        """Set all deltas of predictors with an assigned true box; each predictor may occur once."""
        self.set_boxes(rows, assignments, shapes, self.box_scale(assignments))
        target: Tensor | float = iou(boxes[assignments.rows], assignments.boxes) if self.options.rescore else 1.0
        objectness = rows.values[assignments.rows, 4]
        missing = (0.0 if self.background else target) - objectness
        rows.delta[assignments.rows, 4] = self.options.object_scale * missing * self.slope(objectness)
        self.set_class(rows, assignments, self.options.class_scale)

    def set_class(self, rows: Predictors, assignments: Assignments, scale: Tensor | float) -> None:
        """Set the class deltas of all classes.

        Where an earlier true box has set logistic deltas, only that of the true class is set.
        """
        delta, p = rows.delta[:, 5:], rows.values[assignments.rows, 5:]
        if self.tree is not None:
            has_delta, y = self._tree_targets(assignments.classes, p)
            delta[assignments.rows] = torch.where(has_delta, scale * (y - p), delta[assignments.rows])
            return
        y = torch.nn.functional.one_hot(assignments.classes, self.classes)
        is_set = self.is_set(delta[assignments.rows])
        delta[assignments.rows] = torch.where(
            is_set[:, None] & (y == 0), delta[assignments.rows], scale * self.missing(p, y)
        )

    def is_set(self, delta: Tensor) -> Tensor:
        return (delta[:, 0] != 0) & (not self.softmax)

    def missing(self, p: Tensor, y: Tensor) -> Tensor:
        return y - p

    def _tree_targets(self, classes: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return which nodes get a delta, those of the groups on each class's path, and their targets."""
        has_delta, y = torch.zeros_like(like, dtype=torch.bool), torch.zeros_like(like)
        for k, leaf in enumerate(classes.tolist()):
            for node in self._path(leaf):
                has_delta[k, self._siblings(node)] = True
                y[k, node] = 1
        return has_delta, y

    def _path(self, node: int) -> list[int]:
        """Return a node and all its ancestors."""
        path = []
        while node >= 0:
            path.append(node)
            node = self.tree.parents[node]  # type: ignore[union-attr]
        return path

    def _siblings(self, node: int) -> slice:
        end = 0
        for size in self.tree.group_sizes:  # type: ignore[union-attr]
            end += size
            if node < end:
                break
        return slice(end - size, end)

    def _find_class_only(self, truths: Targets) -> Tensor:
        """Return which images (N,) have a box without a position; they train only a class of the word tree."""
        if self.tree is None:
            return torch.zeros_like(truths.valid[:, 0])
        return ((truths.boxes[..., :2] > CLASS_ONLY_X).all(-1) & truths.valid).any(1)

    def _set_class_only(self, rows: Predictors, truths: Targets, is_class_only: Tensor) -> None:
        """Set the class delta at the image's predictor with the highest probability of that class."""
        rows_per_image = len(rows.values) // rows.shape[0]
        for image in is_class_only.nonzero()[:, 0].tolist():
            image_rows = slice(image * rows_per_image, (image + 1) * rows_per_image)
            number = (truths.boxes[image, :, :2] > CLASS_ONLY_X).all(-1).int().argmax()
            label = truths.classes[image, number]
            p = rows.values[image_rows, 4] * rows.values[image_rows, 5:][:, self._path(int(label))].prod(1)
            likeliest = p.argmax() + image * rows_per_image
            rows.delta[image_rows] = 0
            assignment = Assignments(likeliest[None], truths.boxes[image, number][None], label[None])
            self.set_class(rows, assignment, self.options.class_scale)
            self.set_class_only_objectness(rows, image_rows, likeliest)

    def set_class_only_objectness(self, rows: Predictors, image_rows: slice, likeliest: Tensor) -> None:
        """Set the no-object deltas of all predictors but that one."""
        rows.delta[image_rows, 4] = -self.options.noobject_scale * rows.values[image_rows, 4]
        rows.delta[likeliest, 4] = 0


class AlexeyRegionLoss(RegionLoss):
    """AlexeyAB's loss: deltas of x, y and objectness include the logistic slope; `classfix` and focal loss."""

    maps_first = False

    def planes(self, output: Tensor) -> Tensor:
        planes: Tensor = output.unflatten(3, (len(self.anchors), -1))
        return planes.permute(0, 3, 1, 2, 4)

    def center(self, values: Tensor) -> Tensor:
        return torch.sigmoid(values[:, :2])

    def slope(self, values: Tensor) -> Tensor:
        return values * (1 - values)

    def input_delta(self, rows: Predictors) -> Tensor:
        return rows.planes()

    def box_scale(self, assignments: Assignments) -> Tensor | float:
        return self.options.coord_scale

    def set_no_object(self, rows: Predictors, truths: Targets, best: Tensor, truth_index: Tensor) -> None:
        objectness, options = rows.values[:, 4], self.options
        target = best if options.classfix == -1 else torch.zeros_like(best)
        delta = options.noobject_scale * (target - objectness) * self.slope(objectness)
        is_near = (best > options.thresh) & (options.classfix != -1)
        rows.delta[:, 4] = delta.where(~is_near, 0.0)
        if options.classfix > 0:
            indices = is_near.nonzero()[:, 0]
            image = indices // (len(best) // rows.shape[0])
            assignments = Assignments(
                indices, truths.boxes[image, truth_index[indices]], truths.classes[image, truth_index[indices]]
            )
            confidence = objectness[indices][:, None] if options.classfix == 2 else 1.0
            self.set_class(rows, assignments, options.class_scale * confidence)

    def is_set(self, delta: Tensor) -> Tensor:
        return torch.zeros_like(delta[:, 0], dtype=torch.bool)

    def missing(self, p: Tensor, y: Tensor) -> Tensor:
        if not self.options.focal_loss:
            return y - p
        confidence = (p * y).sum(1, keepdim=True) + 1e-15
        return (y - p) * 0.5 * -(1 - confidence) * (2 * confidence * confidence.log() + confidence - 1)

    def set_class_only_objectness(self, rows: Predictors, image_rows: slice, likeliest: Tensor) -> None:
        """Do nothing: AlexeyAB's Darknet does not change the objectness of such an image."""
