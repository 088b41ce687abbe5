"""Emitters for heads, with the values that Darknet stores in `l.output`. Maps are (N, predictors·entries, H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.emitters.dense import softmax_within_groups
from darkparse.onnx.graph import Value

HEADS = "darkparse.model.heads"
Groups = tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianHeadParams:
    """Arguments of `GaussianYoloHead`."""

    anchors: int
    classes: int
    scale_x_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloHeadParams(GaussianHeadParams):
    """Arguments of `YoloHead`."""

    logistic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InterleavedHeadParams:
    """Arguments of `InterleavedRegionHead`."""

    anchors: int
    classes: int
    coords: int
    softmax: bool
    group_sizes: Groups


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionHeadParams(InterleavedHeadParams):
    """Arguments of `RegionHead`."""

    background: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionHeadParams:
    """Arguments of `DetectionHead`."""

    cells: int
    classes: int
    softmax: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IsegHeadParams:
    """Arguments of `IsegHead`."""

    classes: int


def _apply_logistic(ctx: EmitContext, x: Value, is_logistic: Sequence[bool], anchors: int) -> Value:
    """Apply the logistic function to some planes of each predictor."""
    planes = ctx.graph.constant(list(is_logistic) * anchors, "bool", (1, len(is_logistic) * anchors, 1, 1))
    return ctx.op("Where", planes, ctx.op("Sigmoid", x), x)


def _scale_centers(ctx: EmitContext, x: Value, is_center: Sequence[bool], anchors: int, scale: float) -> Value:
    """Scale centers around the middle of their cells (yolo_layer.c, scal_add_cpu)."""
    if scale == 1:
        return x
    shape = (1, len(is_center) * anchors, 1, 1)
    factors = [scale if center else 1.0 for center in is_center] * anchors
    shifts = [0.5 * (scale - 1) if center else 0.0 for center in is_center] * anchors
    return x * ctx.graph.constant(factors, shape=shape) - ctx.graph.constant(shifts, shape=shape)


@emits(f"{HEADS}.YoloHead", params=YoloHeadParams)
def _emit_yolo(ctx: EmitContext, params: YoloHeadParams, x: Value) -> Value:
    """Add a [yolo] head (yolo_layer.c, forward_yolo_layer)."""
    entries = range(5 + params.classes)
    x = _apply_logistic(ctx, x, [i not in (2, 3) for i in entries], params.anchors) if params.logistic else x
    return _scale_centers(ctx, x, [i < 2 for i in entries], params.anchors, params.scale_x_y)


@emits(f"{HEADS}.GaussianYoloHead", params=GaussianHeadParams)
def _emit_gaussian(ctx: EmitContext, params: GaussianHeadParams, x: Value) -> Value:
    """Add a [Gaussian_yolo] head (gaussian_yolo_layer.c:412)."""
    entries = range(9 + params.classes)
    x = _apply_logistic(ctx, x, [i not in (4, 6) for i in entries], params.anchors)
    return _scale_centers(ctx, x, [i in (0, 2) for i in entries], params.anchors, params.scale_x_y)


@emits(f"{HEADS}.RegionHead", params=RegionHeadParams)
def _emit_region(ctx: EmitContext, params: RegionHeadParams, x: Value) -> Value:
    """Add a [region] head (pjreddie region_layer.c:158). With `background`, softmax includes the objectness."""
    grouped = params.softmax or params.group_sizes is not None
    is_logistic = [i < 2 for i in range(params.coords)] + [not params.background] + [not grouped] * params.classes
    x = _apply_logistic(ctx, x, is_logistic, params.anchors)
    joins = params.background and params.group_sizes is None
    sizes = (params.coords + (not joins), params.classes + joins, 0)
    return _apply_softmax(ctx, x, params.anchors, sizes, params.group_sizes) if grouped else x


@emits(f"{HEADS}.InterleavedRegionHead", params=InterleavedHeadParams)
def _emit_interleaved(ctx: EmitContext, params: InterleavedHeadParams, x: Value) -> Value:
    """Add a [region] head with channels last, (N, H, W, predictors·entries) (AlexeyAB region_layer.c:187)."""
    x = _apply_logistic(ctx, x, [i == 4 for i in range(params.coords + 1 + params.classes)], params.anchors)
    if params.softmax or params.group_sizes is not None:
        x = _apply_softmax(ctx, x, params.anchors, (5, params.classes, params.coords - 4), params.group_sizes)
    return ctx.op("Transpose", x, perm=(0, 2, 3, 1))


def _apply_softmax(ctx: EmitContext, x: Value, anchors: int, sizes: tuple[int, int, int], groups: Groups) -> Value:
    """Apply softmax to the classes of each predictor.

    Args:
        ctx: Context of the head.
        x: Planes (N, predictors·entries, H, W).
        anchors: Number of predictors.
        sizes: Number of planes before, of and after the classes.
        groups: Sizes of the groups of classes; None for a single softmax.
    """
    plane_counts = tuple(size for size in sizes if size)
    parts = list(ctx.split(x, plane_counts * anchors))
    for i in range(1, len(parts), len(plane_counts)):
        parts[i] = (
            ctx.op("Softmax", parts[i], axis=1) if groups is None else softmax_within_groups(ctx, parts[i], groups)
        )
    return ctx.concat(*parts)


@emits(f"{HEADS}.DetectionHead", params=DetectionHeadParams)
def _emit_detection(ctx: EmitContext, params: DetectionHeadParams, x: Value) -> Value:
    """Add a [detection] head (detection_layer.c:49)."""
    x, cells, classes = ctx.op("Flatten", x), params.cells, params.classes
    if not (params.softmax and classes):
        return x
    scores, rest = ctx.split(x, (cells * classes, ctx.node.out_shape.size - cells * classes))
    scores = ctx.op("Softmax", ctx.reshape(scores, 0, cells, classes), axis=2)
    return ctx.concat(ctx.op("Flatten", scores), rest)


@emits(f"{HEADS}.IsegHead", params=IsegHeadParams)
def _emit_iseg(ctx: EmitContext, params: IsegHeadParams, x: Value) -> Value:
    """Add an [iseg] head (iseg_layer.c:78)."""
    return _apply_logistic(ctx, x, [i < params.classes for i in range(ctx.node.out_shape.c)], 1)
