"""Layers whose output is decoded to detections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from darkparse.layers.activations import Activation
from darkparse.layers.anchors import MAX_ANCHOR_IN_CELLS, check_anchors
from darkparse.layers.base import LayerError, keys, layer, option
from darkparse.layers.capabilities import LossLayer
from darkparse.layers.dialect import Dialect
from darkparse.layers.head import Head, format_count
from darkparse.layers.parts import check_tree
from darkparse.layers.shape import Layout, Shape
from darkparse.layers.specs import Deviation, LayerContext, LossSpec, ModuleSpec
from darkparse.layers.training import DetectionTraining, RegionTraining, Training, YoloTraining
from darkparse.layers.tree import read_tree
from darkparse.layers.values import read_choice

HEADS_MODULE = "darkparse.model.heads"
DECODERS_MODULE = "darkparse.model.decoders"
LOSSES_PACKAGE = "darkparse.training.losses"
SOFTMAX_FOR_SIGMOID, SIGMOID_FOR_SOFTMAX = (
    "softmax over the classes instead of sigmoid",
    "sigmoid of the classes instead of softmax",
)


def get_anchor_pairs(anchors: tuple[float, ...], indices: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Width and height of some anchors; .5 where the cfg has none (yolo_layer.c make_yolo_layer)."""
    sides = ((2 * i, 2 * i + 1) for i in indices)
    return tuple((anchors[w] if w < len(anchors) else 0.5, anchors[h] if h < len(anchors) else 0.5) for w, h in sides)


class MaskedHead(Head, LossLayer):
    """A head that uses some of a list of anchors."""

    needs_map = True
    anchor_options = "mask= and anchors="

    num: int
    mask: tuple[int, ...] | None
    anchors: tuple[float, ...]
    scale_x_y: float
    map: PurePath | None

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

    def get_anchor(self, predictor: int) -> int:
        return self.indices[predictor]

    def get_loss_arguments(self, ctx: LayerContext, options: YoloTraining, net: Shape) -> dict[str, Any]:
        """Keyword arguments that the losses of these heads share."""
        return self.options("classes", "map") | {
            "options": options,
            "anchors": get_anchor_pairs(self.anchors, tuple(range(max(self.num, *(i + 1 for i in self.indices))))),
            "mask": self.indices,
            "strides": (net.w / ctx.output.w, net.h / ctx.output.h),
        }

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in use, in pixels of the network's input; .5 where the cfg has none."""
        return get_anchor_pairs(self.anchors, self.indices)

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.mask is not None and min(self.mask, default=-1) < 0:
            raise LayerError("mask must name anchors by their position, counted from 0", option="mask")
        return super().infer_shape(inputs, dialect)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield from super().known_deviations(ctx)
        if self.scale_x_y != 1:
            description = f"x and y without scale_x_y={self.scale_x_y:g}"
            yield Deviation(description, tuple(spec.with_kwargs(scale_x_y=1.0) for spec in self.modules(ctx)))

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        errors = check_anchors(self.anchors, self.num, self.indices, "mask" if self.mask else "num")
        sides = [side for box in self.boxes for side in box]
        fractions = any(side % 1 for side in self.anchors)
        if not errors and (min(sides) < 1 or (fractions and max(self.anchors) < MAX_ANCHOR_IN_CELLS)):
            minimum, maximum = min(self.anchors), max(self.anchors)
            message = (
                f"anchors of {minimum:g} to {maximum:g} pixels: [{self.kind}] wants pixels, [region] cells of the grid"
            )
            errors = (LayerError(message, option="anchors", code="anchors"),)
        highest = max(self.mask or (0,))
        if highest < self.num:
            return errors
        message = (
            f"mask names anchor {highest} of num={self.num}; Darknet reads past its list, darkparse takes the anchors "
            "as written"
        )
        return (*errors, LayerError(message, option="mask", code="mask"))


ANCHOR_TRAINING = keys("jitter random")
YOLO_TRAINING = keys(
    "resize track_history_size sim_thresh dets_for_track dets_for_show track_ciou_norm embedding_layer",
    dialect="alexeyab",
)


@layer("yolo")
class Yolo(MaskedHead):
    """The head of YOLOv3 and v4 (yolo_layer.c): x, y, objectness and classes logistic unless `new_coords`."""

    training = ANCHOR_TRAINING | YOLO_TRAINING
    loss_options = YoloTraining

    classes: int = option(default=20, minimum=0)
    num: int = option(default=1, minimum=1)
    mask: tuple[int, ...] | None = option(default=None)
    anchors: tuple[float, ...] = option(default=())
    scale_x_y: float = option(default=1.0, dialect="alexeyab")
    new_coords: bool = option(default=False, dialect="alexeyab")
    nms_kind: str = option(
        default="default", dialect="alexeyab", read=read_choice("default", "greedynms", "diounms", fallback="default")
    )
    beta_nms: float = option(default=0.6, dialect="alexeyab")
    map: PurePath | None = option(default=None, is_file=True)

    @property
    def expected_activation(self) -> Activation:
        return "logistic" if self.new_coords else "linear"

    @property
    def entries(self) -> int:
        return 5 + self.classes

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        return ModuleSpec(
            "boxes", f"{DECODERS_MODULE}.YoloDecoder", {"anchors": self.boxes, "new_coords": self.new_coords}
        )

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"anchors": self.predictors, **self.options("classes", "scale_x_y"), "logistic": not self.new_coords}
        return (ModuleSpec("head", f"{HEADS_MODULE}.YoloHead", kwargs),)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield from super().known_deviations(ctx)
        is_logistic, description = self.new_coords, "no logistic function in the head"
        if is_logistic:
            description = "a logistic function in a head with new_coords"
        yield Deviation(description, tuple(spec.with_kwargs(logistic=is_logistic) for spec in self.modules(ctx)))
        if not self.new_coords:
            kwargs = {"anchors": self.predictors, "classes": self.classes, "coords": 4, "softmax": True}
            softmax = ModuleSpec(
                "head", f"{HEADS_MODULE}.RegionHead", kwargs | {"group_sizes": None, "background": False}
            )
            yield Deviation(SOFTMAX_FOR_SIGMOID, (softmax,))

    def box_deviations(self, ctx: LayerContext, decoder: ModuleSpec) -> Iterable[Deviation]:
        yield from super().box_deviations(ctx, decoder)
        modules, other_decoder = self.modules(ctx), decoder.with_kwargs(new_coords=not self.new_coords)
        if self.new_coords:
            yield Deviation("boxes without new_coords=1", (*modules, other_decoder))
            head = tuple(spec.with_kwargs(logistic=True, scale_x_y=1.0) for spec in modules)
            yield Deviation("boxes without new_coords=1 and scale_x_y", (*head, other_decoder))
            return
        yield Deviation("boxes as with new_coords=1", (*modules, other_decoder))
        sigmoid = ModuleSpec("activation", "torch.nn.Sigmoid", {})
        head = tuple(spec.with_kwargs(logistic=False) for spec in modules)
        yield Deviation("boxes as with new_coords=1, after sigmoid", (sigmoid, *head, other_decoder))

    def loss(self, ctx: LayerContext, options: YoloTraining, net: Shape) -> LossSpec:
        arguments = self.get_loss_arguments(ctx, options, net)
        if not ctx.dialect.training.accumulates_deltas:
            return LossSpec(f"{LOSSES_PACKAGE}.yolo.YoloLoss", arguments)
        return LossSpec(f"{LOSSES_PACKAGE}.yolo.AlexeyYoloLoss", arguments | {"new_coords": self.new_coords})

    def summary(self, ctx: LayerContext) -> str:
        return "YOLO head"


@layer("Gaussian_yolo", dialect="alexeyab")
class GaussianYolo(MaskedHead):
    """A YOLO head that predicts a mean and a deviation for each number of a box (gaussian_yolo_layer.c)."""

    training = ANCHOR_TRAINING | YOLO_TRAINING
    loss_options = YoloTraining

    classes: int = option(default=20, minimum=0)
    num: int = option(default=1, minimum=1)
    mask: tuple[int, ...] | None = option(default=None)
    anchors: tuple[float, ...] = option(default=())
    scale_x_y: float = option(default=1.0)
    nms_kind: str = option(
        default="default", read=read_choice("default", "greedynms", "diounms", "cornersnms", fallback="default")
    )
    beta_nms: float = option(default=0.6)
    yolo_point: str = option(
        default="center", read=read_choice("center", "left_top", "right_bottom", fallback="center")
    )
    map: PurePath | None = option(default=None, is_file=True)

    @property
    def entries(self) -> int:
        return 9 + self.classes

    @property
    def shift(self) -> float:
        """From the point that is predicted to the centre, in shares of the box."""
        return {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}[self.yolo_point]

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        return ModuleSpec("boxes", f"{DECODERS_MODULE}.GaussianDecoder", {"anchors": self.boxes, "shift": self.shift})

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"anchors": self.predictors, "classes": self.classes, "scale_x_y": self.scale_x_y}
        return (ModuleSpec("head", f"{HEADS_MODULE}.GaussianYoloHead", kwargs),)

    def loss(self, ctx: LayerContext, options: YoloTraining, net: Shape) -> LossSpec:
        arguments = self.get_loss_arguments(ctx, options, net) | {"shift": self.shift}
        return LossSpec(f"{LOSSES_PACKAGE}.gaussian.GaussianYoloLoss", arguments)

    def summary(self, ctx: LayerContext) -> str:
        return "Gaussian YOLO head"


@layer("region")
class Region(Head, LossLayer):
    """The head of YOLOv2 (region_layer.c): its output lies plane by plane in pjreddie's fork,
    cell by cell in AlexeyAB's."""

    needs_map = True
    anchor_options = "num= and anchors="
    training = keys("jitter random log sqrt absolute mask_scale") | keys("resize", dialect="alexeyab")
    loss_options = RegionTraining

    classes: int = option(default=20, minimum=0)
    coords: int = option(default=4, minimum=4)
    num: int = option(default=1, minimum=1)
    softmax: bool = option(default=False)
    background: bool = option(default=False, dialect="pjreddie")
    anchors: tuple[float, ...] = option(default=())
    tree: PurePath | None = option(default=None, is_file=True)
    map: PurePath | None = option(default=None, is_file=True)

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
        return get_anchor_pairs(self.anchors, tuple(range(self.num)))

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.tree is not None:
            check_tree(self.tree, self.classes, "classes of this head")
        out = super().infer_shape(inputs, dialect)
        return replace(out, layout=Layout.CELLS) if dialect.region_interleaved else out

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        errors = check_anchors(self.anchors, self.num, tuple(range(self.num)), "num")
        largest = max(self.anchors, default=0)
        if errors or largest <= 2 * max(ctx.input.h, ctx.input.w):
            return errors
        message = (
            f"an anchor of {largest:g} on a grid of {ctx.input.h}×{ctx.input.w}: [region] wants cells, [yolo] pixels"
        )
        return (LayerError(message, option="anchors", code="anchors"),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        sizes = read_tree(self.tree).group_sizes if self.tree is not None else None
        kwargs = {"anchors": self.num, **self.options("classes", "coords", "softmax"), "group_sizes": sizes}
        if ctx.dialect.region_interleaved:
            return (ModuleSpec("head", f"{HEADS_MODULE}.InterleavedRegionHead", kwargs),)
        return (ModuleSpec("head", f"{HEADS_MODULE}.RegionHead", kwargs | {"background": self.background}),)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield from super().known_deviations(ctx)
        if self.tree is None:
            without = "no softmax over the classes" if ctx.dialect.region_interleaved else SIGMOID_FOR_SOFTMAX
            description = without if self.softmax else SOFTMAX_FOR_SIGMOID
            yield Deviation(description, tuple(s.with_kwargs(softmax=not self.softmax) for s in self.modules(ctx)))

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        kwargs = self.options("classes", "coords", "background", "tree") | {
            "anchors": self.boxes,
            "interleaved": dialect.region_interleaved,
            "map": self.map if use_class_map else None,
            "hierarchy": hierarchy,
        }
        return ModuleSpec("boxes", f"{DECODERS_MODULE}.RegionDecoder", kwargs)

    def thresholds_objectness(self, dialect: Dialect, *, use_class_map: bool) -> bool:
        """AlexeyAB's fork asks of boxes with a word tree alone (region_layer.c get_region_boxes)."""
        return not dialect.region_interleaved or (
            self.tree is not None and not (use_class_map and self.map is not None)
        )

    def loss(self, ctx: LayerContext, options: RegionTraining, net: Shape) -> LossSpec:
        if self.coords > 4:
            raise LayerError("coords above 4 are masks, whose training is left out", option="coords")
        kwargs = self.options("classes", "softmax", "tree", "map") | {"options": options, "anchors": self.boxes}
        if ctx.dialect.region_interleaved:
            return LossSpec(f"{LOSSES_PACKAGE}.region.AlexeyRegionLoss", kwargs)
        return LossSpec(f"{LOSSES_PACKAGE}.region.RegionLoss", kwargs | {"background": self.background})

    def summary(self, ctx: LayerContext) -> str:
        return "region head (v2)"


@layer("detection")
class DetectionHead(Head, LossLayer):
    """The head of YOLOv1: a vector of class probabilities, objectness and boxes for a grid (detection_layer.c)."""

    is_size_bound = True
    stays_in_letterbox = True
    training = keys("jitter max reorg") | keys("resize", dialect="alexeyab")
    loss_options = DetectionTraining

    classes: int = option(default=1, minimum=0)
    coords: int = option(default=1, minimum=0)
    num: int = option(default=1, minimum=1)
    side: int = option(default=7, minimum=1)
    softmax: bool = option(default=False)
    sqrt: bool = option(default=False)

    @property
    def predictors(self) -> int:
        return self.num

    @property
    def entries(self) -> int:
        return 1 + self.coords

    @property
    def required_channels(self) -> int:
        return self.side**2 * (self.num * self.entries + self.classes)

    @property
    def channels_per_class(self) -> int:
        return self.side**2

    @property
    def formula(self) -> str:
        return f"{self.side}×{self.side} × ({self.num}×{1 + self.coords} + {format_count(self.classes)})"

    def get_grid(self, shape: Shape) -> tuple[int, int]:
        return self.side, self.side

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if inputs[0].size != self.required_channels:
            supply = f"the layer before gives {inputs[0].size}: output={self.required_channels} belongs there"
            raise LayerError(
                f"this head needs {self.required_channels} values = {self.formula}, {supply}", input=0, code="head"
            )
        return Shape.flat(self.required_channels)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"cells": self.side**2, "classes": self.classes, "softmax": self.softmax}
        return (ModuleSpec("head", f"{HEADS_MODULE}.DetectionHead", kwargs),)

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        kwargs = self.options("side", "num", "classes", "coords", "sqrt")
        return ModuleSpec("boxes", f"{DECODERS_MODULE}.GridDecoder", kwargs)

    def box_deviations(self, ctx: LayerContext, decoder: ModuleSpec) -> Iterable[Deviation]:
        yield from super().box_deviations(ctx, decoder)
        description = f"width and height {'without' if self.sqrt else 'as with'} sqrt=1"
        yield Deviation(description, (*self.modules(ctx), decoder.with_kwargs(sqrt=not self.sqrt)))

    def thresholds_objectness(self, dialect: Dialect, *, use_class_map: bool) -> bool:
        return False

    def loss(self, ctx: LayerContext, options: DetectionTraining, net: Shape) -> LossSpec:
        if self.coords != 4:
            raise LayerError("a box has 4 coords in training", option="coords")
        kwargs = self.options("classes", "num", "side", "sqrt") | {"options": options}
        return LossSpec(f"{LOSSES_PACKAGE}.detection.DetectionLoss", kwargs)

    def summary(self, ctx: LayerContext) -> str:
        return "detection head (v1)"


@layer("iseg", dialect="pjreddie")
class Iseg(Head, LossLayer):
    """Instance segmentation: class maps, logistic, and an embedding for each pixel (iseg_layer.c)."""

    needs_map = True
    loss_options = Training

    classes: int = option(default=20, minimum=0)
    ids: int = option(default=32, minimum=0)

    @property
    def predictors(self) -> int:
        return 1

    @property
    def entries(self) -> int:
        return self.classes + self.ids

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("head", f"{HEADS_MODULE}.IsegHead", {"classes": self.classes}),)

    def loss(self, ctx: LayerContext, options: Training, net: Shape) -> LossSpec:
        raise LayerError("[iseg] is not trained here: its loss needs a mask for every object, and no cfg ships with it")

    def summary(self, ctx: LayerContext) -> str:
        return "segmentation head"
