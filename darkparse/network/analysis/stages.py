"""Stages of a network: backbone, neck and heads, with one stage per scale of each.

A stage is a run of layers at one scale. Three rules refine the runs:

- A head includes the projection that it decodes, and the convolution that only this projection reads.
- A 1×1 convolution beside the main path, or at the start of a bottleneck, belongs to the stage of its only reader if
  that reader changes the scale: the 1×1 before a stride or an upsampling.
- The deepest scale of a detector is split after its last block: the neck begins there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from darkparse.network.analysis.named_blocks import NamedBlock, find_named_blocks, find_sources
from darkparse.network.analysis.scales import ScaleRun, find_scale_runs
from darkparse.network.analysis.summary import is_pointwise
from darkparse.network.node import Node

if TYPE_CHECKING:
    from darkparse.network.network import Network

Part = Literal["backbone", "neck", "head"]
NECK_BLOCKS = ("SPP", "SPPCSPC", "SqueezeExcite", "SpatialGate", "Split")
"""Blocks that do not show where a backbone ends."""
StageKey = tuple[int, int, int]
"""Number of the scale run, 0 for the backbone, 1 for the neck or 2 for a head, and index of the head."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers that form one box of the overview."""

    part: Part
    size: tuple[int, int]
    layers: tuple[int, ...]
    output: int
    """Layer whose output is the stage's: the last one at its scale."""
    blocks: tuple[NamedBlock, ...] = ()
    """Outermost blocks whose layers are all in the stage."""


def find_stages(network: Network) -> tuple[Stage, ...]:
    """Return the stages in order; every layer is in exactly one."""
    return _StageFinder(network).find()


class _StageFinder:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.sources = find_sources(network)
        self.runs = find_scale_runs(network)
        self.blocks = find_named_blocks(network)
        self.key_of: dict[int, StageKey] = {}

    def find(self) -> tuple[Stage, ...]:
        descent = self._count_descending_runs()
        for number, run in enumerate(self.runs):
            self.key_of |= dict.fromkeys(run.layers, (number, int(number >= descent), 0))
        if self.network.heads:
            self._split_deepest(descent - 1)
        for head in self.network.heads:
            self._take_to_head(head)
        for node in reversed(self.network.nodes):
            self._move_to_reader(node)
        groups: dict[StageKey, list[int]] = defaultdict(list)
        for index in sorted(self.key_of):
            groups[self.key_of[index]].append(index)
        return tuple(self._build_stage(key, tuple(layers)) for key, layers in sorted(groups.items()))

    def _count_descending_runs(self) -> int:
        """Return the number of runs before the first whose map is not smaller than the previous map."""
        for number in range(1, len(self.runs)):
            if self.runs[number].area >= self.runs[number - 1].area:
                return number
        return len(self.runs)

    def _split_deepest(self, number: int) -> None:
        """Start the neck after the last block of the deepest run."""
        layers = self.runs[number].layers
        inside = [b for b in self.blocks if b.name not in NECK_BLOCKS and layers.start <= b.layers[0] < layers.stop]
        spans = [(b.layers[0], b.layers[-1]) for b in inside if b.layers[-1] in layers]
        spans += [(b.first, b.last) for b in self.network.bottlenecks if b.gated and b.last in layers]
        if not spans:
            return
        first, last = max(spans, key=lambda span: span[1])
        end = self._find_transition(first, last, layers) + 1
        self.key_of |= dict.fromkeys(range(end, layers.stop), (number, 1, 0))

    def _find_transition(self, first: int, last: int, layers: range) -> int:
        """Return the last layer of the structure around a block: the join with its other path, or the 1×1 after it."""
        nodes, end = self.network.nodes, last
        for node in nodes[last + 1 : layers.stop]:
            reads = [self.sources[i] for i in node.inputs]
            if node.layer.role == "cat" and len(reads) > 1 and min(reads) < first and max(reads) >= last:
                end = node.index
        following = nodes[end + 1] if end > last and end + 1 < layers.stop else None
        return end + 1 if following and is_pointwise(following) and following.inputs == (end,) else end

    def _take_to_head(self, head: int) -> None:
        """Move the projection, and the convolution that only this projection reads, to the stage of a head."""
        nodes, size = self.network.nodes, self._size(head)
        key = (self.key_of[head][0], 2, head)
        self.key_of[head] = key
        index = head
        for roles in (("conv", "dense"), ("conv", "gate")):
            before = nodes[index].inputs[0] if nodes[index].inputs else -1
            # Dropout and routes pass their input on.
            while before >= 0 and self.sources[before] != before and self.network.readers[before] == (index,):
                index, before = before, nodes[before].inputs[0]
            if before < 0 or self.network.readers[before] != (index,) or nodes[before].layer.role not in roles:
                return
            if index != head and self._size(before) != size:
                return
            first = min(nodes[before].inputs) if nodes[before].layer.role == "gate" else before
            if all(max(self.network.readers[i], default=-1) <= head for i in range(first, head)):
                self.key_of |= dict.fromkeys(range(first, head), key)
            index = before

    def _size(self, index: int) -> tuple[int, int]:
        shape = self.network.nodes[index].in_shape or self.network.nodes[index].out_shape
        return shape.h, shape.w

    def _move_to_reader(self, node: Node) -> None:
        """Move a layer to the stage of its only reader where it belongs there."""
        readers = self.network.readers[node.index]
        if len(readers) != 1 or self.key_of[readers[0]] == self.key_of[node.index] or not node.inputs:
            return
        reader = self.network.nodes[readers[0]]
        changes_scale = (node.out_shape.h, node.out_shape.w) != (reader.out_shape.h, reader.out_shape.w)
        if self.sources[node.index] != node.index or (
            changes_scale and is_pointwise(node) and self._leads_aside(node, reader)
        ):
            self.key_of[node.index] = self.key_of[reader.index]

    def _leads_aside(self, node: Node, reader: Node) -> bool:
        """Return whether other layers read the layer's input, or its reader continues a bottleneck that it starts."""
        source = self.sources[node.inputs[0]]
        others = [r for i, s in self.sources.items() if s == source for r in (self._direct_readers(i))]
        begins = any(
            b.first == node.index and b.form != "pair" and reader.index <= b.last for b in self.network.bottlenecks
        )
        return begins or len(others) > 1

    def _direct_readers(self, index: int) -> list[int]:
        """Return the readers of a layer that compute something."""
        readers = self.network.readers[index] if index >= 0 else ()
        return [r for r in readers if self.sources[r] == r]

    def _build_stage(self, key: StageKey, layers: tuple[int, ...]) -> Stage:
        number, part_number, _ = key
        run: ScaleRun = self.runs[number]
        parts: tuple[Part, ...] = ("backbone", "neck", "head")
        at_scale = [i for i in layers if self.network.nodes[i].layer.role not in ("head", "loss")]
        output = max(at_scale, default=layers[-1])
        part = parts[part_number]
        if not self.network.heads and number == len(self.runs) - 1 > 0 and run.area == 1:
            part = "head"
        inside = [block for block in self.blocks if set(block.layers) <= set(layers)]
        return Stage(part, run.size, layers, output, tuple(_outermost(inside)))


def _outermost(blocks: list[NamedBlock]) -> list[NamedBlock]:
    covered: set[int] = set()
    selected = []
    for block in sorted(blocks, key=lambda block: -len(block.layers)):
        if block.layers[0] not in covered:
            selected.append(block)
            covered.update(block.layers)
    return sorted(selected, key=lambda block: block.layers[0])
