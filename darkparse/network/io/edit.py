"""Changes to a network: other classes, another input size, a cut, other layers.
The result is compiled from its own cfg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from darkparse.diagnostics.source import Source
from darkparse.errors import DarkparseError
from darkparse.layers import Dialect, Head, Layer
from darkparse.layers.capabilities import Classifier
from darkparse.layers.net import Net
from darkparse.network.compile_options import Size
from darkparse.network.compiler import compile
from darkparse.network.io.cfg import format_section
from darkparse.network.network import Network
from darkparse.network.passes.input_size import resize_net
from darkparse.syntax import Section, parse


def edit(
    network: Network,
    *,
    classes: int | None = None,
    size: Size | None = None,
    upto: int | None = None,
    anchors: Sequence[float] | None = None,
    layers: Mapping[int, Layer] | None = None,
) -> Network:
    """A changed copy of a network; `to_cfg` prints it, with all that was not changed as it stood.

    The layer before each head, or before the last softmax of a classifier, gets the `filters=` (or `output=`) that the
    head needs.

    Args:
        network: what `compile` made.
        classes: number of classes of every head, or of a classifier.
        size: input size, n or (height, width), in pixels.
        upto: keep the first so many layers, as `darknet partial` counts: 74 keeps layers 0 to 73.
        anchors: widths and heights in turn, for every head that has anchors.
        layers: layers to put in place of others, by index: `{82: Yolo(classes=3, ...)}`.

    Returns:
        The new network.

    Raises:
        DarkparseError: an argument is out of range, or nothing here has classes or anchors.
        CfgError: the changed layers do not fit together; the message shows the new cfg's lines.

    >>> mine = darkparse.edit(darkparse.compile("yolov3-tiny"), classes=3)
    >>> mine.nodes[15].out_shape
    Shape(c=24, h=13, w=13)
    """
    count = len(network.nodes)
    if upto is not None and not 1 <= upto <= count:
        raise DarkparseError(f"upto must be 1 to {count}, the number of layers; this is {upto}")
    draft = {node.index: node.layer for node in network.nodes}
    for index, layer in (layers or {}).items():
        if index not in draft:
            raise DarkparseError(f"there is no layer {index} to replace; {network.name} has layers 0 to {count - 1}")
        draft[index] = layer
    if anchors is not None:
        _set_anchors(draft, tuple(anchors))
    if classes is not None:
        _set_classes(network, draft, classes)
    for index, layer in draft.items():
        if isinstance(layer, Head):
            _fit_head(network, draft, index, layer)
    net = resize_net(network.net, size, network.config.net)
    edited_layers = [(draft[node.index], node.section) for node in network.nodes[:upto]]
    return assemble(network.name, network.dialect, (net, network.config.net), edited_layers, network.config.source)


def assemble(
    name: str,
    dialect: Dialect,
    net: tuple[Net, Section | None],
    layers: Sequence[tuple[Layer, Section | None]],
    origin: Source | None = None,
) -> Network:
    """Compile layers that come with or without the section that they were read from."""
    sections = [format_section(*net, dialect), *(format_section(layer, section, dialect) for layer, section in layers)]
    text = "".join(sections).lstrip("\n")
    source = Source(f"{name} (changed)", text, origin.path if origin else None, origin.folders if origin else None)
    return compile(parse(source), dialect=dialect.name)


def _set_anchors(draft: dict[int, Layer], anchors: tuple[float, ...]) -> None:
    if not anchors or len(anchors) % 2:
        raise DarkparseError(f"anchors are widths and heights in turn, these are {len(anchors)} numbers")
    if min(anchors) <= 0:
        raise DarkparseError(f"anchors are widths and heights above 0, one of these is {min(anchors):g}")
    heads = [(index, layer) for index, layer in draft.items() if hasattr(layer, "anchors")]
    if not heads:
        raise DarkparseError("this network has no head with anchors")
    num = len(anchors) // 2
    for index, layer in heads:
        max_anchor = max(getattr(layer, "mask", None) or (0,))
        if max_anchor >= num:
            mask = layer.mask  # type: ignore[attr-defined]
            message = f"layer {index} [{layer.kind}] has the mask {mask}, and the anchors given end at number {num - 1}"
            raise DarkparseError(message)
        draft[index] = _replace_options(layer, anchors=anchors, num=num)


def _set_classes(network: Network, draft: dict[int, Layer], classes: int) -> None:
    if classes < 1:
        raise DarkparseError(f"there must be at least one class, this is {classes}")
    heads = [index for index, layer in draft.items() if isinstance(layer, Head)]
    for index in heads:
        tree = getattr(draft[index], "tree", None)
        if tree is not None:
            raise DarkparseError(f"layer {index} [{draft[index].kind}] takes its classes from the word tree {tree}")
        # A map lists the old classes.
        draft[index] = _replace_options(draft[index], classes=classes, map=None)
    if heads:
        return
    softmax = next((index for index in reversed(draft) if isinstance(draft[index], Classifier)), None)
    if softmax is None:
        raise DarkparseError("this network has neither a detection head nor a softmax, so nothing in it has classes")
    _fit_channels(network, draft, softmax - 1, classes)


def _fit_head(network: Network, draft: dict[int, Layer], index: int, head: Head) -> None:
    before = network.nodes[index].in_shapes[0]
    channels = head.required_channels if head.needs_map else head.required_channels // before.area
    _fit_channels(network, draft, network.nodes[index].inputs[0], channels)


def _fit_channels(network: Network, draft: dict[int, Layer], index: int, channels: int) -> None:
    """Make a layer give so many channels, or those before it where it only passes them on."""
    if index < 0:
        raise DarkparseError(f"the network's input would have to have {channels} channels")
    node, layer = network.nodes[index], draft[index]
    option = next((name for name in ("filters", "output") if any(item.name == name for item in fields(layer))), None)
    if node.shared_with is not None:
        _fit_channels(network, draft, node.shared_with, channels)
    if option is not None:
        draft[index] = _replace_options(layer, **{option: channels})
    elif all(shape.c == node.out_shape.c for shape in node.in_shapes):
        for source in node.inputs:
            _fit_channels(network, draft, source, channels)
    elif node.out_shape.c != channels:
        raise DarkparseError(
            f"layer {index} [{node.kind}] would have to give {channels} channels, and puts them together from others"
        )


def _replace_options(layer: Layer, **values: Any) -> Layer:
    """A layer with other values for those of these options that it has."""
    return replace(
        layer, **{name: value for name, value in values.items() if any(item.name == name for item in fields(layer))}
    )
