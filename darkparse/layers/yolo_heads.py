"""Heads of YOLOv3 and later, which select anchors from a list by `mask`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from darkparse.layers.activations import Activation
from darkparse.layers.anchors import MAX_ANCHOR_IN_CELLS, check_anchors, get_anchor_pairs
from darkparse.layers.base import LayerError, keys, layer, option
from darkparse.layers.capabilities import LossLayer
from darkparse.layers.dialect import Dialect
from darkparse.layers.head import (
    DECODERS_MODULE,
    HEADS_MODULE,
    LOSSES_PACKAGE,
    SOFTMAX_FOR_SIGMOID,
    Head,
)
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, LossSpec, ModuleSpec
from darkparse.layers.training import YoloTraining
from darkparse.layers.values import read_choice


class MaskedHead(Head, LossLayer):
    """Head that selects its anchors from a list by `mask`."""

    needs_map = True
    has_objectness = True
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
        """Positions of the anchors in use; all of them without `mask` (yolo_layer.c make_yolo_layer)."""
        return self.mask if self.mask is not None else tuple(range(self.num))

    def get_anchor(self, predictor: int) -> int:
        return self.indices[predictor]

    def get_loss_arguments(self, ctx: LayerContext, options: YoloTraining, net: Shape) -> dict[str, Any]:
        """Return the keyword arguments that the losses of these heads share."""
        return self.options("classes", "map") | {
            "options": options,
            "anchors": get_anchor_pairs(self.anchors, tuple(range(max(self.num, *(i + 1 for i in self.indices))))),
            "mask": self.indices,
            "strides": (net.w / ctx.output.w, net.h / ctx.output.h),
        }

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in use, in pixels of the network's input; missing values are 0.5."""
        return get_anchor_pairs(self.anchors, self.indices)

    @property
    def listed_anchors(self) -> tuple[tuple[float, float], ...]:
        return get_anchor_pairs(self.anchors, tuple(range(self.num)))

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.mask is not None and min(self.mask, default=-1) < 0:
            raise LayerError("mask must list anchor indices, counted from 0", option="mask")
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
                f"anchors of {minimum:g} to {maximum:g} pixels; [{self.kind}] expects anchors in pixels, [region] "
                f"in grid cells"
            )
            errors = (LayerError(message, option="anchors", code="anchors"),)
        highest = max(self.mask or (0,))
        if highest < self.num:
            return errors
        message = (
            f"mask selects anchor {highest} of num={self.num}; Darknet reads past its array, darkparse uses the "
            "anchors as written"
        )
        return (*errors, LayerError(message, option="mask", code="mask"))


ANCHOR_TRAINING = keys("jitter random")
YOLO_TRAINING = keys(
    "resize",
    dialect="alexeyab",
    track_history_size="Frames that tracking stores.",
    sim_thresh="Minimum similarity of embeddings in tracking.",
    dets_for_track="Detections before an object is tracked.",
    dets_for_show="Detections before an object is shown.",
    track_ciou_norm="Weight of the overlap in tracking, beside the similarity.",
    embedding_layer="Layer with an embedding for each anchor, for tracking.",
)


@layer("yolo")
class Yolo(MaskedHead):
    """The head of YOLOv3 and v4 (yolo_layer.c); x, y, objectness and classes are logistic unless `new_coords`."""

    training = ANCHOR_TRAINING | YOLO_TRAINING
    loss_options = YoloTraining

    classes: int = option(default=20, minimum=0, help="Number of classes.")
    num: int = option(default=1, minimum=1, help="Number of anchors in `anchors`.")
    mask: tuple[int, ...] | None = option(
        default=None, help="Positions in `anchors` that this head uses, counted from 0; all without it."
    )
    anchors: tuple[float, ...] = option(
        default=(), help="Widths and heights of the anchors in pixels of the network's input."
    )
    scale_x_y: float = option(
        default=1.0, dialect="alexeyab", help="Factor that widens the range of a center beyond its cell."
    )
    new_coords: bool = option(
        default=False,
        dialect="alexeyab",
        help="Input is logistic already; width and height are 4·t²·anchor instead of exp(t)·anchor.",
    )
    nms_kind: str = option(
        default="default",
        dialect="alexeyab",
        read=read_choice("default", "greedynms", "diounms", fallback="default"),
        help="Overlap that non-maximum suppression compares.",
    )
    beta_nms: float = option(
        default=0.6, dialect="alexeyab", help="Exponent of the distance term of `greedynms` and `diounms`."
    )
    map: PurePath | None = option(
        default=None, is_file=True, help="File that maps these classes to those of a data set."
    )

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
    """A YOLO head that predicts a mean and a standard deviation per box value (gaussian_yolo_layer.c)."""

    training = ANCHOR_TRAINING | YOLO_TRAINING
    loss_options = YoloTraining

    classes: int = option(default=20, minimum=0, help="Number of classes.")
    num: int = option(default=1, minimum=1, help="Number of anchors in `anchors`.")
    mask: tuple[int, ...] | None = option(
        default=None, help="Positions in `anchors` that this head uses, counted from 0; all without it."
    )
    anchors: tuple[float, ...] = option(
        default=(), help="Widths and heights of the anchors in pixels of the network's input."
    )
    scale_x_y: float = option(default=1.0, help="Factor that widens the range of a center beyond its cell.")
    nms_kind: str = option(
        default="default",
        read=read_choice("default", "greedynms", "diounms", "cornersnms", fallback="default"),
        help="Overlap that non-maximum suppression compares.",
    )
    beta_nms: float = option(default=0.6, help="Exponent of the distance term of `greedynms` and `diounms`.")
    yolo_point: str = option(
        default="center",
        read=read_choice("center", "left_top", "right_bottom", fallback="center"),
        help="Point of a box that x and y predict.",
    )
    map: PurePath | None = option(
        default=None, is_file=True, help="File that maps these classes to those of a data set."
    )

    @property
    def entries(self) -> int:
        return 9 + self.classes

    @property
    def shift(self) -> float:
        """Offset from the predicted point to the center, as a fraction of the box size."""
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
