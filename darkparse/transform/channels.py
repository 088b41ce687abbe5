"""Removal of channels: from the arrays and options of every layer that computes or reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from darkparse.layers import Layer, LayerError
from darkparse.layers.capabilities import Channels, Cuttable
from darkparse.network import Network, Node
from darkparse.network.io.edit import edit
from darkparse.transform.transformation import make_refusal
from darkparse.weights import LazyArray
from darkparse.weights.buffer import Arrays
from darkparse.weights.layout import state_key


def select_channels(
    network: Network, arrays: Arrays, kept: Mapping[int, Channels], layers: Mapping[int, Layer]
) -> tuple[Network, Arrays]:
    """Return a network whose layers keep only some of their output channels, and its arrays.

    Args:
        network: The network.
        arrays: Its arrays.
        kept: Output channels to keep, by layer index; other layers keep all.
        layers: Layers to replace, by index.

    Raises:
        CfgError: A layer whose channels change shares its weights, or its channels cannot be selected.
    """
    changed, cut_arrays = dict(layers), dict(arrays)
    for node in network.nodes:
        outputs, inputs = kept.get(node.index), tuple(kept.get(source) for source in node.inputs)
        has_weights = node.tensors or node.shared_with is not None
        if has_weights and any(channels is not None for channels in (outputs, *inputs)):
            options, new_arrays = _cut_node(network, node, arrays, outputs, inputs)
            cut_arrays |= new_arrays
            if options:
                changed[node.index] = replace(changed.get(node.index, node.layer), **options)
    return edit(network, layers=changed), cut_arrays


def _cut_node(
    network: Network, node: Node, arrays: Arrays, outputs: Channels | None, inputs: tuple[Channels | None, ...]
) -> tuple[dict[str, Any], Arrays]:
    """Return the changed options of a layer, and its arrays."""
    layer = node.layer
    if not isinstance(layer, Cuttable):
        raise make_refusal(f"cannot select channels of [{node.kind}]", node.section.span)
    sharing = next((other.index for other in network.nodes if other.shared_with == node.index), node.shared_with)
    if sharing is not None:
        raise make_refusal(
            f"cannot select channels of layer {node.index}: it shares its weights with layer {sharing}",
            node.section.span,
        )
    if getattr(layer, "numload", 0):
        raise make_refusal("cannot select channels of a layer with numload=", node.section.locate("numload"))
    try:
        cut = layer.cut(node.context, outputs, inputs)
    except LayerError as problem:
        raise make_refusal(str(problem), node.section.locate(problem.option)) from None
    keys = {tensor.path: state_key(node, tensor) for tensor in node.tensors}
    return dict(cut.options), {key: _cut(arrays[key], cut.axes.get(path, (outputs,))) for path, key in keys.items()}


def _cut(array: LazyArray, axes: tuple[Channels | None, ...]) -> LazyArray:
    """Return an array with only these positions of its first axes; they are selected when the array is read."""
    lengths = [
        length if positions is None else len(positions) for positions, length in zip(axes, array.shape, strict=False)
    ]

    def load() -> NDArray[Any]:
        values = array.load()
        for axis, positions in enumerate(axes):
            if positions is not None:
                values = values.take(positions, axis)
        return values

    return LazyArray((*lengths, *array.shape[len(axes) :]), array.dtype, load)
