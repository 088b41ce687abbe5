"""Word trees (tree.c), vectorized over all boxes; cells are (N, H·W, anchors, nodes)."""

from __future__ import annotations

from darkparse.layers.tree import Tree
from darkparse.onnx.context import EmitContext
from darkparse.onnx.graph import Value


def compute_absolute(ctx: EmitContext, classes: Value, tree: Tree) -> Value:
    """Multiply each node's probability by those of its ancestors (tree.c, hierarchy_predictions)."""
    levels: list[Value] = []
    order, positions = list[int](), dict[int, int]()
    for depth in sorted(set(tree.depths)):
        nodes = [node for node, node_depth in enumerate(tree.depths) if node_depth == depth]
        probabilities = ctx.op("Gather", classes, ctx.graph.ints(*nodes), axis=3)
        if levels:
            parents = [positions[tree.parents[node]] for node in nodes]
            probabilities = probabilities * ctx.op("Gather", levels[-1], ctx.graph.ints(*parents), axis=3)
        levels.append(probabilities)
        positions |= {node: position for position, node in enumerate(nodes)}
        order += nodes
    ranks = sorted(range(len(order)), key=order.__getitem__)
    return ctx.op("Gather", ctx.concat(*levels, axis=3), ctx.graph.ints(*ranks), axis=3)


def select_deepest(ctx: EmitContext, classes: Value, count: int, threshold: float) -> Value:
    """Return 1 at the last node above the threshold and 0 elsewhere (AlexeyAB region_layer.c, get_region_boxes)."""
    index = ctx.graph.constant(range(1, count + 1))
    last = ctx.op("Where", classes > threshold, index, 0.0)
    is_deepest = ctx.op("And", ctx.op("Equal", last, ctx.op("ReduceMax", last, ctx.graph.ints(3))), last > 0.0)
    return ctx.op("Cast", is_deepest, to=1)


def select_top(ctx: EmitContext, classes: Value, tree: Tree, threshold: float) -> Value:
    """Return 1 at the node where the descent from the root ends and 0 elsewhere (tree.c, hierarchy_top_prediction).

    The descent follows the best node of each group of siblings while the product of probabilities exceeds the
    threshold. As in Darknet, the factors are absolute probabilities.
    """
    parents = [tree.parents[start] for start in tree.group_starts]
    parts = ctx.split(classes, tree.group_sizes, 3)
    highest = ctx.concat(*(ctx.op("ReduceMax", part, ctx.graph.ints(3)) for part in parts), axis=3)
    first = ctx.concat(*(ctx.op("ArgMax", part, axis=3) for part in parts), axis=3)
    best = ctx.op("Add", first, ctx.graph.ints(*tree.group_starts))

    zero, minus_one = ctx.graph.ints(0), ctx.graph.ints(-1)
    current = ctx.op("Mul", ctx.op("ArgMax", highest, axis=3), zero)
    product, selected = ctx.op("Cast", current, to=1) + 1.0, ctx.op("Add", current, minus_one)
    for _ in range(max(tree.depths) + 1):
        candidate = ctx.op("GatherElements", best, current, axis=3)
        next_product = product * ctx.op("GatherElements", highest, current, axis=3)
        continues = next_product > threshold
        child_group = ctx.op("Gather", ctx.graph.ints(*tree.children), candidate)
        is_leaf = ctx.op("Less", child_group, zero)
        is_root = ctx.op("Equal", current, zero)
        end = ctx.op(
            "Where", ctx.op("Or", continues, is_root), candidate, ctx.op("Gather", ctx.graph.ints(*parents), current)
        )
        is_final = ctx.op("Or", ctx.op("Not", continues), is_leaf)
        selected = ctx.op("Where", ctx.op("And", ctx.op("Less", selected, zero), is_final), end, selected)
        product = ctx.op("Where", continues, next_product, product)
        current = ctx.op("Where", ctx.op("And", continues, ctx.op("Not", is_leaf)), child_group, current)
    nodes = ctx.graph.ints(*range(len(tree.names)))
    return ctx.op("Cast", ctx.op("Equal", nodes, selected), to=1)
