"""Darknet's suppression of overlapping boxes as an ONNX graph, to stand behind decoded boxes and scores."""

from __future__ import annotations

from typing import Any

from darkparse.detect.nms import Suppression, suppression_of
from darkparse.network import Network
from darkparse.syntax import DarkparseError

# Both graphs take boxes (N, B, 4), centre x, y, width, height, and scores (N, B, classes), and give one row for each
# detection: image, class, score, centre x, y, width, height; the best score first.
TAIL = """
  place = Gather <axis = 1> (chosen, box_columns)
  found_boxes = GatherND (boxes, place)
  found_scores = GatherND (by_class, chosen)
"""

# box.c do_nms_sort: per class, a box goes where its IoU with a better one is above the threshold.
PLAIN = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
suppress (float[batch, boxes, 4] boxes, float[batch, boxes, classes] scores) => (float[found, 7] detections)
<int64[1] most = {{9223372036854775807}}, float[1] threshold = {{{threshold}}}, float[1] overlap = {{{overlap}}},
 int64[2] box_columns = {{0, 2}}, int64[2] label_columns = {{0, 1}}, int64[2] column = {{-1, 1}},
 int64[1] first = {{0}}>
{{
  by_class = Transpose <perm = [0, 2, 1]> (scores)
  chosen = NonMaxSuppression <center_point_box = 1> (boxes, by_class, most, overlap, threshold)
{tail}
  count = Shape (found_scores)
  best, order = TopK <axis = 0> (found_scores, count)
  labels = Gather <axis = 1> (chosen, label_columns)
  sorted_labels = Gather <axis = 0> (labels, order)
  sorted_boxes = Gather <axis = 0> (found_boxes, order)
  labels_float = Cast <to = 1> (sorted_labels)
  score_column = Reshape (best, column)
  detections = Concat <axis = 1> (labels_float, score_column, sorted_boxes)
}}
"""

# box.c diounms_sort: what is compared is the IoU less (d²/c²)^exponent, d between the centres and c the diagonal around
# both, in double precision. The loop goes through the boxes, the best first, and each that still stands removes others.
DISTANCE = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
suppress (float[batch, boxes, 4] boxes, float[batch, boxes, classes] scores) => (float[found, 7] detections)
<float[1] threshold = {{{threshold}}}, float overlap = {{{overlap}}}, double exponent = {{{exponent}}},
 double nothing = {{0.0}}, float half = {{0.5}}, float zero = {{0.0}}, bool yes = {{1}}, int64[1] one = {{1}},
 int64 start = {{0}}, int64 step = {{1}}, int64[2] box_columns = {{0, 2}},
 int64[2] label_columns = {{0, 1}}, int64[2] column = {{-1, 1}},
 int64[1] at0 = {{0}}, int64[1] at2 = {{2}}, int64[1] at4 = {{4}}>
{{
  by_class = Transpose <perm = [0, 2, 1]> (scores)
  is_candidate = Greater (by_class, threshold)
  candidates = NonZero (is_candidate)
  unsorted = Transpose <perm = [1, 0]> (candidates)
  unsorted_scores = GatherND (by_class, unsorted)
  number = Shape (unsorted_scores)
  best_scores, order = TopK <axis = 0> (unsorted_scores, number)
  chosen = Gather <axis = 0> (unsorted, order)
{tail}
  labels = Gather <axis = 1> (chosen, label_columns)
  centres = Slice (found_boxes, at0, at2, one)
  sides = Slice (found_boxes, at2, at4, one)
  halves = Mul (sides, half)
  lows = Sub (centres, halves)
  highs = Add (centres, halves)
  areas = ReduceProd <keepdims = 0> (sides, one)
  trips = Squeeze (number)
  positions = Range (start, trips, step)
  minus_overlap = Neg (overlap)
  everywhere = Expand (yes, number)
  standing = Loop (trips, yes, everywhere) <body = remove
    (int64 i, bool goes_on, bool[found] alive) => (bool goes_on_out, bool[found] alive_out) {{
    goes_on_out = Identity (goes_on)
    low = Gather <axis = 0> (lows, i)
    high = Gather <axis = 0> (highs, i)
    inner_high = Min (high, highs)
    inner_low = Max (low, lows)
    extent = Sub (inner_high, inner_low)
    positive = Max (extent, zero)
    shared = ReduceProd <keepdims = 0> (positive, one)
    area = Gather <axis = 0> (areas, i)
    both = Add (area, areas)
    around_area = Sub (both, shared)
    quotient = Div (shared, around_area)
    is_apart = Equal (shared, zero)
    iou = Where (is_apart, zero, quotient)
    outer_high = Max (high, highs)
    outer_low = Min (low, lows)
    outer = Sub (outer_high, outer_low)
    outer_double = Cast <to = 11> (outer)
    diagonal = ReduceSumSquare <keepdims = 0> (outer_double, one)
    centre = Gather <axis = 0> (centres, i)
    apart = Sub (centres, centre)
    apart_double = Cast <to = 11> (apart)
    distance = ReduceSumSquare <keepdims = 0> (apart_double, one)
    fraction = Div (distance, diagonal)
    penalty = Pow (fraction, exponent)
    iou_double = Cast <to = 11> (iou)
    less = Sub (iou_double, penalty)
    is_point = Equal (diagonal, nothing)
    compared_double = Where (is_point, iou_double, less)
    compared = Cast <to = 1> (compared_double)
    is_above = Greater (compared, overlap)
    label = Gather <axis = 0> (labels, i)
    equal = Equal (labels, label)
    equal_int = Cast <to = 7> (equal)
    all_equal = ReduceMin <keepdims = 0> (equal_int, one)
    is_same = Cast <to = 9> (all_equal)
    is_later = Greater (positions, i)
    stands = Gather <axis = 0> (alive, i)
    a = And (is_above, is_same)
    b = And (a, is_later)
    gone = And (b, stands)
    stays = Not (gone)
    alive_out = And (alive, stays)
  }}>
  labels_float = Cast <to = 1> (labels)
  score_column = Reshape (found_scores, column)
  rows = Concat <axis = 1> (labels_float, score_column, found_boxes)
  detections = Compress <axis = 0> (rows, standing)
}}
"""


def append_suppression(proto: Any, network: Network, *, threshold: float, overlap: float) -> None:
    """Put the suppression behind a graph that gives `boxes` and `scores`; its output `detections` takes their place.

    Args:
        proto: the ONNX model, which is changed.
        network: its last head says which overlap is compared.
        threshold: scores up to it are dropped.
        overlap: a box goes where its overlap with a better one of its class is larger.

    Raises:
        DarkparseError: the network asks for cornersnms.
    """
    import onnx.parser

    how: Suppression = suppression_of(network)
    if how.kind == "cornersnms":
        raise DarkparseError("nms_kind=cornersnms has no graph here: export the decoded boxes instead (heads decoded)")
    form = PLAIN if how.exponent is None else DISTANCE
    opset = next(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))
    text = form.format(
        threshold=threshold, overlap=overlap, exponent=how.exponent, opset=opset, ir=proto.ir_version, tail=TAIL
    )
    behind = onnx.parser.parse_model(text).graph
    _prefix(behind, "nms/", {"boxes", "scores", "detections"})
    proto.graph.node.extend(behind.node)
    proto.graph.initializer.extend(behind.initializer)
    del proto.graph.output[:]
    proto.graph.output.extend(behind.output)


def _prefix(graph: Any, prefix: str, keep: set[str]) -> None:
    """Names of their own for the values of a graph and of the graphs in it."""

    def renamed(name: str) -> str:
        return name if not name or name in keep else prefix + name

    for node in graph.node:
        node.name = f"{prefix}{node.output[0]}"
        for values in (node.input, node.output):
            values[:] = [renamed(name) for name in values]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _prefix(attribute.g, prefix, keep)
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = renamed(value.name)
