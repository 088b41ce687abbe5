"""How many bytes of layers' outputs are held at once while torch runs a network in float32, one image at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkparse.network.network import Network
    from darkparse.network.node import Node

BYTES = 4
PASSING = ("Flatten", "Unflatten", "Dropout")
"""Modules that give what comes in, or a view of it."""
CONVOLUTIONS = ("Conv2d", "SharedConvolution", "XnorConv2d")
"""oneDNN copies input and weights into its own order."""
INDICES = 8
"""Bytes for each value of a max-pool, which also writes where it comes from, and lets go of that."""


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """The outputs that are held while each layer runs.

    Attributes:
        outputs: bytes of every layer's output, 0 where it is what comes in.
        held: bytes held at most while it runs: what is still to be read, what comes in, and what it makes on its way.
        let_go: the layers whose outputs nobody reads behind it.
    """

    outputs: tuple[int, ...]
    held: tuple[int, ...]
    let_go: tuple[tuple[int, ...], ...]

    @property
    def peak(self) -> int:
        """The layer at which most is held."""
        return max(range(len(self.held)), key=self.held.__getitem__)


def compute_memory(network: Network) -> MemoryUsage:
    """Follow the outputs of a network from their layer to their last reader."""
    origin = {-1: -1}
    last: dict[int, int] = {}
    for node, read in zip(network.nodes, network.last_reads, strict=True):
        source = origin[node.inputs[node.layer.main_input]] if node.inputs else -1
        origin[node.index] = node.index if _made(node) else source
        last[origin[node.index]] = max(last.get(origin[node.index], 0), read)
    outputs = tuple(BYTES * node.out_shape.size if _made(node) else 0 for node in network.nodes)
    dies: list[list[int]] = [[] for _ in range(len(network.nodes) + 1)]
    for index in range(len(network.nodes)):
        if origin[index] == index:
            dies[last[index]].append(index)
    held, now = [], 0
    for node in network.nodes:
        held.append(now + _transient(node))
        now += outputs[node.index] - sum(outputs[i] for i in dies[node.index])
    return MemoryUsage(outputs, tuple(held), tuple(map(tuple, dies[:-1])))


def _made(node: Node) -> list[str]:
    """The modules of a layer that make something new."""
    return [name for spec in node.modules if (name := spec.target.rpartition(".")[2]) not in PASSING]


def _transient(node: Node) -> int:
    """Bytes that a layer takes while it runs: what goes into one module and what comes out, but for its inputs."""
    made, out = _made(node), BYTES * node.out_shape.size
    first = out if made else 0
    if "MaxPool2d" in made:
        first += INDICES * node.out_shape.size
    if any(name in CONVOLUTIONS for name in made):
        first += BYTES * (sum(shape.size for shape in node.in_shapes) + node.weights)
    return max(first, 2 * out if len(made) > 1 else 0)
