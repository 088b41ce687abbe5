"""Channels that can only be removed together, because layers add, multiply or slice them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import TypeVar

from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.capabilities import ChannelSlice, Convolution, Cuttable
from darkparse.layers.shape import Layout
from darkparse.network import Network, Node
from darkparse.weights.buffer import Arrays
from darkparse.weights.layout import state_key

T = TypeVar("T")

PASSING = frozenset(
    {"activation", "avgpool", "cost", "dropout", "empty", "local_avgpool", "logistic", "maxpool", "upsample"}
)
"""Kinds without arrays whose output channel depends on the same channel of their input only."""


@dataclass(frozen=True, slots=True)
class _Output:
    """Channels of one layer's output.

    Attributes:
        labels: Label of each channel; labels of one group have the same root.
        scores: Size of each channel: the scale of the batch norm that it comes from; 0 if the channel is always 0,
            infinite if nothing is known.
    """

    labels: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(slots=True)
class Coupling:
    """Groups of channels of a network.

    Attributes:
        outputs: Channels of each layer, by index; -1 is the input of the network.
        scores: Largest score of the channels of each group where a layer mixes them; groups that stay have none.
        mixing: Layers whose input channels stay, by the reason.
    """

    outputs: dict[int, _Output] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    mixing: dict[str, list[int]] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)
    _frozen: set[int] = field(default_factory=set)
    _read: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def analyze(cls, network: Network, arrays: Arrays) -> Coupling:
        """Find the groups of a network, and their scores from its arrays."""
        coupling = cls()
        coupling.outputs[-1] = coupling._create(network.input_shape.c)
        coupling._freeze(-1)
        shared = {node.shared_with for node in network.nodes} | {
            n.index for n in network.nodes if n.shared_with is not None
        }
        for node in network.nodes:
            coupling.outputs[node.index] = coupling._visit(node, arrays, is_shared=node.index in shared)
        for index in network.outputs:
            coupling._freeze(index)
        coupling._collect_scores()
        return coupling

    def find(self, label: int) -> int:
        """Return the root of a label."""
        root = label
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[label] != root:
            self._parents[label], label = root, self._parents[label]
        return root

    def _collect_scores(self) -> None:
        frozen = {self.find(label) for label in self._frozen}
        for label, score in self._read:
            root = self.find(label)
            if root not in frozen:
                self.scores[root] = max(score, self.scores.get(root, 0.0))
        self.scores = {root: score for root, score in self.scores.items() if score != inf}

    def _create(self, count: int, scores: Sequence[float] | None = None) -> _Output:
        start = len(self._parents)
        self._parents += range(start, start + count)
        return _Output(tuple(range(start, start + count)), tuple(scores or [inf] * count))

    def _join(self, *labels: Iterable[int]) -> None:
        """Merge the groups of labels at the same positions."""
        for first, *others in zip(*labels, strict=True):
            for other in others:
                self._parents[self.find(other)] = self.find(first)

    def _freeze(self, *indices: int) -> None:
        for index in indices:
            self._frozen.update(self.outputs[index].labels)

    def _keep_inputs(self, node: Node, reason: str) -> _Output:
        """Keep all channels that a layer reads and computes."""
        self.mixing.setdefault(reason, []).append(node.index)
        self._freeze(*node.inputs)
        output = self._create(node.out_shape.c)
        self._frozen.update(output.labels)
        return output

    def _visit(self, node: Node, arrays: Arrays, *, is_shared: bool) -> _Output:
        layer = node.layer
        if is_shared:
            return self._keep_inputs(node, "shared weights")
        if layer.role == "head" or any(shape.layout is Layout.FLAT for shape in (*node.in_shapes, node.out_shape)):
            return self._keep_inputs(node, f"[{node.kind}]")
        if isinstance(layer, Convolution) or layer.role == "dense":
            return self._visit_weighted(node, arrays)
        if not node.inputs:
            return self._create(node.out_shape.c)
        if isinstance(layer, ChannelSlice):
            return self._visit_slice(node, layer)
        if layer.role == "gate":
            return self._visit_gate(node)
        is_elementwise = node.kind in PASSING or layer.role == "add" or isinstance(layer, Cuttable)
        if not is_elementwise or any(shape.c != node.out_shape.c for shape in node.in_shapes):
            return self._keep_inputs(node, f"[{node.kind}]")
        return self._visit_elementwise(node, arrays)

    def _visit_weighted(self, node: Node, arrays: Arrays) -> _Output:
        """Return the output of a layer that mixes the channels of its input, or of each group of them."""
        layer = node.layer
        if getattr(layer, "numload", 0) or not isinstance(layer, Cuttable):
            return self._keep_inputs(node, "numload=" if isinstance(layer, Cuttable) else f"[{node.kind}]")
        before, groups = self.outputs[node.inputs[0]], getattr(layer, "effective_groups", 1)
        output = self._create(node.out_shape.c, _read_scales(node, arrays))
        if getattr(layer, "xnor", False):  # the sign of a channel of zeros is not 0
            self.mixing.setdefault("xnor=", []).append(node.index)
            self._freeze(*node.inputs)
            self._frozen.update(output.labels if groups > 1 or getattr(layer, "bin_output", False) else ())
        elif groups == 1:
            self._read += zip(before.labels, before.scores, strict=True)
        else:
            for members in zip(_split(before.labels, groups), _split(output.labels, groups), strict=True):
                self._join(*((label,) for part in members for label in part))
        return output

    def _visit_slice(self, node: Node, layer: ChannelSlice) -> _Output:
        labels: list[int] = []
        scores: list[float] = []
        if layer.groups * node.out_shape.c != sum(shape.c for shape in node.in_shapes):
            return self._keep_inputs(node, f"[{node.kind}]")
        for index in node.inputs:
            source = self.outputs[index]
            # Slices stay equally long if they lose the same positions.
            self._join(*_split(source.labels, layer.groups))
            labels += _split(source.labels, layer.groups)[layer.group_id]
            scores += _split(source.scores, layer.groups)[layer.group_id]
        return _Output(tuple(labels), tuple(scores))

    def _visit_gate(self, node: Node) -> _Output:
        gate, x = (self.outputs[index] for index in node.inputs)
        if node.in_shapes[0].c != node.out_shape.c:  # a gate of positions
            self._freeze(node.inputs[0])
            scores: Iterable[float] = x.scores
        else:
            self._join(x.labels, gate.labels)
            scores = map(min, x.scores, gate.scores)
        return _Output(x.labels, _activate(node, scores))

    def _visit_elementwise(self, node: Node, arrays: Arrays) -> _Output:
        sources = [self.outputs[index] for index in node.inputs]
        self._join(*(source.labels for source in sources))
        if node.tensors and node.layer.role != "add":
            return _Output(sources[0].labels, _read_scales(node, arrays))
        return _Output(sources[0].labels, _activate(node, map(max, zip(*(s.scores for s in sources), strict=True))))


def _split(values: tuple[T, ...], groups: int) -> list[tuple[T, ...]]:
    """Return groups of consecutive values of equal length."""
    length = len(values) // groups
    return [values[start : start + length] for start in range(0, length * groups, length)]


def _activate(node: Node, scores: Iterable[float]) -> tuple[float, ...]:
    """Return scores behind the activation of a layer: none is known if it does not keep 0."""
    name = "logistic" if node.kind == "logistic" else getattr(node.layer, "activation", "linear")
    row = ACTIVATIONS[name]
    return tuple(scores if row.keeps_zero and not row.over_channels else (inf for _ in scores))


def _read_scales(node: Node, arrays: Arrays) -> tuple[float, ...]:
    """Return the size of each channel's scale, or of its bias if the scale is 0; infinite without batch norm."""
    keys = {tensor.role: state_key(node, tensor) for tensor in node.tensors}
    if "scale" not in keys or "bias" not in keys:
        return (inf,) * node.out_shape.c
    scale, bias = (arrays[keys[role]].read().astype("float64").ravel().tolist() for role in ("scale", "bias"))
    sizes = (abs(a) if a else abs(b) for a, b in zip(scale, bias, strict=True))
    return _activate(node, (inf if isnan(size) else size for size in sizes))
