"""Estimates of the memory that torch needs to run a network in float32 on one image, and to train it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkparse.network.network import Network
    from darkparse.network.node import Node

BYTES_PER_VALUE = 4
PASSTHROUGH_MODULES = ("Flatten", "Unflatten", "Dropout")
"""Modules that return their input or a view of it."""
CONVOLUTION_MODULES = ("Conv2d", "SharedConvolution", "XnorConv2d")
"""Convolutions, for which oneDNN copies input and weights into its own layout."""
INDEX_BYTES = 8
"""Bytes per output value of max pooling for the indices of the maxima, which are freed afterwards."""


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Memory usage while each layer runs.

    Attributes:
        outputs: Bytes of each layer's output; 0 if it passes its input through.
        live_bytes: Peak bytes while each layer runs: its inputs, outputs that are read later, and its own temporary
            and output tensors.
        released: For each layer, the layers whose outputs are not read after it.
    """

    outputs: tuple[int, ...]
    live_bytes: tuple[int, ...]
    released: tuple[tuple[int, ...], ...]

    @property
    def peak(self) -> int:
        """Index of the layer with the highest memory usage."""
        return max(range(len(self.live_bytes)), key=self.live_bytes.__getitem__)


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Minimum bytes for training: everything that must be in memory at the same time.

    Attributes:
        parameters: Parameters and running statistics.
        gradients: Gradients of the parameters.
        optimizer: Momentum, or both moments of Adam.
        outputs: Outputs of all layers for one image, which the backward pass reads.
        saved: Outputs of all modules for one image; a layer of several modules has more of them than its own output.
    """

    parameters: int
    gradients: int
    optimizer: int
    outputs: int
    saved: int

    def minimum(self, images: int) -> int:
        """Return a lower bound for a mini-batch."""
        return self.parameters + self.gradients + self.optimizer + images * self.outputs

    def estimate(self, images: int) -> int:
        """Return an estimate for a mini-batch; the device and its libraries decide the rest."""
        return self.parameters + self.gradients + self.optimizer + images * self.saved


def compute_training_memory(network: Network, *, moments: int = 1) -> TrainingMemory:
    """Compute the memory for training from the shapes.

    Args:
        network: Network to train.
        moments: Values that the optimizer stores for each parameter: 1 for SGD with momentum, 2 for Adam.
    """
    trained = BYTES_PER_VALUE * sum(node.params for node in network.nodes)
    input_bytes = BYTES_PER_VALUE * network.input_shape.size
    outputs = [BYTES_PER_VALUE * node.out_shape.size for node in network.nodes]
    counts = [len(_list_computing_modules(node)) for node in network.nodes]
    steps = network.net.time_steps
    return TrainingMemory(
        parameters=BYTES_PER_VALUE * sum(node.num_elements for node in network.nodes),
        gradients=trained,
        optimizer=moments * trained,
        outputs=steps * (input_bytes + sum(size for size, count in zip(outputs, counts, strict=True) if count)),
        saved=steps * (input_bytes + sum(size * count for size, count in zip(outputs, counts, strict=True))),
    )


def compute_memory(network: Network) -> MemoryUsage:
    """Compute memory usage from the lifetime of each output, which ends at its last reader."""
    origin = {-1: -1}
    last_reader: dict[int, int] = {}
    for node, read in zip(network.nodes, network.last_reads, strict=True):
        source = origin[node.inputs[node.layer.main_input]] if node.inputs else -1
        origin[node.index] = node.index if _list_computing_modules(node) else source
        last_reader[origin[node.index]] = max(last_reader.get(origin[node.index], read), read)
    outputs = tuple(
        BYTES_PER_VALUE * node.out_shape.size if _list_computing_modules(node) else 0 for node in network.nodes
    )
    released: list[list[int]] = [[] for _ in range(len(network.nodes) + 1)]
    for index in range(len(network.nodes)):
        if origin[index] == index:
            released[last_reader[index]].append(index)
    live_bytes, current_bytes = [], 0
    for node in network.nodes:
        live_bytes.append(current_bytes + _compute_transient_bytes(node))
        current_bytes += outputs[node.index] - sum(outputs[i] for i in released[node.index])
    return MemoryUsage(outputs, tuple(live_bytes), tuple(map(tuple, released[:-1])))


def _list_computing_modules(node: Node) -> list[str]:
    """Return the class names of a layer's modules that allocate an output."""
    return [name for spec in node.modules if (name := spec.target.rpartition(".")[2]) not in PASSTHROUGH_MODULES]


def _compute_transient_bytes(node: Node) -> int:
    """Compute the peak bytes that a layer allocates while it runs, excluding its inputs."""
    modules, output_bytes = _list_computing_modules(node), BYTES_PER_VALUE * node.out_shape.size
    num_bytes = output_bytes if modules else 0
    if "MaxPool2d" in modules:
        num_bytes += INDEX_BYTES * node.out_shape.size
    if any(name in CONVOLUTION_MODULES for name in modules):
        num_bytes += BYTES_PER_VALUE * (sum(shape.size for shape in node.in_shapes) + node.weights)
    return max(num_bytes, 2 * output_bytes if len(modules) > 1 else 0)
