"""Layers whose output is decoded to detections."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from darkparse.layers.activations import Activation
from darkparse.layers.base import Keys, Layer, LayerError, ModuleSpec, Site, layer, option
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import check_tree
from darkparse.layers.shape import Layout, Shape
from darkparse.layers.tree import read_tree
from darkparse.layers.values import read_word

HEADS = "darkparse.model.heads"
BOX_TRAINING = "jitter random rescore thresh coord_scale object_scale noobject_scale class_scale"


class Head(Layer):
    """A detection head: so many predictors a cell, each with so many numbers."""

    __slots__ = ()

    is_head = True
    anchor_options: ClassVar[str] = ""
    """The options that say how many anchors there are."""
    classes: int

    @property
    def expects(self) -> Activation | None:
        """The activation that the layer before should have; None where the head takes any."""
        return None

    @property
    @abstractmethod
    def predictors(self) -> int:
        """Boxes that each cell predicts."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """Numbers that each box has."""

    def with_anchors(self, count: int) -> Head | None:
        """The head with so many anchors; None if it has none."""
        return None

    @property
    def need(self) -> int:
        """Channels that the layer before must have; before a v1 head, which takes a vector, values."""
        return self.predictors * self.entries

    @property
    def per_class(self) -> int:
        """What one class more adds to that: a number for each box, or for each cell of a v1 head."""
        return self.predictors

    @property
    def formula(self) -> str:
        """How that number comes about: `3 × (80 classes + 5)`."""
        return f"{self.predictors} × ({_counted(self.classes)} + {self.entries - self.classes})"

    def infer(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        given = inputs[0].c
        if given != self.need:
            gives = f"the layer before gives {given}: filters={self.need} belongs there"
            message = f"this head needs {self.need} channels = {self.formula}, {gives}{self.otherwise(given)}"
            raise LayerError(message, input=0, code="head")
        return inputs[0]

    def otherwise(self, given: int) -> str:
        """What else may be meant where the layer before has so many channels: other classes, other anchors."""
        more, rest = divmod(given - self.need, self.per_class)
        classes = self.classes + more
        told = f", or classes={classes} here" if classes > 0 and not rest else ""
        count, rest = divmod(given, self.entries)
        if self.anchor_options and count and not rest:
            return f"{told}, or {self.anchor_options} for {count} anchor{'' if count == 1 else 's'}"
        named = f"classes=, {self.anchor_options.replace(' and ', ' or ')}" if self.anchor_options else "classes="
        return told or f", or else {named} here is wrong"


def anchor_pairs(anchors: tuple[float, ...], indices: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Width and height of some anchors; .5 where the cfg has none (yolo_layer.c make_yolo_layer)."""
    sides = ((2 * i, 2 * i + 1) for i in indices)
    return tuple((anchors[w] if w < len(anchors) else 0.5, anchors[h] if h < len(anchors) else 0.5) for w, h in sides)


def _counted(classes: int) -> str:
    return f"{classes} class{'' if classes == 1 else 'es'}"


LARGEST_IN_CELLS = 20
"""The largest grid of YOLOv2 has 19 cells; anchors with fractions that all lie below this are none in pixels."""


def remarks_on_anchors(
    anchors: tuple[float, ...], num: int, indices: tuple[int, ...], chosen_by: str
) -> tuple[LayerError, ...]:
    """What is odd about a list of anchors of which those at some indices are used."""
    count = len(anchors)
    if not anchors:
        told, option = "there are no anchors: Darknet goes on with 0.5×0.5 for every box", None
    elif count % 2:
        told, option = f"anchors= has {count} numbers, which make no pairs of width and height", "anchors"
    elif 2 * num < count:
        told = (
            f"anchors= has {count} numbers, num={num} has room for {2 * num} of them: pjreddie's Darknet writes past "
        )
        told += "its list, AlexeyAB's drops the rest"
        option = "anchors"
    elif count <= 2 * max(indices):
        first, last = min(indices), max(indices)
        used = f"anchor {last}" if first == last else f"anchors {first} to {last}"
        told = f"{chosen_by}= names {used}, anchors= has {count // 2} pairs: Darknet goes on with 0.5×0.5 for the rest"
        option = chosen_by
    else:
        return ()
    return (LayerError(told, option=option, code="anchors"),)


class MaskedHead(Head):
    """A head that uses some of a list of anchors."""

    __slots__ = ()

    needs_map = True
    anchor_options = "mask= and anchors="

    num: int
    mask: tuple[int, ...] | None
    anchors: tuple[float, ...]

    def with_anchors(self, count: int) -> Head:
        changes: dict[str, Any] = {"mask": tuple(range(count)), "num": max(count, self.num)}
        return replace(self, **changes)

    @property
    def predictors(self) -> int:
        return self.num if self.mask is None else len(self.mask)

    @property
    def indices(self) -> tuple[int, ...]:
        """The anchors in use; without `mask` all of them (yolo_layer.c make_yolo_layer)."""
        return self.mask if self.mask is not None else tuple(range(self.num))

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in use, in pixels of the network's input; .5 where the cfg has none."""
        return anchor_pairs(self.anchors, self.indices)

    def infer(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.mask is not None and min(self.mask, default=-1) < 0:
            raise LayerError("mask must name anchors by their position, counted from 0", option="mask")
        return super().infer(inputs, dialect)

    def remarks(self, at: Site) -> tuple[LayerError, ...]:
        odd = remarks_on_anchors(self.anchors, self.num, self.indices, "mask" if self.mask else "num")
        used = [side for box in self.boxes for side in box]
        fractions = any(side % 1 for side in self.anchors)
        if not odd and (min(used) < 1 or (fractions and max(self.anchors) < LARGEST_IN_CELLS)):
            least, most = min(self.anchors), max(self.anchors)
            told = f"anchors of {least:g} to {most:g} pixels: [{self.kind}] wants pixels, [region] cells of the grid"
            odd = (LayerError(told, option="anchors", code="anchors"),)
        highest = max(self.mask or (0,))
        if highest < self.num:
            return odd
        message = (
            f"mask names anchor {highest} of num={self.num}; Darknet reads past its list, darkparse takes the anchors "
            "as written"
        )
        return (*odd, LayerError(message, option="mask", code="mask"))


YOLO_TRAINING = (
    "show_details max_delta counters_per_class label_smooth_eps objectness_smooth iou_normalizer obj_normalizer "
    "cls_normalizer "
    "delta_normalizer iou_loss iou_thresh_kind resize focal_loss iou_thresh track_history_size sim_thresh "
    "dets_for_track dets_for_show "
    "track_ciou_norm embedding_layer uc_normalizer"
)


@layer("yolo")
class Yolo(MaskedHead):
    """The head of YOLOv3 and v4 (yolo_layer.c): x, y, objectness and classes logistic unless `new_coords`."""

    training = Keys(both="jitter ignore_thresh truth_thresh random max", alexeyab=YOLO_TRAINING)

    classes: int = option(default=20, least=0)
    num: int = option(default=1, least=1)
    mask: tuple[int, ...] | None = option(default=None)
    anchors: tuple[float, ...] = option(default=())
    scale_x_y: float = option(default=1.0, only="alexeyab")
    new_coords: bool = option(default=False, only="alexeyab")
    nms_kind: str = option(
        default="default", only="alexeyab", read=read_word("default", "greedynms", "diounms", fallback="default")
    )
    beta_nms: float = option(default=0.6, only="alexeyab")
    map: Path | None = option(default=None, is_file=True)

    @property
    def expects(self) -> Activation:
        return "logistic" if self.new_coords else "linear"

    @property
    def entries(self) -> int:
        return 5 + self.classes

    def modules(self, at: Site) -> tuple[ModuleSpec, ...]:
        kwargs = {
            "anchors": self.predictors,
            "classes": self.classes,
            "scale_x_y": self.scale_x_y,
            "logistic": not self.new_coords,
        }
        return (ModuleSpec("head", f"{HEADS}.YoloHead", kwargs),)

    def summary(self, at: Site) -> str:
        return "YOLO head"


@layer("Gaussian_yolo", only="alexeyab")
class GaussianYolo(MaskedHead):
    """A YOLO head that predicts a mean and a deviation for each number of a box (gaussian_yolo_layer.c)."""

    training = Keys(both=f"jitter ignore_thresh truth_thresh random max {YOLO_TRAINING}")

    classes: int = option(default=20, least=0)
    num: int = option(default=1, least=1)
    mask: tuple[int, ...] | None = option(default=None)
    anchors: tuple[float, ...] = option(default=())
    scale_x_y: float = option(default=1.0)
    nms_kind: str = option(
        default="default", read=read_word("default", "greedynms", "diounms", "cornersnms", fallback="default")
    )
    beta_nms: float = option(default=0.6)
    yolo_point: str = option(default="center", read=read_word("center", "left_top", "right_bottom", fallback="center"))
    map: Path | None = option(default=None, is_file=True)

    @property
    def entries(self) -> int:
        return 9 + self.classes

    def modules(self, at: Site) -> tuple[ModuleSpec, ...]:
        kwargs = {"anchors": self.predictors, "classes": self.classes, "scale_x_y": self.scale_x_y}
        return (ModuleSpec("head", f"{HEADS}.GaussianYoloHead", kwargs),)

    def summary(self, at: Site) -> str:
        return "Gaussian YOLO head"


@layer("region")
class Region(Head):
    """The head of YOLOv2 (region_layer.c): its output lies plane by plane in pjreddie's fork,
    cell by cell in AlexeyAB's."""

    needs_map = True
    anchor_options = "num= and anchors="
    training = Keys(
        both=f"{BOX_TRAINING} log sqrt max classfix absolute mask_scale bias_match",
        alexeyab="resize focal_loss",
    )

    classes: int = option(default=20, least=0)
    coords: int = option(default=4, least=4)
    num: int = option(default=1, least=1)
    softmax: bool = option(default=False)
    background: bool = option(default=False, only="pjreddie")
    anchors: tuple[float, ...] = option(default=())
    tree: Path | None = option(default=None, is_file=True)
    map: Path | None = option(default=None, is_file=True)

    def with_anchors(self, count: int) -> Head:
        return replace(self, num=count)

    @property
    def predictors(self) -> int:
        return self.num

    @property
    def entries(self) -> int:
        return self.coords + 1 + self.classes

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in cells of the grid; .5 where the cfg has none."""
        return anchor_pairs(self.anchors, tuple(range(self.num)))

    def infer(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.tree is not None:
            check_tree(self.tree, self.classes, "classes of this head")
        out = Head.infer(self, inputs, dialect)
        return replace(out, layout=Layout.CELLS) if dialect.region_interleaved else out

    def remarks(self, at: Site) -> tuple[LayerError, ...]:
        odd = remarks_on_anchors(self.anchors, self.num, tuple(range(self.num)), "num")
        largest = max(self.anchors, default=0)
        if odd or largest <= 2 * max(at.input.h, at.input.w):
            return odd
        told = f"an anchor of {largest:g} on a grid of {at.input.h}×{at.input.w}: [region] wants cells, [yolo] pixels"
        return (LayerError(told, option="anchors", code="anchors"),)

    def modules(self, at: Site) -> tuple[ModuleSpec, ...]:
        kwargs = {
            "anchors": self.num,
            "classes": self.classes,
            "coords": self.coords,
            "softmax": self.softmax,
            "group_sizes": read_tree(self.tree).group_sizes if self.tree is not None else None,
        }
        if at.dialect.region_interleaved:
            return (ModuleSpec("head", f"{HEADS}.InterleavedRegionHead", kwargs),)
        return (ModuleSpec("head", f"{HEADS}.RegionHead", kwargs | {"background": self.background}),)

    def summary(self, at: Site) -> str:
        return "region head (v2)"


@layer("detection")
class Detection(Head):
    """The head of YOLOv1: a vector of class probabilities, objectness and boxes for a grid (detection_layer.c)."""

    training = Keys(both=f"{BOX_TRAINING} max forced reorg", alexeyab="resize")

    classes: int = option(default=1, least=0)
    coords: int = option(default=1, least=0)
    num: int = option(default=1, least=1)
    side: int = option(default=7, least=1)
    softmax: bool = option(default=False)
    sqrt: bool = option(default=False)

    @property
    def predictors(self) -> int:
        return self.num

    @property
    def entries(self) -> int:
        return 1 + self.coords

    @property
    def need(self) -> int:
        return self.side**2 * (self.num * self.entries + self.classes)

    @property
    def per_class(self) -> int:
        return self.side**2

    @property
    def formula(self) -> str:
        return f"{self.side}×{self.side} × ({self.num}×{1 + self.coords} + {_counted(self.classes)})"

    def infer(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if inputs[0].size != self.need:
            gives = f"the layer before gives {inputs[0].size}: output={self.need} belongs there"
            raise LayerError(f"this head needs {self.need} values = {self.formula}, {gives}", input=0, code="head")
        return Shape.flat(self.need)

    def modules(self, at: Site) -> tuple[ModuleSpec, ...]:
        kwargs = {"cells": self.side**2, "classes": self.classes, "softmax": self.softmax}
        return (ModuleSpec("head", f"{HEADS}.DetectionHead", kwargs),)

    def summary(self, at: Site) -> str:
        return "detection head (v1)"


@layer("iseg", only="pjreddie")
class Iseg(Head):
    """Instance segmentation: class maps, logistic, and an embedding for each pixel (iseg_layer.c)."""

    needs_map = True

    classes: int = option(default=20, least=0)
    ids: int = option(default=32, least=0)

    @property
    def predictors(self) -> int:
        return 1

    @property
    def entries(self) -> int:
        return self.classes + self.ids

    def modules(self, at: Site) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("head", f"{HEADS}.IsegHead", {"classes": self.classes}),)

    def summary(self, at: Site) -> str:
        return "segmentation head"
