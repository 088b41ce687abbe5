"""Layers whose output is decoded to detections."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

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

    classes: int

    @property
    @abstractmethod
    def predictors(self) -> int:
        """Boxes that each cell predicts."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """Numbers that each box has."""

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
        if inputs[0].c != self.need:
            gives = f"the layer before gives {inputs[0].c}: filters={self.need} belongs there"
            message = f"this head needs {self.need} channels = {self.formula}, {gives}"
            raise LayerError(message, input=0)
        return inputs[0]


def anchor_pairs(anchors: tuple[float, ...], indices: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Width and height of some anchors; .5 where the cfg has none (yolo_layer.c make_yolo_layer)."""
    sides = ((2 * i, 2 * i + 1) for i in indices)
    return tuple((anchors[w] if w < len(anchors) else 0.5, anchors[h] if h < len(anchors) else 0.5) for w, h in sides)


def _counted(classes: int) -> str:
    return f"{classes} class{'' if classes == 1 else 'es'}"


class MaskedHead(Head):
    """A head that uses some of a list of anchors."""

    __slots__ = ()

    needs_map = True

    num: int
    mask: tuple[int, ...] | None
    anchors: tuple[float, ...]

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
        highest = max(self.mask or (0,))
        if highest < self.num:
            return ()
        message = (
            f"mask names anchor {highest} of num={self.num}; Darknet reads past its list, darkparse takes the anchors "
            "as written"
        )
        return (LayerError(message, option="mask"),)


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
            raise LayerError(f"this head needs {self.need} values = {self.formula}, {gives}", input=0)
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


def asks_objectness(layer: Layer, dialect: Dialect, mapped: bool = False) -> bool:
    """Whether a head's box counts only where its objectness is over the threshold, and not wherever it is not 0.

    detection_layer.c asks for none; AlexeyAB's region_layer.c get_region_boxes for boxes with a word tree alone.
    """
    if not isinstance(layer, Region):
        return not isinstance(layer, Detection)
    return not dialect.region_interleaved or (layer.tree is not None and not (mapped and layer.map is not None))
