"""Folding of constants into convolutions where that is exact; elsewhere they become layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from darkparse.transform.lowering.graph import Graph, Item, make_affine
from darkparse.transform.lowering.rules import make_pointwise
from darkparse.transform.lowering.state import Values

QUARTERS = (0, 2, 1, 3)
"""Quarter of a focus that corresponds to each quarter of `[reorg3d]`: a focus orders rows first, reorg3d columns."""


def fold(graph: Graph) -> None:
    """Fold constants and the order of a focus into convolutions, and convert the remaining ones to layers."""
    for item in _find(graph, "affine"):
        item.inputs = item.inputs[:1]  # the constant is in the arrays
    while any(_fold_affine(graph, item) for item in _find(graph, "affine")):
        pass
    for item in _find(graph, "affine"):
        _replace_in_place(graph, item, make_affine(item))
    for item in _find(graph, "focus"):
        _lower_focus(graph, item)
    for item in _find(graph, "yolo"):
        if item.options.get("new_coords") == "1":
            _apply_logistic(graph, item)
    graph.remove_unread_constants()


def _find(graph: Graph, kind: str) -> list[Item]:
    return [item for item in graph.items if item.kind == kind]


def _fold_affine(graph: Graph, item: Item) -> bool:
    return _fold_into_affine(graph, item) or _fold_before(graph, item) or _fold_behind(graph, item)


def _replace_in_place(graph: Graph, old: Item, new: Item) -> None:
    graph.items.insert(graph.items.index(old), new)
    graph.replace(old, new)


def _update(item: Item, path: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
    """Change an array in double precision."""
    item.arrays[path] = change(item.arrays[path].astype(np.float64)).astype(np.float32)


def _fold_into_affine(graph: Graph, item: Item) -> bool:
    """Fold an affine layer into an affine layer before it, if no other layer reads that one."""
    (x,) = item.inputs
    if x.kind != "affine" or len(graph.readers(x)) > 1:
        return False
    scale, shift = (item.arrays[name].astype(np.float64) for name in ("scale", "shift"))
    _update(x, "shift", lambda values: values * scale + shift)
    _update(x, "scale", lambda values: values * scale)
    graph.replace(item, x)
    return True


def _fold_before(graph: Graph, item: Item) -> bool:
    """Fold an affine layer into a linear convolution before it, if no other layer reads that one."""
    (x,) = item.inputs
    if not x.is_linear_convolution or len(graph.readers(x)) > 1:
        return False
    scale, shift = (item.arrays[name].astype(np.float64) for name in ("scale", "shift"))
    bias, weight = ("norm.bias", "norm.weight") if x.is_normalized else ("conv.bias", "conv.weight")
    _update(x, bias, lambda values: values * scale + shift)
    _update(x, weight, lambda values: values * scale.reshape(-1, *(1,) * (values.ndim - 1)))
    graph.replace(item, x)
    return True


def _fold_behind(graph: Graph, item: Item) -> bool:
    """Fold an affine layer into the convolutions that read it; padded ones cannot absorb a shift."""
    readers = graph.readers(item)
    shifts = bool(item.arrays["shift"].any())
    if not readers or any(r.kind != "convolutional" or (shifts and _is_padded(r)) for r in readers):
        return False
    for reader in readers:
        _fold_into_reader(reader, item.arrays["scale"], item.arrays["shift"])
    graph.replace(item, item.inputs[0])
    return True


def _is_padded(item: Item) -> bool:
    is_padded = item.options["pad"] == "1" or item.options.get("padding", "0") != "0"
    return is_padded and item.options["size"] != "1"


def _fold_into_reader(item: Item, scale: Values, shift: Values) -> None:
    weight = item.arrays["conv.weight"].astype(np.float64)
    filters, per_group = weight.shape[:2]
    groups = np.arange(filters) // (filters // item.groups)
    inputs = groups[:, None] * per_group + np.arange(per_group)  # (filters, channels per group)
    added = (weight.sum((2, 3)) * shift.astype(np.float64)[inputs]).sum(1)
    if item.is_normalized:
        _update(item, "norm.running_mean", lambda values: values - added)
    else:
        _update(item, "conv.bias", lambda values: values + added)
    item.arrays["conv.weight"] = (weight * scale.astype(np.float64)[inputs][..., None, None]).astype(np.float32)


def _lower_focus(graph: Graph, item: Item) -> None:
    """Replace a focus by `[reorg3d]`, and apply its order in the convolutions that read it, or in an additional one."""
    readers = graph.readers(item)
    reorg = Item("reorg3d", item.section, item.channels, item.inputs, {"stride": "2"})
    order = np.arange(item.channels).reshape(4, -1)[list(QUARTERS)].reshape(-1)
    if readers and all(reader.kind == "convolutional" and reader.groups == 1 for reader in readers):
        for reader in readers:
            reader.arrays["conv.weight"] = reader.arrays["conv.weight"][:, order]
        _replace_in_place(graph, item, reorg)
        return
    _replace_in_place(graph, item, reorg)
    sorter = make_pointwise(reorg, item.section, scale=1)
    del sorter.options["groups"]
    sorter.arrays["conv.weight"] = np.eye(item.channels, dtype=np.float32)[:, order, None, None]
    graph.insert_after(reorg, sorter)


def _apply_logistic(graph: Graph, head: Item) -> None:
    """Apply the logistic function before a head with `new_coords`, in its convolution if no other layer reads that."""
    (x,) = head.inputs
    if x.is_linear_convolution and len(graph.readers(x)) == 1:
        x.options["activation"] = "logistic"
        return
    logistic = Item("activation", head.section, x.channels, [x], {"activation": "logistic"})
    head.inputs = [logistic]
    graph.items.insert(graph.items.index(head), logistic)
