"""Word trees (tree.c) over all boxes at once: cells are (N, H·W, anchors, nodes)."""

from __future__ import annotations

import numpy as np

from darkparse.layers.tree import Tree
from darkparse.onnx.context import EmitContext
from darkparse.onnx.graph import Value


def absolute(ctx: EmitContext, classes: Value, tree: Tree) -> Value:
    """Each node's probability times that of its parents (tree.c hierarchy_predictions)."""
    depths = np.array(tree.depths)
    order = np.argsort(depths, kind="stable")
    place = np.argsort(order)
    levels: list[Value] = []
    for nodes in np.split(order, np.flatnonzero(np.diff(depths[order])) + 1):
        own = ctx.op("Gather", classes, ctx.graph.ints(*nodes), axis=3)
        if levels:
            before = int((depths < depths[nodes[0]] - 1).sum())
            parents = [int(place[tree.parents[node]]) - before for node in nodes]
            own = own * ctx.op("Gather", levels[-1], ctx.graph.ints(*parents), axis=3)
        levels.append(own)
    return ctx.op("Gather", ctx.concat(*levels, axis=3), ctx.graph.ints(*place), axis=3)


def deepest(ctx: EmitContext, classes: Value, count: int, threshold: float) -> Value:
    """1 at the last node that is probable enough, 0 elsewhere (AlexeyAB region_layer.c get_region_boxes)."""
    index = ctx.graph.constant(np.arange(1, count + 1))
    last = ctx.op("Where", classes > threshold, index, 0.0)
    found = ctx.op("And", ctx.op("Equal", last, ctx.op("ReduceMax", last, ctx.graph.ints(3))), last > 0.0)
    return ctx.op("Cast", found, to=1)


def top(ctx: EmitContext, classes: Value, tree: Tree, threshold: float) -> Value:
    """1 at the node where the way down from the root ends, 0 elsewhere (tree.c hierarchy_top_prediction).

    From each group of siblings the best goes on while the product stays above the threshold; the product is of
    absolute probabilities, as in Darknet.
    """
    parents = [tree.parents[start] for start in tree.group_starts]
    parts = ctx.split(classes, tree.group_sizes, 3)
    highest = ctx.concat(*(ctx.op("ReduceMax", part, ctx.graph.ints(3)) for part in parts), axis=3)
    first = ctx.concat(*(ctx.op("ArgMax", part, axis=3) for part in parts), axis=3)
    best = ctx.op("Add", first, ctx.graph.ints(*tree.group_starts))

    zero, none = ctx.graph.ints(0), ctx.graph.ints(-1)
    here = ctx.op("Mul", ctx.op("ArgMax", highest, axis=3), zero)
    product, chosen = ctx.op("Cast", here, to=1) + 1.0, ctx.op("Add", here, none)
    for _ in range(max(tree.depths) + 1):
        candidate = ctx.op("GatherElements", best, here, axis=3)
        grown = product * ctx.op("GatherElements", highest, here, axis=3)
        goes_on = grown > threshold
        below = ctx.op("Gather", ctx.graph.ints(*tree.children), candidate)
        is_leaf = ctx.op("Less", below, zero)
        is_root = ctx.op("Equal", here, zero)
        end = ctx.op(
            "Where", ctx.op("Or", goes_on, is_root), candidate, ctx.op("Gather", ctx.graph.ints(*parents), here)
        )
        done = ctx.op("Or", ctx.op("Not", goes_on), is_leaf)
        chosen = ctx.op("Where", ctx.op("And", ctx.op("Less", chosen, zero), done), end, chosen)
        product = ctx.op("Where", goes_on, grown, product)
        here = ctx.op("Where", ctx.op("And", goes_on, ctx.op("Not", is_leaf)), below, here)
    nodes = ctx.graph.ints(*range(len(tree.names)))
    return ctx.op("Cast", ctx.op("Equal", nodes, chosen), to=1)
