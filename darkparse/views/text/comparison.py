"""Two networks side by side: which layers are alike, which differ, and which only one of them has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from typing import Any

from darkparse._utils.text import pluralize
from darkparse.network import Network, Node
from darkparse.network.analysis.repeats import REFERENCE_OPTIONS
from darkparse.views.formatting.numbers import flops_text, number_text, signed_text
from darkparse.views.formatting.words import verb

MAX_OPTIONS = 2
"""So many options that differ are named on a row."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How a layer differs from its counterpart in the other network."""

    sign: str
    """One of `model.MARKS`."""
    difference: str = ""
    """What the layer's label does not tell: `mish, not leaky`."""


@dataclass(frozen=True, slots=True)
class NetworkComparison:
    """The layers of two networks, matched in order; each side holds a mark for every layer that is not alike."""

    marks: tuple[dict[int, Mark], dict[int, Mark]]
    pairs: dict[int, int]
    """Layer of the first network to its counterpart in the second, alike or changed."""

    def lines(self, networks: tuple[Network, Network]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """For each side the difference in a line."""
        return (self._summary_lines(0, networks), self._summary_lines(1, networks))

    def _summary_lines(self, side: int, networks: tuple[Network, Network]) -> tuple[str, ...]:
        ours, other = networks[side], networks[1 - side]
        name = other.name if other.name != ours.name else "the other"
        changed, here, there = (
            self._count_marks(side, "≠"),
            self._count_marks(side, "+"),
            self._count_marks(1 - side, "+"),
        )
        layers = [f"{pluralize(changed, 'layer')} {verb(changed, 'differs')}" if changed else "no layer differs"]
        layers += [
            f"{pluralize(count, 'layer')} only {where}" for count, where in ((here, "here"), (there, "there")) if count
        ]
        params, macs = ours.cost.params - other.cost.params, ours.cost.macs - other.cost.macs
        costs = (
            f"{signed_text(params, number_text(abs(params)))} parameters, {signed_text(macs, flops_text(abs(macs)))}"
        )
        return (f"Against {name}: {', '.join(layers)}; {costs}",)

    def _count_marks(self, side: int, sign: str) -> int:
        return sum(mark.sign == sign for mark in self.marks[side].values())


def compare_networks(first: Network, second: Network) -> NetworkComparison:
    """Match the layers of two networks in order: the alike first, then those of one kind between them."""
    a, b = ([_signature(node) for node in network.nodes] for network in (first, second))
    marks: tuple[dict[int, Mark], dict[int, Mark]] = ({}, {})
    pairs: dict[int, int] = {}
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs.update(zip(range(a0, a1), range(b0, b1), strict=True))
            continue
        changed = _match_kinds(first.nodes[a0:a1], second.nodes[b0:b1])
        pairs.update(changed)
        marks[0].update({i: Mark("+") for i in range(a0, a1)})
        marks[1].update({i: Mark("+") for i in range(b0, b1)})
        for i, j in changed.items():
            first_node, second_node = first.nodes[i], second.nodes[j]
            marks[0][i], marks[1][j] = (
                Mark("≠", _difference_text(first_node, second_node)),
                Mark("≠", _difference_text(second_node, first_node)),
            )
    return NetworkComparison(marks, pairs)


def _match_kinds(a: tuple[Node, ...], b: tuple[Node, ...]) -> dict[int, int]:
    """Layers of one kind at matching places of two stretches that are not alike."""
    blocks = SequenceMatcher(
        None, [node.kind for node in a], [node.kind for node in b], autojunk=False
    ).get_matching_blocks()
    return {a[block.a + i].index: b[block.b + i].index for block in blocks for i in range(block.size)}


def _signature(node: Node) -> tuple[Any, ...]:
    """What makes two layers alike, whatever the size of the network's input: kind, options, channels in and out."""
    return (node.kind, tuple(_options(node).values()), tuple(shape.c for shape in node.in_shapes), node.out_shape.c)


def _options(node: Node) -> dict[str, Any]:
    """What the cfg can say of a layer by itself; what the dialect says is no difference of layers."""
    items = [
        item for item in fields(node.layer) if item.name not in REFERENCE_OPTIONS and item.metadata["option"].keys != ()
    ]
    return {item.name: getattr(node.layer, item.name) for item in items}


def _difference_text(node: Node, other: Node) -> str:
    """Options by which a layer differs from one of its kind that has the same label."""
    if node.summary != other.summary:
        return ""
    theirs = _options(other)
    differing = [
        _option_text(name, value, theirs[name]) for name, value in _options(node).items() if value != theirs[name]
    ]
    return "; ".join(differing[:MAX_OPTIONS] + ["…"] * (len(differing) > MAX_OPTIONS))


def _option_text(name: str, value: Any, other: Any) -> str:
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {name}"
    return f"{value}, not {other}" if name == "activation" else f"{name} {value}, not {other}"
