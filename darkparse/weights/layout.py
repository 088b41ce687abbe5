"""Where every array of a network lies in its `.weights` file."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse.errors import WeightsError
from darkparse.layers import TensorSpec
from darkparse.network import Network, Node


def state_key(node: Node, tensor: TensorSpec) -> str:
    """What a module's state_dict calls a layer's tensor: `layers.12.conv.weight`."""
    return f"layers.{node.index}.{tensor.path}"


def get_tensors(network: Network, upto: int | None = None) -> dict[str, tuple[Node, TensorSpec]]:
    """Every tensor of a network, or of the layers before `upto`, by its key in the state_dict, with its layer."""
    return {state_key(node, tensor): (node, tensor) for node in network.nodes[:upto] for tensor in node.tensors}


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored array: its layer, its tensor, and its place in floats behind the header."""

    node: Node
    tensor: TensorSpec
    start: int

    @property
    def name(self) -> str:
        """The key in the state_dict."""
        return state_key(self.node, self.tensor)

    @property
    def size(self) -> int:
        """Number of floats in the file."""
        return self.tensor.stored_size

    @property
    def end(self) -> int:
        return self.start + self.size


def compute_layout(network: Network, upto: int | None = None) -> tuple[Entry, ...]:
    """The stored arrays of a network in file order, of the layers before `upto` only if given.

    Raises:
        WeightsError: `upto` is not a number of layers of the network.
    """
    count = len(network.nodes)
    if upto is not None and not 1 <= upto <= count:
        raise WeightsError(f"upto must be 1 to {count}, the number of layers of {network.name}; this is {upto}")
    entries, start = [], 0
    for node in network.nodes[:upto]:
        if node.layer.dontload:
            continue
        for tensor in node.tensors:
            if tensor.stored_size:
                entries.append(Entry(node, tensor, start))
                start += tensor.stored_size
    return tuple(entries)


def count_stored_floats(entries: tuple[Entry, ...]) -> int:
    """Number of floats that the file must hold for these arrays."""
    return entries[-1].end if entries else 0


def get_layer_ends(entries: tuple[Entry, ...]) -> dict[int, int]:
    """For every layer with stored arrays the number of floats up to its end."""
    return {entry.node.index: entry.end for entry in entries}
