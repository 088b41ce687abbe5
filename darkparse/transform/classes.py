"""Selection of classes of a trained network, or a new order of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from darkparse.errors import DarkparseError, WeightsError
from darkparse.layers import Head, Layer
from darkparse.layers.capabilities import Channels, ChannelSlice, Classifier
from darkparse.network import Network, Node
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.transform.channels import select_channels
from darkparse.transform.transformation import apply, make_refusal
from darkparse.weights import LoadedArrays, ReadOptions, WeightsSource, read
from darkparse.weights.buffer import Arrays

PER_CHANNEL = frozenset(
    {"activation", "avgpool", "batchnorm", "cost", "dropout", "empty", "local_avgpool", "logistic", "maxpool"}
    | {"sam", "scale_channels", "shortcut", "softmax", "upsample"}
)
"""Kinds whose output channel depends on the same channel of every input."""


@dataclass(frozen=True)
class SelectClasses:
    """Keep some classes of every head, or of a classifier, in a given order.

    Attributes:
        keep: Class numbers; their order is the new order.
        renormalize: Accept that a softmax over fewer classes gives larger scores.
    """

    keep: tuple[int, ...]
    renormalize: bool = False
    preserves: ClassVar[str] = "the kept classes' rows byte for byte, and therefore boxes, objectness and class scores"

    def __call__(self, network: Network, arrays: Arrays) -> tuple[Network, Arrays]:
        """Return the network with these classes, and its arrays."""
        count = count_classes(network)
        _check_numbers(self.keep, count)
        kept: dict[int, Channels] = {}
        layers: dict[int, Layer] = {}
        is_changed = self.keep != tuple(range(count))
        for index in network.heads:
            node = network.nodes[index]
            layers[index] = self._select_in_head(node, is_changed=is_changed)
            assert isinstance(node.layer, Head)
            channels = tuple(node.layer.select_channels(self.keep))
            _trace(network, node.inputs[0], channels, reader=index, kept=kept)
        if not network.heads:
            _trace(network, network.outputs[0], self.keep, reader=None, kept=kept)
            for index in kept:
                self._check_normalization(network.nodes[index], drops=len(self.keep) < count)
        return select_channels(network, arrays, kept, layers)

    def _select_in_head(self, node: Node, *, is_changed: bool) -> Layer:
        head = node.layer
        assert isinstance(head, Head)
        self._check_normalization(node, drops=len(self.keep) < head.classes)
        if not head.needs_map and node.in_shapes[0].area > 1:
            message = f"cannot select classes: the head reads a map of {node.in_shapes[0]} as a vector"
            raise make_refusal(message, node.section.span)
        if is_changed and (option := node.section.find("counters_per_class")) is not None:
            raise make_refusal("counters_per_class= counts objects of the old classes; remove the line", option.span)
        if is_changed and (path := getattr(head, "map", None)) is not None:
            raise make_refusal(f"map={path} lists the old classes; remove the line", node.section.locate("map"))
        options: dict[str, Any] = {"classes": len(self.keep)}
        return replace(head, **options)

    def _check_normalization(self, node: Node, *, drops: bool) -> None:
        """Raise CfgError for a word tree, and for a softmax over fewer classes unless `renormalize` is set."""
        layer = node.layer
        if getattr(layer, "tree", None) is not None:
            message = "cannot select classes of a word tree, because they depend on each other"
            raise make_refusal(message, node.section.locate("tree"))
        is_softmax = isinstance(layer, Classifier)
        if is_softmax and (getattr(layer, "groups", 1) > 1 or getattr(layer, "spatial", False)):
            message = "cannot select classes of a softmax with several groups; expected one list of classes"
            raise make_refusal(message, node.section.span)
        if drops and not self.renormalize and (is_softmax or getattr(layer, "softmax", False)):
            message = "softmax divides by the sum over all classes, so fewer classes have larger scores"
            place = node.section.span if is_softmax else node.section.locate("softmax")
            raise make_refusal(f"{message}; accept them with --renormalize (renormalize=True)", place)


def select_classes(
    cfg: CfgLike,
    weights: WeightsSource | LoadedArrays | None,
    keep: Sequence[int],
    *,
    renormalize: bool = False,
    options: ReadOptions = ReadOptions(),
    compile_options: CompileOptions = CompileOptions(),
) -> tuple[Network, LoadedArrays]:
    """Keep some classes of a trained network; their boxes and scores do not change.

    The weights of the kept classes are copied byte for byte, in the layer before each head or in the last layer of a
    classifier.

    Args:
        cfg: A path, the name of a bundled cfg, the text of a cfg, a Config or a Network.
        weights: Its weights: a path, an open binary file, bytes, or the result of `darkparse.weights.read`.
        keep: Class numbers, each once; their order is the new order.
        renormalize: Accept that a softmax over fewer classes gives larger scores.
        options: How the weights are read.
        compile_options: How the cfg is compiled.

    Returns:
        The network, and its arrays for `darkparse.load`, `darkparse.to_onnx` and `LoadedArrays.save`.

    Raises:
        CfgError: The classes cannot be selected exactly; the message shows the place.
        WeightsError: The weights cannot be read or do not fit.
        DarkparseError: A class number is invalid, or the network has no classes.

    >>> network, arrays = darkparse.select_classes("yolov3-tiny", "tiny.weights", [16, 2, 7])
    >>> network.nodes[15].out_shape
    Shape(c=24, h=13, w=13)
    """
    loaded = read(cfg, weights, options, compile_options)
    if loaded is None:
        raise WeightsError("selecting classes requires trained weights, got none")
    selected = apply(SelectClasses(tuple(keep), renormalize), loaded)
    return selected.network, selected


def count_classes(network: Network) -> int:
    """Return the number of classes of a network's heads, or of a classifier.

    Raises:
        DarkparseError: The network has no classes, or its heads have different numbers of classes.
    """
    heads = [network.nodes[index].layer for index in network.heads]
    counts = {head.classes for head in heads if isinstance(head, Head)}
    if len(counts) > 1:
        numbers = ", ".join(map(str, sorted(counts)))
        raise DarkparseError(f"{network.name}: heads have different numbers of classes, got {numbers}")
    if counts:
        return counts.pop()
    last = network.nodes[network.outputs[0]]
    if last.out_shape.area != 1:
        raise DarkparseError(f"{network.name} has no classes: it ends in [{last.kind}], a map of {last.out_shape}")
    return last.out_shape.size


def _check_numbers(keep: Sequence[int], count: int) -> None:
    if not keep:
        raise DarkparseError("no class remains; expected at least one")
    for position, number in enumerate(keep):
        if not 0 <= number < count:
            raise DarkparseError(f"unknown class {number}; expected a number from 0 to {count - 1}")
        if number in keep[:position]:
            raise DarkparseError(f"class {number} is listed twice; expected each class once")


def _trace(network: Network, index: int, channels: Channels, *, reader: int | None, kept: dict[int, Channels]) -> None:
    """Collect the channels to keep, from the end of a network back to the layers that compute them.

    Raises:
        CfgError: Another layer reads them too, or a layer mixes channels on the way.
    """
    if index < 0:
        raise DarkparseError(f"{network.name}: a head reads the network's input, whose channels cannot be selected")
    node = network.nodes[index]
    others = [i for i in network.readers[index] if i != reader and network.nodes[i].layer.role != "loss"]
    if others:
        message = f"cannot select classes: layer {others[0]} also reads the scores of layer {index}"
        raise make_refusal(message, node.section.span)
    kept[index] = channels
    is_depthwise = getattr(node.layer, "is_depthwise", False)
    if not is_depthwise and any(hasattr(node.layer, name) for name in ("filters", "output")):
        return
    is_alone = isinstance(node.layer, ChannelSlice) and len(node.inputs) == 1 and node.layer.groups == 1
    if not (is_depthwise or is_alone or node.kind in PER_CHANNEL) or any(
        shape.c != node.out_shape.c for shape in node.in_shapes
    ):
        raise make_refusal(f"cannot select classes: [{node.kind}] mixes channels", node.section.span)
    for source in node.inputs:
        _trace(network, source, channels, reader=index, kept=kept)
