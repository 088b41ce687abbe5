"""What a head leaves, to boxes, scores and objectness, as `darkparse.detect.decode` computes them, in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darkparse.errors import DarkparseError
from darkparse.export.onnx.emitters.hierarchy import absolute, deepest, top
from darkparse.export.onnx.graph import Value
from darkparse.export.onnx.place import Place
from darkparse.layers import Shape
from darkparse.layers.heads import Detection, GaussianYolo, Region, Yolo
from darkparse.layers.tree import read_map, read_tree


@dataclass(frozen=True, slots=True)
class Boxes:
    """Every box of a head. B counts them cell by cell, row by row, anchor by anchor."""

    boxes: Value
    """(N, B, 4): centre x, y, width, height as fractions of the input."""
    scores: Value
    """(N, B, classes)."""
    objectness: Value
    """(N, B, 1)."""
    classes: int


def decode(at: Place, x: Value, hierarchy: float = 0.5, mapped: bool = False) -> Boxes:
    """The boxes of the head at a place. Raises DarkparseError if it predicts none."""
    layer = at.node.layer
    if isinstance(layer, Yolo):
        return _yolo(at, x, layer)
    if isinstance(layer, GaussianYolo):
        return _gaussian(at, x, layer)
    if isinstance(layer, Region):
        return _region(at, x, layer, hierarchy, mapped)
    if isinstance(layer, Detection):
        return _grid(at, x, layer)
    raise DarkparseError(f"{at.node.section.span}: layer {at.node.index} [{at.node.kind}] does not predict boxes")


def _yolo(at: Place, x: Value, layer: Yolo) -> Boxes:
    """yolo_layer.c get_yolo_box, get_yolo_detections."""
    cells = _cells(at, x, layer.predictors, layer.entries)
    centre, size, objectness, classes = at.split(cells, (2, 2, 1, layer.classes), 3)
    size = size * size * 4.0 if layer.new_coords else at.op("Exp", size)
    return _flat(
        at,
        _centres(at, x, centre),
        _lengths(at, size, layer.boxes, _size_of(at, at.image, at.image_shape)),
        classes * objectness,
        objectness,
        layer.classes,
    )


def _gaussian(at: Place, x: Value, layer: GaussianYolo) -> Boxes:
    """gaussian_yolo_layer.c get_gaussian_yolo_box."""
    cells = _cells(at, x, layer.predictors, layer.entries)
    means, deviations = (at.slice(cells, start, 8, 3, 2) for start in (0, 1))
    centre, size = at.split(means, (2, 2), 3)
    objectness, classes = at.slice(cells, 8, 9, 3), at.slice(cells, 9, layer.entries, 3)
    size = _lengths(at, at.op("Exp", size), layer.boxes, _size_of(at, at.image, at.image_shape))
    shift = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}[layer.yolo_point]
    certainty = 1.0 - at.op("ReduceMean", deviations, at.graph.ints(3))
    centre = _centres(at, x, centre) + shift * size
    return _flat(at, centre, size, classes * (objectness * certainty), objectness, layer.classes)


def _region(at: Place, x: Value, layer: Region, hierarchy: float, mapped: bool) -> Boxes:
    """region_layer.c get_region_detections."""
    interleaved, coords = at.node.dialect.region_interleaved, layer.coords
    x = at.op("Transpose", x, perm=(0, 3, 1, 2)) if interleaved else x
    cells = _cells(at, x, layer.predictors, layer.entries)
    centre, size = at.slice(cells, 0, 2, 3), at.slice(cells, 2, 4, 3)
    objectness, classes = at.slice(cells, coords, coords + 1, 3), at.slice(cells, coords + 1, layer.entries, 3)
    centre = at.op("Sigmoid", centre) if interleaved else centre
    size = _lengths(at, at.op("Exp", size), layer.boxes, _size_of(at, x, at.node.site.input))
    if layer.background:
        objectness = at.op("Where", objectness > 0.0, 1.0, 1.0)
    scores = _region_scores(at, layer, classes, objectness, hierarchy, mapped)
    count = len(read_map(layer.map)) if mapped and layer.map is not None else layer.classes
    return _flat(at, _centres(at, x, centre), size, scores, objectness, count)


def _region_scores(
    at: Place, layer: Region, classes: Value, objectness: Value, hierarchy: float, mapped: bool
) -> Value:
    tree = read_tree(layer.tree) if layer.tree is not None else None
    if tree is not None:
        classes = absolute(at, classes, tree)
    if mapped and layer.map is not None:
        return objectness * at.op("Gather", classes, at.graph.ints(*read_map(layer.map)), axis=3)
    if tree is None:
        return objectness * classes
    if at.node.dialect.region_interleaved:
        return deepest(at, classes, hierarchy) * classes
    return top(at, classes, tree, hierarchy) * objectness


def _grid(at: Place, x: Value, layer: Detection) -> Boxes:
    """detection_layer.c:225."""
    if layer.coords != 4:
        raise DarkparseError(f"a [detection] head with coords={layer.coords} has no boxes; coords=4 is needed")
    area, num = layer.side**2, layer.num
    classes, objectness, boxes = at.split(x, (area * layer.classes, area * num, area * num * 4))
    boxes, objectness = at.reshape(boxes, 0, area, num, 4), at.reshape(objectness, 0, area, num, 1)
    centre, size = at.split(boxes, (2, 2), 3)
    centre = (centre + at.graph.constant(_places(layer.side, layer.side))) / float(layer.side)
    scores = objectness * at.reshape(classes, 0, area, 1, layer.classes)
    return _flat(at, centre, size * size if layer.sqrt else size, scores, objectness, layer.classes)


def _cells(at: Place, x: Value, anchors: int, entries: int) -> Value:
    """Planes (N, anchors·entries, H, W) to cells (N, H·W, anchors, entries)."""
    return at.reshape(at.op("Transpose", x, perm=(0, 2, 3, 1)), 0, -1, anchors, entries)


def _places(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Column and row of each cell (1, H·W, 1, 2)."""
    rows, columns = np.divmod(np.arange(height * width, dtype=np.float32), np.float32(width))
    return np.stack((columns, rows), -1)[None, :, None]


def _size_of(at: Place, x: Value, shape: Shape) -> Value:
    """Width and height of a map, as floats (2,)."""
    if not at.free.size:
        return at.graph.constant((shape.w, shape.h))
    width, height = at.length(x, 3, shape.w), at.length(x, 2, shape.h)
    return at.op("Cast", at.op("Concat", width, height, axis=0), to=1)


def _centres(at: Place, x: Value, centre: Value) -> Value:
    """Offsets in the cells to fractions of the input."""
    shape = at.node.site.input
    size = _size_of(at, x, shape)
    if not at.free.size:
        return (centre + at.graph.constant(_places(shape.h, shape.w))) / size
    width, height = at.length(x, 3, shape.w), at.length(x, 2, shape.h)
    start, step = (at.graph.constant(value, np.int64) for value in (0, 1))
    cell = at.op("Range", start, at.op("Squeeze", at.op("Mul", width, height)), step)
    cell = at.reshape(cell, 1, -1, 1, 1)
    places = at.concat(at.op("Mod", cell, width), at.op("Div", cell, width), axis=3)
    return (centre + at.op("Cast", places, to=1)) / size


def _lengths(at: Place, factors: Value, anchors: tuple[tuple[float, float], ...], size: Value) -> Value:
    """Widths and heights as fractions: anchors stretched, divided by the size that they are measured in."""
    return factors * at.graph.constant(anchors) / size


def _flat(at: Place, centre: Value, size: Value, scores: Value, objectness: Value, classes: int) -> Boxes:
    """(N, H·W, anchors, …) to (N, B, …)."""
    boxes = at.reshape(at.concat(centre, size, axis=3), 0, -1, 4)
    return Boxes(boxes, at.reshape(scores, 0, -1, classes), at.reshape(objectness, 0, -1, 1), classes)
