"""Word trees (tree.c) over all boxes at once: cells are (N, H·W, anchors, nodes)."""

from __future__ import annotations

import numpy as np

from darkparse.layers.tree import Tree
from darkparse.onnx.context import EmitContext
from darkparse.onnx.graph import Value


def absolute(at: EmitContext, classes: Value, tree: Tree) -> Value:
    """Each node's probability times that of its parents (tree.c hierarchy_predictions)."""
    depths = np.array(tree.depths)
    order = np.argsort(depths, kind="stable")
    place = np.argsort(order)
    levels: list[Value] = []
    for nodes in np.split(order, np.flatnonzero(np.diff(depths[order])) + 1):
        own = at.op("Gather", classes, at.graph.ints(*nodes), axis=3)
        if levels:
            before = int((depths < depths[nodes[0]] - 1).sum())
            parents = [int(place[tree.parents[node]]) - before for node in nodes]
            own = own * at.op("Gather", levels[-1], at.graph.ints(*parents), axis=3)
        levels.append(own)
    return at.op("Gather", at.concat(*levels, axis=3), at.graph.ints(*place), axis=3)


def deepest(at: EmitContext, classes: Value, count: int, threshold: float) -> Value:
    """1 at the last node that is probable enough, 0 elsewhere (AlexeyAB region_layer.c get_region_boxes)."""
    index = at.graph.constant(np.arange(1, count + 1))
    last = at.op("Where", classes > threshold, index, 0.0)
    found = at.op("And", at.op("Equal", last, at.op("ReduceMax", last, at.graph.ints(3))), last > 0.0)
    return at.op("Cast", found, to=1)


def top(at: EmitContext, classes: Value, tree: Tree, threshold: float) -> Value:
    """1 at the node where the way down from the root ends, 0 elsewhere (tree.c hierarchy_top_prediction).

    From each group of siblings the best goes on while the product stays above the threshold; the product is of
    absolute probabilities, as in Darknet.
    """
    parents = [tree.parents[start] for start in tree.group_starts]
    parts = at.split(classes, tree.group_sizes, 3)
    highest = at.concat(*(at.op("ReduceMax", part, at.graph.ints(3)) for part in parts), axis=3)
    first = at.concat(*(at.op("ArgMax", part, axis=3) for part in parts), axis=3)
    best = at.op("Add", first, at.graph.ints(*tree.group_starts))

    zero, none = at.graph.ints(0), at.graph.ints(-1)
    here = at.op("Mul", at.op("ArgMax", highest, axis=3), zero)
    product, chosen = at.op("Cast", here, to=1) + 1.0, at.op("Add", here, none)
    for _ in range(max(tree.depths) + 1):
        candidate = at.op("GatherElements", best, here, axis=3)
        grown = product * at.op("GatherElements", highest, here, axis=3)
        goes_on = grown > threshold
        below = at.op("Gather", at.graph.ints(*tree.children), candidate)
        is_leaf = at.op("Less", below, zero)
        is_root = at.op("Equal", here, zero)
        end = at.op("Where", at.op("Or", goes_on, is_root), candidate, at.op("Gather", at.graph.ints(*parents), here))
        done = at.op("Or", at.op("Not", goes_on), is_leaf)
        chosen = at.op("Where", at.op("And", at.op("Less", chosen, zero), done), end, chosen)
        product = at.op("Where", goes_on, grown, product)
        here = at.op("Where", at.op("And", goes_on, at.op("Not", is_leaf)), below, here)
    nodes = at.graph.ints(*range(len(tree.names)))
    return at.op("Cast", at.op("Equal", nodes, chosen), to=1)
