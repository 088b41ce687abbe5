"""Emitters for `darkparse.model.decoders`, which decode head outputs to boxes, scores and objectness in float32."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath

from darkparse.errors import DarkparseError
from darkparse.layers import Shape
from darkparse.layers.tree import read_map, read_tree
from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.emitters.hierarchy import compute_absolute, select_deepest, select_top
from darkparse.onnx.graph import Value

DECODERS = "darkparse.model.decoders"

Anchors = tuple[tuple[float, float], ...]
"""Width and height of each anchor."""


@dataclass(frozen=True, slots=True)
class GraphBoxes:
    """All boxes of a head. B enumerates rows, then columns, then anchors."""

    boxes: Value
    """(N, B, 4): center x, center y, width, height as fractions of the input."""
    scores: Value
    """(N, B, classes)."""
    objectness: Value
    """(N, B, 1)."""
    classes: int
    factors: tuple[Value, Value] | None = None
    """Objectness (N, B, 1) and class probabilities (N, B, classes) whose product is the score; None without objectness.
    [Gaussian_yolo]: the objectness is reduced by the mean deviation. For a word tree of AlexeyAB's fork, `scores` are
    the probabilities alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloDecoderParams:
    """Arguments of `YoloDecoder`."""

    anchors: Anchors
    new_coords: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianDecoderParams:
    """Arguments of `GaussianDecoder`."""

    anchors: Anchors
    shift: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionDecoderParams:
    """Arguments of `RegionDecoder`."""

    anchors: Anchors
    classes: int
    coords: int
    background: bool
    interleaved: bool
    tree: PurePath | None
    map: PurePath | None
    hierarchy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridDecoderParams:
    """Arguments of `GridDecoder`."""

    side: int
    num: int
    classes: int
    coords: int
    sqrt: bool


@emits(f"{DECODERS}.YoloDecoder", params=YoloDecoderParams)
def _emit_yolo(ctx: EmitContext, params: YoloDecoderParams, x: Value) -> GraphBoxes:
    """Decode a [yolo] head (yolo_layer.c, get_yolo_box and get_yolo_detections)."""
    anchors = params.anchors
    cells, entries = _split_cells(ctx, x, anchors)
    center, size, objectness, classes = ctx.split(cells, (2, 2, 1, entries - 5), 3)
    size = size * size * 4.0 if params.new_coords else ctx.op("Exp", size)
    size = _compute_sizes(ctx, size, anchors, _get_size(ctx, ctx.image, ctx.image_shape))
    return _flatten(ctx, _compute_centers(ctx, x, center), size, objectness, (objectness, classes), entries - 5)


@emits(f"{DECODERS}.GaussianDecoder", params=GaussianDecoderParams)
def _emit_gaussian(ctx: EmitContext, params: GaussianDecoderParams, x: Value) -> GraphBoxes:
    """Decode a [Gaussian_yolo] head (gaussian_yolo_layer.c, get_gaussian_yolo_box)."""
    anchors = params.anchors
    cells, entries = _split_cells(ctx, x, anchors)
    means, deviations = (ctx.slice(cells, start, 8, 3, 2) for start in (0, 1))
    center, size = ctx.split(means, (2, 2), 3)
    objectness, classes = ctx.slice(cells, 8, 9, 3), ctx.slice(cells, 9, entries, 3)
    size = _compute_sizes(ctx, ctx.op("Exp", size), anchors, _get_size(ctx, ctx.image, ctx.image_shape))
    certainty = 1.0 - ctx.op("ReduceMean", deviations, ctx.graph.ints(3))
    center = _compute_centers(ctx, x, center) + params.shift * size
    return _flatten(ctx, center, size, objectness, (objectness * certainty, classes), entries - 9)


@emits(f"{DECODERS}.RegionDecoder", params=RegionDecoderParams)
def _emit_region(ctx: EmitContext, params: RegionDecoderParams, x: Value) -> GraphBoxes:
    """Decode a [region] head (region_layer.c, get_region_detections)."""
    anchors, classes, coords, interleaved = params.anchors, params.classes, params.coords, params.interleaved
    x = ctx.op("Transpose", x, perm=(0, 3, 1, 2)) if interleaved else x
    cells, entries = _split_cells(ctx, x, anchors)
    center, size = ctx.slice(cells, 0, 2, 3), ctx.slice(cells, 2, 4, 3)
    objectness, scores = ctx.slice(cells, coords, coords + 1, 3), ctx.slice(cells, coords + 1, entries, 3)
    center = ctx.op("Sigmoid", center) if interleaved else center
    size = _compute_sizes(ctx, ctx.op("Exp", size), anchors, _get_size(ctx, x, ctx.node.context.input))
    if params.background:
        objectness = ctx.op("Where", objectness > 0.0, 1.0, 1.0)
    word_tree = read_tree(params.tree) if params.tree is not None else None
    scores = compute_absolute(ctx, scores, word_tree) if word_tree is not None else scores
    ignores_objectness = interleaved and word_tree is not None and params.map is None
    if params.map is not None:
        class_map = read_map(params.map, classes)
        classes = len(class_map)
        scores = ctx.op("Gather", scores, ctx.graph.ints(*class_map), axis=3)
    elif ignores_objectness:
        scores = select_deepest(ctx, scores, classes, params.hierarchy) * scores
    elif word_tree is not None:
        scores = select_top(ctx, scores, word_tree, params.hierarchy)
    boxes = _flatten(ctx, _compute_centers(ctx, x, center), size, objectness, (objectness, scores), classes)
    if ignores_objectness and boxes.factors is not None:
        # Darknet only compares the objectness with the threshold (region_layer.c get_region_boxes).
        return replace(boxes, scores=boxes.factors[1])
    return replace(boxes, factors=None) if params.background else boxes


@emits(f"{DECODERS}.GridDecoder", params=GridDecoderParams)
def _emit_grid(ctx: EmitContext, params: GridDecoderParams, x: Value) -> GraphBoxes:
    """Decode a [detection] head (detection_layer.c:225)."""
    side, num, classes = params.side, params.num, params.classes
    if params.coords != 4:
        raise DarkparseError(
            f"cannot decode boxes of a [detection] head with coords={params.coords}; expected coords=4"
        )
    area = side**2
    class_scores, objectness, boxes = ctx.split(x, (area * classes, area * num, area * num * 4))
    boxes, objectness = ctx.reshape(boxes, 0, area, num, 4), ctx.reshape(objectness, 0, area, num, 1)
    center, size = ctx.split(boxes, (2, 2), 3)
    center = (center + _add_cell_positions(ctx, side, side)) / float(side)
    probabilities = ctx.op("Expand", ctx.reshape(class_scores, 0, area, 1, classes), ctx.graph.ints(1, 1, num, 1))
    size = size * size if params.sqrt else size
    return _flatten(ctx, center, size, objectness, (objectness, probabilities), classes)


def _split_cells(ctx: EmitContext, x: Value, anchors: Anchors) -> tuple[Value, int]:
    """Convert planes (N, anchors·entries, H, W) to cells (N, H·W, anchors, entries); also return `entries`."""
    entries = ctx.node.context.input.c // len(anchors)
    return ctx.reshape(ctx.op("Transpose", x, perm=(0, 2, 3, 1)), 0, -1, len(anchors), entries), entries


def _add_cell_positions(ctx: EmitContext, height: int, width: int) -> Value:
    """Return the column and row of each cell as a constant, (1, H·W, 1, 2)."""
    positions = [number for cell in range(height * width) for number in (cell % width, cell // width)]
    return ctx.graph.constant(positions, shape=(1, height * width, 1, 2))


def _get_size(ctx: EmitContext, x: Value, shape: Shape) -> Value:
    """Return the width and height of a map as floats, (2,)."""
    if not ctx.dynamic_axes.size:
        return ctx.graph.constant((shape.w, shape.h))
    width, height = ctx.get_length(x, 3, shape.w), ctx.get_length(x, 2, shape.h)
    return ctx.op("Cast", ctx.op("Concat", width, height, axis=0), to=1)


def _compute_centers(ctx: EmitContext, x: Value, center: Value) -> Value:
    """Convert offsets within cells to fractions of the input."""
    shape = ctx.node.context.input
    size = _get_size(ctx, x, shape)
    if not ctx.dynamic_axes.size:
        return (center + _add_cell_positions(ctx, shape.h, shape.w)) / size
    width, height = ctx.get_length(x, 3, shape.w), ctx.get_length(x, 2, shape.h)
    start, step = (ctx.graph.constant(value, "int64") for value in (0, 1))
    cell = ctx.op("Range", start, ctx.op("Squeeze", ctx.op("Mul", width, height)), step)
    cell = ctx.reshape(cell, 1, -1, 1, 1)
    positions = ctx.concat(ctx.op("Mod", cell, width), ctx.op("Div", cell, width), axis=3)
    return (center + ctx.op("Cast", positions, to=1)) / size


def _compute_sizes(ctx: EmitContext, factors: Value, anchors: Anchors, size: Value) -> Value:
    """Scale anchors by factors and divide by the size in the anchors' unit, which results in fractions of the input."""
    return factors * ctx.graph.constant(anchors) / size


def _flatten(
    ctx: EmitContext, center: Value, size: Value, objectness: Value, factors: tuple[Value, Value], classes: int
) -> GraphBoxes:
    """Reshape all parts from (N, H·W, anchors, …) to (N, B, …). Scores are the product of the factors."""
    confidence, probabilities = factors
    boxes = ctx.reshape(ctx.concat(center, size, axis=3), 0, -1, 4)
    scores = ctx.reshape(probabilities * confidence, 0, -1, classes)
    flat_factors = ctx.reshape(confidence, 0, -1, 1), ctx.reshape(probabilities, 0, -1, classes)
    return GraphBoxes(boxes, scores, ctx.reshape(objectness, 0, -1, 1), classes, flat_factors)
