"""What `stopbackward` takes out of training, fork by fork (network.c backward_network, AlexeyAB parser.c:1684)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from darkparse.layers import Dialect
from darkparse.network.network import Network
from darkparse.network.node import Node
from darkparse.network.section_rules import number

DECAY = 0.0001
"""Of a cfg without `decay=` (parser.c parse_net_options)."""


@dataclass(frozen=True, slots=True)
class GradientStop:
    """A layer at which gradients end.

    Attributes:
        index: of the layer; it and those before it get no gradient.
        until: the iteration up to which that holds; None for the whole training.
        frozen: the layers that run as at inference and are not updated.
    """

    index: int
    until: int | None
    frozen: range

    def __contains__(self, index: int) -> bool:
        return index <= self.index


def find_gradient_stops(values: Mapping[int, int], dialect: Dialect) -> tuple[GradientStop, ...]:
    """Return the stop that holds for the whole training, and those behind it that hold for a time.

    Args:
        values: `stopbackward` of the layers that have it, by index; AlexeyAB's Darknet takes a number above 1 for the
            iteration up to which it holds.
        dialect: the fork that trains.
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
    """Return the stops of a network's cfg."""
    numbers = ((node.index, number(node.section, "stopbackward")) for node in network.nodes)
    values = {index: int(value) for index, value in numbers if value and isfinite(value)}
    return find_gradient_stops(values, network.dialect)


def describe_stops(network: Network) -> Iterator[tuple[Node, str]]:
    """Yield the layer of each stop, and which layers it takes out of training how far."""
    for stop in get_gradient_stops(network):
        starved = range(len(stop.frozen), stop.index + 1)
        still = f"{_name_layers(stop.frozen)} {_verb('is', 'are', stop.frozen)} frozen; " if stop.frozen else ""
        time = "" if stop.until is None else f" up to iteration {stop.until}"
        message = f"{still}{_name_layers(starved)} {_verb('receives', 'receive', starved)} no gradient{time}"
        moving = _describe_movement(network, [network.nodes[i] for i in starved])
        yield network.nodes[stop.index], message + moving


def describe_layer_training(network: Network, index: int) -> str:
    """Return a sentence about what `stopbackward` does to one layer; empty if it does nothing."""
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
    """Return what changes layers without a gradient all the same, and what keeps it from that."""
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
