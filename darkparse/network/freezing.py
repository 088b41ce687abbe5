"""Effect of `stopbackward` on training in each fork (network.c backward_network, AlexeyAB parser.c:1684)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from darkparse.layers import Dialect
from darkparse.network.network import Network
from darkparse.network.node import Node
from darkparse.network.section_rules import number

DECAY = 0.0001
"""Default of `decay=` (parser.c parse_net_options)."""


@dataclass(frozen=True, slots=True)
class GradientStop:
    """Layer at which gradients stop.

    Attributes:
        index: Index of the layer; it and all earlier layers receive no gradient.
        until: Iteration up to which the gradient stops; None for the whole training.
        frozen: Layers that run as in inference and are not updated.
    """

    index: int
    until: int | None
    frozen: range

    def __contains__(self, index: int) -> bool:
        return index <= self.index


def find_gradient_stops(values: Mapping[int, int], dialect: Dialect) -> tuple[GradientStop, ...]:
    """Return the permanent stop and the temporary stops after it.

    Args:
        values: `stopbackward` by layer index; in AlexeyAB/darknet a number above 1 is the iteration up to which the
            gradient stops.
        dialect: Dialect of the training.
    """
    freezes = dialect.training.freezes_whole_layers
    lasting = [index for index, value in values.items() if value == 1 or (value and not freezes)]
    last = max(lasting, default=-1)
    frozen = range(max(last, 0) if freezes else 0)
    stops = [GradientStop(index, None, frozen) for index in lasting if index == last]
    if freezes:
        stops += [GradientStop(i, n, frozen) for i, n in values.items() if n > 1 and i > last]
    return tuple(stops)


def get_gradient_stops(network: Network) -> tuple[GradientStop, ...]:
    """Return the gradient stops of a network."""
    numbers = ((node.index, number(node.section, "stopbackward")) for node in network.nodes)
    values = {index: int(value) for index, value in numbers if value and isfinite(value)}
    return find_gradient_stops(values, network.dialect)


def describe_stops(network: Network) -> Iterator[tuple[Node, str]]:
    """Yield the layer of each stop and a description of its effect."""
    for stop in get_gradient_stops(network):
        starved = range(len(stop.frozen), stop.index + 1)
        still = f"{_name_layers(stop.frozen)} {_verb('is', 'are', stop.frozen)} frozen; " if stop.frozen else ""
        time = "" if stop.until is None else f" up to iteration {stop.until}"
        message = f"{still}{_name_layers(starved)} {_verb('receives', 'receive', starved)} no gradient{time}"
        moving = _describe_movement(network, [network.nodes[i] for i in starved])
        yield network.nodes[stop.index], message + moving


def describe_layer_training(network: Network, index: int) -> str:
    """Describe the effect of `stopbackward` on a layer in one sentence; empty without an effect."""
    stop = next((stop for stop in get_gradient_stops(network) if index in stop), None)
    if stop is None:
        return ""
    line = network.nodes[stop.index].section.locate("stopbackward").line
    cause = f"stopbackward= of layer {stop.index}, line {line}"
    if index in stop.frozen:
        return f"It is frozen during training ({cause})."
    time = "" if stop.until is None else f" up to iteration {stop.until}"
    return (
        f"It receives no gradient during training{time} ({cause}){_describe_movement(network, [network.nodes[index]])}."
    )


def _describe_movement(network: Network, nodes: Sequence[Node]) -> str:
    """Describe what changes layers without a gradient, and how to prevent it; empty if nothing does."""
    its, them = ("its", "it") if len(nodes) == 1 else ("their", "them")
    has_decay = number(network.config.net, "decay", DECAY) != 0 and any(node.params for node in nodes)
    has_norm = any(getattr(node.layer, "normalized", False) or node.kind == "batchnorm" for node in nodes)
    if not (has_decay or has_norm):
        return ""
    if has_decay and has_norm:
        cause, verb = f"{its} batch norm and decay=", "change"
    else:
        cause, verb = ("decay=", "changes") if has_decay else (f"{its} batch norm", "changes")
    option = "dont_update=" if network.dialect.training.freezes_whole_layers else "learning_rate=0"
    hold = f"; set {option} in a section to freeze its weights" if has_decay else ""
    return f", but {cause} still {verb} {them}{hold}"


def _name_layers(layers: range) -> str:
    match len(layers):
        case 1:
            return f"layer {layers[0]}"
        case 2:
            return f"layers {layers[0]} and {layers[-1]}"
    return f"layers {layers[0]} to {layers[-1]}"


def _verb(singular: str, plural: str, layers: range) -> str:
    return singular if len(layers) == 1 else plural
