"""Darknet's suppression of overlapping boxes behind decoded boxes and scores."""

from __future__ import annotations

import numpy as np

from darkparse.onnx.graph import Graph, Value


def suppress(
    graph: Graph, boxes: Value, scores: Value, *, threshold: float, overlap: float, exponent: float | None
) -> Value:
    """One row for each detection: image, class, score, centre x, y, width, height; the best score first.

    Args:
        graph: to which the operators are added.
        boxes: (N, B, 4), centre x, y, width, height.
        scores: (N, B, classes).
        threshold: scores up to it are dropped.
        overlap: a box goes where its overlap with a better one of its class is larger.
        exponent: power of the centres' distance that is taken off the IoU; None for the plain IoU.
    """
    by_class = graph.op("Transpose", scores, perm=(0, 2, 1))
    if exponent is None:
        found = _by_iou(graph, boxes, by_class, threshold, overlap)
        return _rows(graph, boxes, by_class, _best_first(graph, by_class, found))
    above = graph.op("Transpose", graph.op("NonZero", by_class > threshold), perm=(1, 0))
    candidates = _best_first(graph, by_class, above)
    rows = _rows(graph, boxes, by_class, candidates)
    return graph.op("Compress", rows, _by_distance(graph, boxes, candidates, overlap, exponent), axis=0)


def _best_first(graph: Graph, by_class: Value, found: Value) -> Value:
    """Rows of image, class and box, those of higher scores before the others."""
    scores = graph.op("GatherND", by_class, found)
    _, order = graph.ops("TopK", 2, scores, graph.op("Shape", scores), axis=0)
    return graph.op("Gather", found, order, axis=0)


def _rows(graph: Graph, boxes: Value, by_class: Value, found: Value) -> Value:
    labels = graph.op("Cast", graph.op("Gather", found, graph.ints(0, 1), axis=1), to=1)
    scores = graph.op("Unsqueeze", graph.op("GatherND", by_class, found), graph.ints(1))
    return graph.op("Concat", labels, scores, _boxes_of(graph, boxes, found), axis=1)


def _boxes_of(graph: Graph, boxes: Value, found: Value) -> Value:
    return graph.op("GatherND", boxes, graph.op("Gather", found, graph.ints(0, 2), axis=1))


def _by_iou(graph: Graph, boxes: Value, by_class: Value, threshold: float, overlap: float) -> Value:
    """box.c do_nms_sort: per class, a box goes where its IoU with a better one is above the threshold."""
    limits = (graph.ints(2**63 - 1), graph.constant([overlap]), graph.constant([threshold]))
    return graph.op("NonMaxSuppression", boxes, by_class, *limits, center_point_box=1)


def _by_distance(graph: Graph, boxes: Value, found: Value, overlap: float, exponent: float) -> Value:
    """box.c diounms_sort: what is compared is the IoU less (d²/c²)^exponent, d between the centres and c the diagonal
    around both, in double precision. The loop goes through the boxes, and each that still stands removes others.
    """
    ints = graph.ints
    here = _boxes_of(graph, boxes, found)
    centers, sides = graph.ops("Split", 2, here, ints(2, 2), axis=1)
    halves = sides * 0.5
    lows, highs = centers - halves, centers + halves
    areas = graph.op("ReduceProd", sides, ints(1), keepdims=0)
    labels = graph.op("Gather", found, ints(0, 1), axis=1)
    number = graph.op("Shape", areas)
    count, yes = graph.op("Squeeze", number), graph.constant(True, bool)
    start, step = (graph.constant(value, np.int64) for value in (0, 1))
    positions = graph.op("Range", start, count, step)

    body = graph.body("remove")
    i = body.input("nms/i", (), np.int64)
    goes_on = body.input("nms/goes_on", (), bool)
    alive = body.input("nms/alive", ("found",), bool)
    low, high, center, area, label, stands = (
        body.op("Gather", values, i, axis=0) for values in (lows, highs, centers, areas, labels, alive)
    )
    extent = body.op("Max", body.op("Min", high, highs) - body.op("Max", low, lows), 0.0)
    shared = body.op("ReduceProd", extent, ints(1), keepdims=0)
    iou = body.op("Where", body.op("Equal", shared, 0.0), 0.0, shared / (body.op("Add", area, areas) - shared))
    diagonal = _squares(body, body.op("Max", high, highs) - body.op("Min", low, lows))
    distance = _squares(body, body.op("Sub", centers, center))
    iou = body.op("Cast", iou, to=11)
    penalty = body.op("Pow", body.op("Div", distance, diagonal), graph.constant(exponent, np.float64))
    is_point = body.op("Equal", diagonal, graph.constant(0, np.float64))
    compared = body.op("Cast", body.op("Where", is_point, iou, body.op("Sub", iou, penalty)), to=1)
    equal = body.op("Cast", body.op("Equal", labels, label), to=7)
    is_same = body.op("Cast", body.op("ReduceMin", equal, ints(1), keepdims=0), to=9)
    gone = compared > overlap
    for condition in (is_same, body.op("Greater", positions, i), stands):
        gone = body.op("And", gone, condition)
    body.output("nms/goes_on_out", goes_on, (), bool)
    body.output("nms/alive_out", body.op("And", alive, body.op("Not", gone)), ("found",), bool)
    return graph.op("Loop", count, yes, graph.op("Expand", yes, number), body=body)


def _squares(graph: Graph, values: Value) -> Value:
    """Sums of squares of each row, in double precision."""
    return graph.op("ReduceSumSquare", graph.op("Cast", values, to=11), graph.ints(1), keepdims=0)
