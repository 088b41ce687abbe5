"""Changes to a network: classes, input size, anchors, `[net]` options, a cut, other layers.

The result is compiled from its own cfg.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from darkparse._utils.text import pluralize
from darkparse.diagnostics.source import Source, quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers import Dialect, Head, Layer
from darkparse.layers.base import get_known_keys
from darkparse.layers.capabilities import Classifier
from darkparse.layers.names import format_suggestion
from darkparse.layers.net import Net
from darkparse.network.compile_options import Size
from darkparse.network.compiler import compile
from darkparse.network.io.cfg import NO_OVERRIDES, format_section, format_value
from darkparse.network.network import Network
from darkparse.network.passes.input_size import resize_net
from darkparse.network.training import check_net_options
from darkparse.syntax import Section, parse
from darkparse.syntax.config import strip_whitespace


def edit(
    network: Network,
    *,
    classes: int | None = None,
    size: Size | None = None,
    upto: int | None = None,
    anchors: Sequence[float] | None = None,
    layers: Mapping[int, Layer] | None = None,
    net: Mapping[str, object] | None = None,
) -> Network:
    """Return a changed copy of a network, which `to_cfg` converts to text; unchanged lines keep their text.

    The layer before each head, or before the last softmax of a classifier, gets the `filters=` (or `output=`) that the
    head requires.

    Args:
        network: Network from `compile`.
        classes: Number of classes of every head, or of a classifier.
        size: Input size, n or (height, width), in pixels.
        upto: Number of layers to keep, as `darknet partial` counts: 74 keeps layers 0 to 73.
        anchors: Widths and heights in turn, for every head that has anchors.
        layers: Layers that replace others, by index: `{82: Yolo(classes=3, ...)}`.
        net: Options of `[net]`, including those for training: `{"batch": 64, "steps": (4800, 5400)}`.

    Returns:
        The changed network; `network` is not modified.

    Raises:
        DarkparseError: An argument is out of range, no layer has classes or anchors, or `[net]` has no such option.
        CfgError: The changed layers do not fit together, or a value is invalid; the message shows the new cfg's lines.

    >>> mine = darkparse.edit(darkparse.compile("yolov3-tiny"), classes=3, net={"batch": 64})
    >>> mine.nodes[15].out_shape, mine.net.batch
    (Shape(c=24, h=13, w=13), 64)
    """
    count = len(network.nodes)
    if upto is not None and not 1 <= upto <= count:
        raise DarkparseError(f"upto must be 1 to {count}, the number of layers; got {upto}")
    draft = {node.index: node.layer for node in network.nodes}
    for index, layer in (layers or {}).items():
        if index not in draft:
            raise DarkparseError(f"cannot replace layer {index}; {network.name} has layers 0 to {count - 1}")
        draft[index] = layer
    if anchors is not None:
        _set_anchors(draft, tuple(anchors))
    if classes is not None:
        _set_classes(network, draft, classes)
    for index, layer in draft.items():
        if isinstance(layer, Head):
            _fit_head(network, draft, index, layer)
    options = {key: _format_option(key, value, network.dialect) for key, value in (net or {}).items()}
    resized = resize_net(network.net, size, network.config.net)
    edited_layers = [(draft[node.index], node.section) for node in network.nodes[:upto]]
    net_section = (resized, network.config.net)
    edited = assemble(network.name, network.dialect, net_section, edited_layers, network.config.source, options)
    if options:
        check_net_options(edited)
    return edited


def _format_option(key: str, value: object, dialect: Dialect) -> str:
    """Return the text of a `[net]` option; raise DarkparseError if the dialect has no such option."""
    known = get_known_keys(Net)
    if key not in known:
        raise DarkparseError(f"unknown [net] option {quote_safe(key)}{format_suggestion(key, known)}")
    if not dialect.supports(known[key], "[net]", key):
        raise DarkparseError(f"{dialect.title} has no [net] option {key}")
    text = strip_whitespace(value) if isinstance(value, str) else format_value(value)
    if not text:
        raise DarkparseError(f"[net] option {key} has no value; expected KEY=VALUE")
    return text


def assemble(
    name: str,
    dialect: Dialect,
    net: tuple[Net, Section | None],
    layers: Sequence[tuple[Layer, Section | None]],
    origin: Source | None = None,
    net_options: Mapping[str, str] = NO_OVERRIDES,
) -> Network:
    """Compile layers, each with the section that it was read from, or None."""
    sections = [
        format_section(*net, dialect, net_options),
        *(format_section(layer, section, dialect) for layer, section in layers),
    ]
    text = "".join(sections).lstrip("\n")
    source = Source(f"{name} (changed)", text, origin.path if origin else None, origin.folders if origin else None)
    return compile(parse(source), dialect=dialect.name)


def _set_anchors(draft: dict[int, Layer], anchors: tuple[float, ...]) -> None:
    if not anchors or len(anchors) % 2:
        raise DarkparseError(f"anchors must be pairs of width and height, got {pluralize(len(anchors), 'number')}")
    if min(anchors) <= 0:
        raise DarkparseError(f"anchors must be above 0, got {min(anchors):g}")
    heads = [(index, layer) for index, layer in draft.items() if hasattr(layer, "anchors")]
    if not heads:
        raise DarkparseError("cannot set anchors: the network has no head with anchors")
    num = len(anchors) // 2
    for index, layer in heads:
        max_anchor = max(getattr(layer, "mask", None) or (0,))
        if max_anchor >= num:
            mask = layer.mask  # type: ignore[attr-defined]
            message = (
                f"too few anchors, got {num}; expected at least {max_anchor + 1} for mask={mask} of layer "
                f"{index} [{layer.kind}]"
            )
            raise DarkparseError(message)
        draft[index] = replace_options(layer, anchors=anchors, num=num)


def _set_classes(network: Network, draft: dict[int, Layer], classes: int) -> None:
    if classes < 1:
        raise DarkparseError(f"classes must be at least 1, got {classes}")
    heads = [index for index, layer in draft.items() if isinstance(layer, Head)]
    for index in heads:
        tree = getattr(draft[index], "tree", None)
        if tree is not None:
            raise DarkparseError(
                f"cannot set classes: layer {index} [{draft[index].kind}] reads them from the word tree {tree}"
            )
        # A map lists the old classes.
        draft[index] = replace_options(draft[index], classes=classes, map=None)
    if heads:
        return
    softmax = next((index for index in reversed(draft) if isinstance(draft[index], Classifier)), None)
    if softmax is None:
        raise DarkparseError("cannot set classes: the network has neither a detection head nor a softmax layer")
    _fit_channels(network, draft, softmax - 1, classes)


def _fit_head(network: Network, draft: dict[int, Layer], index: int, head: Head) -> None:
    before = network.nodes[index].in_shapes[0]
    channels = head.required_channels if head.needs_map else head.required_channels // before.area
    _fit_channels(network, draft, network.nodes[index].inputs[0], channels)


def _fit_channels(network: Network, draft: dict[int, Layer], index: int, channels: int) -> None:
    """Set the output channels of a layer, or of the layers before it if it does not change them."""
    if index < 0:
        raise DarkparseError(f"cannot change channels of the network's input, which would have to be {channels}")
    node, layer = network.nodes[index], draft[index]
    option = next((name for name in ("filters", "output") if any(item.name == name for item in fields(layer))), None)
    if node.shared_with is not None:
        _fit_channels(network, draft, node.shared_with, channels)
    if option is not None:
        draft[index] = replace_options(layer, **{option: channels})
    elif all(shape.c == node.out_shape.c for shape in node.in_shapes):
        for source in node.inputs:
            _fit_channels(network, draft, source, channels)
    elif node.out_shape.c != channels:
        raise DarkparseError(
            f"cannot change the output of layer {index} [{node.kind}] to {channels} channels: it combines other layers"
        )


def replace_options(layer: Layer, **values: Any) -> Layer:
    """Return a layer with new values of the given options, except those that it does not have."""
    return replace(
        layer, **{name: value for name, value in values.items() if any(item.name == name for item in fields(layer))}
    )
