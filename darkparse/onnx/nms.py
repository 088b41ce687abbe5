"""Darknet's non-maximum suppression as ONNX operators."""

from __future__ import annotations

from darkparse.onnx.graph import Graph, Value


def suppress(
    graph: Graph, boxes: Value, scores: Value, *, threshold: float, overlap: float, exponent: float | None
) -> Value:
    """Add non-maximum suppression per class.

    Args:
        graph: Graph to add the operators to.
        boxes: (N, B, 4), center x, center y, width, height.
        scores: (N, B, classes).
        threshold: Scores less than or equal to it are dropped.
        overlap: A box is removed if its overlap with a box of the same class and a higher score exceeds this value.
        exponent: Exponent of the normalized center distance that is subtracted from the IoU (DIoU); None for plain
            IoU.

    Returns:
        (K, 7), one row per detection: image, class, score, center x, center y, width, height, in descending order of
        score.
    """
    by_class = graph.op("Transpose", scores, perm=(0, 2, 1))
    if exponent is None:
        selected = _suppress_by_iou(graph, boxes, by_class, threshold, overlap)
        return _make_rows(graph, boxes, by_class, _sort_by_score(graph, by_class, selected))
    above_threshold = graph.op("Transpose", graph.op("NonZero", by_class > threshold), perm=(1, 0))
    candidates = _sort_by_score(graph, by_class, above_threshold)
    rows = _make_rows(graph, boxes, by_class, candidates)
    return graph.op("Compress", rows, _find_survivors(graph, boxes, candidates, overlap, exponent), axis=0)


def _sort_by_score(graph: Graph, by_class: Value, selected: Value) -> Value:
    """Sort rows of image, class and box by descending score."""
    scores = graph.op("GatherND", by_class, selected)
    _, order = graph.ops("TopK", 2, scores, graph.op("Shape", scores), axis=0)
    return graph.op("Gather", selected, order, axis=0)


def _make_rows(graph: Graph, boxes: Value, by_class: Value, selected: Value) -> Value:
    labels = graph.op("Cast", graph.op("Gather", selected, graph.ints(0, 1), axis=1), to=1)
    scores = graph.op("Unsqueeze", graph.op("GatherND", by_class, selected), graph.ints(1))
    return graph.op("Concat", labels, scores, _gather_boxes(graph, boxes, selected), axis=1)


def _gather_boxes(graph: Graph, boxes: Value, selected: Value) -> Value:
    return graph.op("GatherND", boxes, graph.op("Gather", selected, graph.ints(0, 2), axis=1))


def _suppress_by_iou(graph: Graph, boxes: Value, by_class: Value, threshold: float, overlap: float) -> Value:
    """Select boxes by plain IoU, per class (box.c, do_nms_sort)."""
    limits = (graph.ints(2**63 - 1), graph.constant([overlap]), graph.constant([threshold]))
    return graph.op("NonMaxSuppression", boxes, by_class, *limits, center_point_box=1)


def _find_survivors(graph: Graph, boxes: Value, selected: Value, overlap: float, exponent: float) -> Value:
    """Return a mask of the boxes that remain after suppression by distance-IoU (box.c, diounms_sort).

    The measure is IoU - (d²/c²)^exponent in double precision, where d is the distance of the centers and c the diagonal
    of the smallest box that encloses both. The loop visits the boxes in order; each remaining box removes later ones.
    """
    ints = graph.ints
    selected_boxes = _gather_boxes(graph, boxes, selected)
    centers, sides = graph.ops("Split", 2, selected_boxes, ints(2, 2), axis=1)
    halves = sides * 0.5
    lows, highs = centers - halves, centers + halves
    areas = graph.op("ReduceProd", sides, ints(1), keepdims=0)
    labels = graph.op("Gather", selected, ints(0, 1), axis=1)
    number = graph.op("Shape", areas)
    count, true = graph.op("Squeeze", number), graph.constant(True, "bool")
    start, step = (graph.constant(value, "int64") for value in (0, 1))
    positions = graph.op("Range", start, count, step)

    body = graph.body("remove")
    i = body.input("nms/i", (), "int64")
    condition_in = body.input("nms/goes_on", (), "bool")
    alive = body.input("nms/alive", ("found",), "bool")
    low, high, center, area, label, is_alive = (
        body.op("Gather", values, i, axis=0) for values in (lows, highs, centers, areas, labels, alive)
    )
    extent = body.op("Max", body.op("Min", high, highs) - body.op("Max", low, lows), 0.0)
    intersection = body.op("ReduceProd", extent, ints(1), keepdims=0)
    iou = body.op(
        "Where", body.op("Equal", intersection, 0.0), 0.0, intersection / (body.op("Add", area, areas) - intersection)
    )
    diagonal = _sum_squares(body, body.op("Max", high, highs) - body.op("Min", low, lows))
    distance = _sum_squares(body, body.op("Sub", centers, center))
    iou = body.op("Cast", iou, to=11)
    penalty = body.op("Pow", body.op("Div", distance, diagonal), graph.constant(exponent, "float64"))
    is_point = body.op("Equal", diagonal, graph.constant(0, "float64"))
    compared = body.op("Cast", body.op("Where", is_point, iou, body.op("Sub", iou, penalty)), to=1)
    equal = body.op("Cast", body.op("Equal", labels, label), to=7)
    is_same = body.op("Cast", body.op("ReduceMin", equal, ints(1), keepdims=0), to=9)
    removed = compared > overlap
    for condition in (is_same, body.op("Greater", positions, i), is_alive):
        removed = body.op("And", removed, condition)
    body.output("nms/goes_on_out", condition_in, (), "bool")
    body.output("nms/alive_out", body.op("And", alive, body.op("Not", removed)), ("found",), "bool")
    return graph.op("Loop", count, true, graph.op("Expand", true, number), body=body)


def _sum_squares(graph: Graph, values: Value) -> Value:
    """Return the sum of squares of each row, in double precision."""
    return graph.op("ReduceSumSquare", graph.op("Cast", values, to=11), graph.ints(1), keepdims=0)
