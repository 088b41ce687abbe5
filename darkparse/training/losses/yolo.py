"""The loss of `[yolo]` in both forks (yolo_layer.c forward_yolo_layer)."""

from __future__ import annotations

from math import inf
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from darkparse.layers.training import YoloTraining
from darkparse.layers.tree import read_map
from darkparse.training.losses.boxes import KINDS, giou, iou, overlap_delta
from darkparse.training.losses.predictors import Assignments, Rows, parts_of
from darkparse.training.losses.targets import Targets, assignment_rounds, gather

Pairs = tuple[tuple[float, float], ...]


class YoloLoss:
    """pjreddie's: squared distances of the box, objectness and classes; a later truth of a predictor overwrites.

    Every predictor is told that it has no object, but for those whose best IoU with a truth is above `ignore_thresh`,
    or above `truth_thresh`, which get that truth. Then each truth falls to the anchor whose shape is nearest to its
    own, if that is one of this head's, in the cell of its centre.
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

    def __call__(self, output: Tensor, truth: Any, seen: int) -> tuple[Tensor, Tensor]:
        rows = Rows.of(output.unflatten(1, (len(self.mask), -1)).permute(0, 1, 3, 4, 2))
        truths = gather(
            truth, output, most=self.options.max, classes=self.classes, map=self.map, maps_first=self.maps_first
        )
        # The network's input may not be of the cfg's size: the grid follows it.
        net = rows.size * output.new_tensor(self.strides)
        anchors = output.new_tensor(self.anchors)
        of_row = anchors[torch.tensor(self.mask, device=output.device)][rows.anchor]
        boxes = self.decode(rows, of_row / net)
        best, which = self._best(rows, truths, boxes)
        self.ignore(rows, truths, best, which)
        sure = self._claims(rows, truths, which, (best > self.options.truth_thresh).nonzero()[:, 0])
        self.claim_sure(rows, sure, best[sure.rows])
        self.add_boxes(rows, sure, boxes, of_row / net)
        claims = self._assigned(rows, truths, anchors / net)
        for turn in assignment_rounds(claims.rows):
            self.claim(rows, claims[turn])
            self.add_boxes(rows, claims[turn], boxes, of_row / net)
        self.finish(rows)
        return rows.planes() * self.options.delta_normalizer, self.cost(rows, claims, boxes)

    def parts(self, delta: Tensor) -> dict[str, Tensor]:
        """The squares of the delta by what they are for."""
        return parts_of(delta, len(self.mask), self.box_entries)

    def decode(self, rows: Rows, anchors: Tensor) -> Tensor:
        """The box of each predictor (get_yolo_box)."""
        center = (rows.place + rows.values[:, :2]) / rows.size
        return torch.cat((center, rows.values[:, 2:4].exp() * anchors), 1)

    def _best(self, rows: Rows, truths: Targets, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The best IoU of each predictor with a truth of its picture, and which that is."""
        overlap = iou(rows.by_image(boxes)[:, None], truths.boxes[:, :, None])
        best, which = overlap.where(truths.valid[:, :, None], 0.0).max(1)
        return best.flatten(), which.flatten()

    def _claims(self, rows: Rows, truths: Targets, which: Tensor, chosen: Tensor) -> Assignments:
        """Some predictors with one truth each of their picture."""
        image = chosen // (len(rows.values) // rows.shape[0])
        return Assignments(chosen, truths.boxes[image, which[chosen]], truths.classes[image, which[chosen]])

    def _assigned(self, rows: Rows, truths: Targets, anchors: Tensor) -> Assignments:
        """What the truths fall to, in their order: the best anchor of each, then those above `iou_thresh`."""
        corner = torch.zeros_like(truths.boxes[..., :2])
        shape = torch.cat((corner, truths.boxes[..., 2:]), -1)[:, :, None]
        shapes = torch.cat((torch.zeros_like(anchors), anchors), 1)
        best = iou(shapes, shape).argmax(-1)
        position = torch.tensor([self.mask.index(i) if i in self.mask else -1 for i in range(len(anchors))])
        position = position.to(best.device)
        every = torch.arange(len(anchors), device=best.device)
        others = torch.zeros_like(best, dtype=torch.bool)[..., None].expand(-1, -1, len(anchors))
        if self.options.iou_thresh < 1:
            others = KINDS[self.options.iou_thresh_kind](shapes, shape) > self.options.iou_thresh
        anchor = torch.cat((best[..., None], every.expand(others.shape)), -1)
        taken = torch.cat((torch.ones_like(others[..., :1]), others & (every != best[..., None])), -1)
        image, number, slot = (taken & truths.valid[..., None] & (position[anchor] >= 0)).nonzero(as_tuple=True)
        chosen = truths.boxes[image, number]
        row, column = rows.cell(self.corner(chosen))
        place = rows.index(image, position[anchor[image, number, slot]], row, column)
        return Assignments(place, chosen, truths.classes[image, number])

    def corner(self, boxes: Tensor) -> Tensor:
        """The point (k, 2) of a true box whose cell predicts it: its centre."""
        return boxes[:, :2]

    @property
    def objectness(self) -> int:
        """Position among a predictor's entries."""
        return self.box_entries

    def class_values(self, x: Tensor) -> Tensor:
        """The part of the classes (rows, classes)."""
        return x[:, self.box_entries + 1 :]

    def ignore(self, rows: Rows, truths: Targets, best: Tensor, which: Tensor) -> None:
        """No object, nor a delta where a truth is near."""
        missing = -rows.values[:, self.objectness]
        rows.delta[:, self.objectness] = missing.where(best <= self.options.ignore_thresh, 0.0)

    def claim_sure(self, rows: Rows, claims: Assignments, best: Tensor) -> None:
        """Objectness and class of predictors above `truth_thresh`."""
        self.claim(rows, claims)

    def claim(self, rows: Rows, claims: Assignments) -> None:
        """Objectness and class of predictors that a truth falls to, at most one each."""
        rows.delta[claims.rows, self.objectness] = 1 - rows.values[claims.rows, self.objectness]
        self.set_class(rows, claims, self.class_values(rows.delta)[claims.rows, 0] != 0)

    def set_class(self, rows: Rows, claims: Assignments, is_set: Tensor) -> None:
        """Class deltas: of all classes, or of the true one alone where those of an earlier truth are there."""
        delta = self.class_values(rows.delta)
        y = torch.nn.functional.one_hot(claims.classes, self.classes)
        fresh = y - self.class_values(rows.values)[claims.rows]
        delta[claims.rows] = torch.where(is_set[:, None] & (y == 0), delta[claims.rows], fresh)

    def add_boxes(self, rows: Rows, claims: Assignments, boxes: Tensor, anchors: Tensor) -> None:
        """Box deltas, in the place of those of an earlier truth."""
        rows.delta[claims.rows, :4] = self.distance(rows, claims, anchors)

    def distance(self, rows: Rows, claims: Assignments, anchors: Tensor) -> Tensor:
        """(k, 4): target less value of each of x, y, w, h, times 2 - the truth's area."""
        center = claims.boxes[:, :2] * rows.size - rows.place[claims.rows]
        target = torch.cat((center, self.extent(claims.boxes[:, 2:] / anchors[claims.rows])), 1)
        weight = 2 - claims.boxes[:, 2:].prod(1, keepdim=True)
        return weight * (target - rows.values[claims.rows, :4])

    def extent(self, ratio: Tensor) -> Tensor:
        """What a predictor should put out for a side of so many times the anchor's."""
        return ratio.log()

    def finish(self, rows: Rows) -> None:
        """What is done to all deltas in the end."""

    def cost(self, rows: Rows, claims: Assignments, boxes: Tensor) -> Tensor:
        """What Darknet reports."""
        return rows.delta.square().sum()


class AlexeyYoloLoss(YoloLoss):
    """AlexeyAB's: IoU losses, normalizers, several anchors a truth; box deltas of one predictor add up."""

    maps_first = False

    def __init__(self, *, new_coords: bool = False, **rest: Any) -> None:
        super().__init__(**rest)
        self.new_coords = new_coords
        counters = [max(count, 1) for count in self.options.counters_per_class]
        most = self.options.max_delta
        self.multipliers = [min(max(counters) / count, most) for count in counters] or [1.0] * self.classes

    def decode(self, rows: Rows, anchors: Tensor) -> Tensor:
        if not self.new_coords:
            return super().decode(rows, anchors)
        center = (rows.place + rows.values[:, :2]) / rows.size
        return torch.cat((center, rows.values[:, 2:4].square() * 4 * anchors), 1)

    def extent(self, ratio: Tensor) -> Tensor:
        return (ratio / 4).sqrt() if self.new_coords else ratio.log()

    def multiplier(self, claims: Assignments) -> Tensor:
        """(k,): how rare the class of each truth is (`counters_per_class`)."""
        return claims.boxes.new_tensor(self.multipliers)[claims.classes]

    def matched(self, rows: Rows, best: Tensor) -> Tensor:
        """The best IoU where the predictor is sure of some class (compare_yolo_class), else 0."""
        return best.where((self.class_values(rows.values) > 0.25).any(1), 0.0)

    def ignore(self, rows: Rows, truths: Targets, best: Tensor, which: Tensor) -> None:
        matched, objectness = self.matched(rows, best), rows.values[:, self.objectness]
        near = torch.zeros_like(objectness)
        if self.options.objectness_smooth:
            near = torch.maximum(matched - objectness, -objectness)
        delta = torch.where(matched > self.options.ignore_thresh, near, -objectness)
        rows.delta[:, self.objectness] = self.options.obj_normalizer * delta

    def claim_sure(self, rows: Rows, claims: Assignments, best: Tensor) -> None:
        target = best.square() if self.options.objectness_smooth else torch.ones_like(best)
        objectness = target - rows.values[claims.rows, self.objectness]
        rows.delta[claims.rows, self.objectness] = self.options.obj_normalizer * objectness
        self.set_class(rows, claims, self.is_set(rows, claims))
        if self.options.objectness_smooth:
            own = self.multiplier(claims) * (target - self.class_values(rows.values)[claims.rows, claims.classes])
            self.class_values(rows.delta)[claims.rows, claims.classes] = own

    def claim(self, rows: Rows, claims: Assignments) -> None:
        delta = self.options.obj_normalizer * (1 - rows.values[claims.rows, self.objectness])
        delta = delta * self.multiplier(claims)
        if self.keeps_objectness:
            before = rows.delta[claims.rows, self.objectness]
            delta = torch.where(before == 0, delta, before)
        rows.delta[claims.rows, self.objectness] = delta
        self.set_class(rows, claims, self.is_set(rows, claims))

    @property
    def keeps_objectness(self) -> bool:
        """A truth sets objectness only where its delta is 0 (yolo_layer.c:570)."""
        return self.options.objectness_smooth

    def is_set(self, rows: Rows, claims: Assignments) -> Tensor:
        """Where an earlier truth has set the delta of the same class."""
        return self.class_values(rows.delta)[claims.rows, claims.classes] != 0

    def set_class(self, rows: Rows, claims: Assignments, is_set: Tensor) -> None:
        options, delta = self.options, self.class_values(rows.delta)
        p = self.class_values(rows.values)[claims.rows]
        y = torch.nn.functional.one_hot(claims.classes, self.classes)
        smooth = y * (1 - options.label_smooth_eps) + options.label_smooth_eps / 2
        own = (y != 0) & torch.ones_like(is_set)[:, None]
        rare = self.multiplier(claims)[:, None] if options.counters_per_class else torch.ones_like(p[:, :1])
        again = rare * (smooth - p)
        if options.focal_loss:
            sure = p.gather(1, claims.classes[:, None]) + 1e-15
            fresh = (y - p) * 0.5 * -(1 - sure) * (2 * sure * sure.log() + sure - 1)
        else:
            normalizer = options.cls_normalizer if options.counters_per_class else 1.0
            fresh = torch.where(own, rare * normalizer, 1.0) * (smooth - p)
        kept = torch.where(own, again, delta[claims.rows])
        delta[claims.rows] = torch.where(is_set[:, None], kept, fresh)

    def add_boxes(self, rows: Rows, claims: Assignments, boxes: Tensor, anchors: Tensor) -> None:
        factor = self.options.iou_normalizer * self.multiplier(claims)[:, None]
        if self.options.iou_loss == "mse":
            delta = factor * self.distance(rows, claims, anchors)
        else:
            delta = self.limited(factor * self.overlap(rows, claims, boxes))
        rows.delta[claims.rows, :4] += delta

    def overlap(self, rows: Rows, claims: Assignments, boxes: Tensor) -> Tensor:
        """The delta of an IoU loss; width and height through their exponential, without the anchor's share."""
        box = boxes[claims.rows]
        box = torch.cat((box[:, :2], box[:, 2:].where(box[:, 2:] != 0, 1.0)), 1)
        delta = overlap_delta(box, claims.boxes, self.options.iou_loss)
        if not self.new_coords:
            delta[:, 2:] *= self.raw_extent(rows)[claims.rows].exp()
        return delta

    def raw_extent(self, rows: Rows) -> Tensor:
        """What comes in for width and height, (rows, 2)."""
        return rows.values[:, 2:4]

    def limited(self, delta: Tensor) -> Tensor:
        """What is no number as 0, the rest within ±`max_delta`."""
        delta = delta.nan_to_num(0.0, 0.0, 0.0)
        return delta if self.options.max_delta == inf else delta.clamp(-self.options.max_delta, self.options.max_delta)

    def finish(self, rows: Rows) -> None:
        if self.options.iou_thresh < 1:
            self.average(rows, rows.delta[:, self.objectness] != 0)

    def average(self, rows: Rows, where: Tensor) -> None:
        """Box deltas over the number of classes that are drawn up (averages_yolo_deltas)."""
        drawn = (self.class_values(rows.delta) > 0).sum(1).clamp(min=1).where(where, 1)
        rows.delta[:, : self.box_entries] /= drawn[:, None]

    def cost(self, rows: Rows, claims: Assignments, boxes: Tensor) -> Tensor:
        """Of an IoU loss the mean of what is missing to 1, and the squares of the other deltas."""
        options = self.options
        if options.iou_loss == "mse" or not options.show_details:
            return super().cost(rows, claims, boxes)
        overlap = (giou if options.iou_loss == "giou" else iou)(boxes[claims.rows], claims.boxes)
        missing = (1 - overlap).sum() / max(len(claims), 1)
        rest = rows.delta[:, self.box_entries :].square().sum()
        return options.iou_normalizer * missing + options.obj_normalizer * rest
