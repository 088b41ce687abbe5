"""Detection heads: what Darknet leaves in `l.output` of a head. Maps are (N, predictors·entries, H, W)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.emitters.joining import softmax_within_groups
from darkparse.onnx.graph import Value

HEADS = "darkparse.model.heads"
Groups = tuple[int, ...] | None


def _apply_logistic(ctx: EmitContext, x: Value, is_logistic: Sequence[bool], anchors: int) -> Value:
    """The logistic function of some of each predictor's planes."""
    planes = ctx.graph.constant(np.reshape(list(is_logistic) * anchors, (1, -1, 1, 1)), bool)
    return ctx.op("Where", planes, ctx.op("Sigmoid", x), x)


def _scale_centers(ctx: EmitContext, x: Value, is_center: Sequence[bool], anchors: int, scale: float) -> Value:
    """Centres scaled around the middle of their cells (yolo_layer.c scal_add_cpu)."""
    if scale == 1:
        return x
    center = np.reshape(list(is_center) * anchors, (1, -1, 1, 1))
    x = x * ctx.graph.constant(np.where(center, scale, 1.0))
    return x - ctx.graph.constant(np.where(center, 0.5 * (scale - 1), 0.0))


@emits(f"{HEADS}.YoloHead")
def _emit_yolo(ctx: EmitContext, x: Value, *, anchors: int, classes: int, scale_x_y: float, logistic: bool) -> Value:
    """yolo_layer.c forward_yolo_layer."""
    entries = range(5 + classes)
    x = _apply_logistic(ctx, x, [i not in (2, 3) for i in entries], anchors) if logistic else x
    return _scale_centers(ctx, x, [i < 2 for i in entries], anchors, scale_x_y)


@emits(f"{HEADS}.GaussianYoloHead")
def _emit_gaussian(ctx: EmitContext, x: Value, *, anchors: int, classes: int, scale_x_y: float) -> Value:
    """gaussian_yolo_layer.c:412."""
    entries = range(9 + classes)
    x = _apply_logistic(ctx, x, [i not in (4, 6) for i in entries], anchors)
    return _scale_centers(ctx, x, [i in (0, 2) for i in entries], anchors, scale_x_y)


@emits(f"{HEADS}.RegionHead")
def _emit_region(
    ctx: EmitContext,
    x: Value,
    *,
    anchors: int,
    classes: int,
    coords: int,
    softmax: bool,
    group_sizes: Groups,
    background: bool,
) -> Value:
    """pjreddie region_layer.c:158. With `background` the objectness takes part in the softmax."""
    grouped = softmax or group_sizes is not None
    is_logistic = [i < 2 for i in range(coords)] + [not background] + [not grouped] * classes
    x = _apply_logistic(ctx, x, is_logistic, anchors)
    joins = background and group_sizes is None
    sizes = (coords + (not joins), classes + joins, 0)
    return _apply_softmax(ctx, x, anchors, sizes, group_sizes) if grouped else x


@emits(f"{HEADS}.InterleavedRegionHead")
def _emit_interleaved(
    ctx: EmitContext, x: Value, *, anchors: int, classes: int, coords: int, softmax: bool, group_sizes: Groups
) -> Value:
    """AlexeyAB region_layer.c:187: cell by cell, (N, H, W, predictors·entries)."""
    x = _apply_logistic(ctx, x, [i == 4 for i in range(coords + 1 + classes)], anchors)
    if softmax or group_sizes is not None:
        x = _apply_softmax(ctx, x, anchors, (5, classes, coords - 4), group_sizes)
    return ctx.op("Transpose", x, perm=(0, 2, 3, 1))


def _apply_softmax(ctx: EmitContext, x: Value, anchors: int, sizes: tuple[int, int, int], groups: Groups) -> Value:
    """Softmax over each predictor's classes, which stand between other planes."""
    plane_counts = tuple(size for size in sizes if size)
    parts = list(ctx.split(x, plane_counts * anchors))
    for i in range(1, len(parts), len(plane_counts)):
        is_whole = groups is None
        parts[i] = (
            ctx.op("Softmax", parts[i], axis=1)
            if is_whole
            else softmax_within_groups(ctx, parts[i], group_sizes=groups)
        )
    return ctx.concat(*parts)


@emits(f"{HEADS}.DetectionHead")
def _emit_detection(ctx: EmitContext, x: Value, *, cells: int, classes: int, softmax: bool) -> Value:
    """detection_layer.c:49."""
    x = ctx.op("Flatten", x)
    if not (softmax and classes):
        return x
    scores, rest = ctx.split(x, (cells * classes, ctx.node.out_shape.size - cells * classes))
    scores = ctx.op("Softmax", ctx.reshape(scores, 0, cells, classes), axis=2)
    return ctx.concat(ctx.op("Flatten", scores), rest)


@emits(f"{HEADS}.IsegHead")
def _emit_iseg(ctx: EmitContext, x: Value, *, classes: int) -> Value:
    """iseg_layer.c:78."""
    return _apply_logistic(ctx, x, [i < classes for i in range(ctx.node.out_shape.c)], 1)
