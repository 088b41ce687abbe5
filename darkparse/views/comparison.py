"""Two networks side by side: which layers are alike, which differ, and which only one of them has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from typing import Any

from darkparse.network import Network, Node
from darkparse.network.repeats import REFERENCES
from darkparse.views.numbers import short


@dataclass(frozen=True, slots=True)
class Comparison:
    """The layers of two networks, matched in order; each side holds a sign for every layer that is not alike."""

    marks: tuple[dict[int, str], dict[int, str]]
    pairs: dict[int, int]
    """Layer of the first network to its counterpart in the second, alike or changed."""

    def lines(self, networks: tuple[Network, Network]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """For each side the difference in a line."""
        return (self._line(0, networks), self._line(1, networks))

    def _line(self, side: int, networks: tuple[Network, Network]) -> tuple[str, ...]:
        signs, mine, other = list(self.marks[side].values()), networks[side], networks[1 - side]
        name = other.name if other.name != mine.name else "the other"
        if not signs:
            return (f"Against {name}: no layer differs",)
        parts = [f"{signs.count(sign)} {word}" for sign, word in (("≠", "differ"), ("+", "only here")) if sign in signs]
        weights = mine.cost.params - other.cost.params
        macs = mine.cost.macs - other.cost.macs
        return (f"Against {name}: layers {', '.join(parts)}; {_signed(weights)} parameters, {_signed(2 * macs)} FLOPs",)


def compare(first: Network, second: Network) -> Comparison:
    """Match the layers of two networks in order: the alike first, then those of one kind between them."""
    a, b = ([_signature(node) for node in network.nodes] for network in (first, second))
    marks: tuple[dict[int, str], dict[int, str]] = ({}, {})
    pairs: dict[int, int] = {}
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs.update(zip(range(a0, a1), range(b0, b1), strict=True))
            continue
        changed = _same_kinds(first.nodes[a0:a1], second.nodes[b0:b1])
        pairs.update(changed)
        marks[0].update({i: "≠" if i in changed else "+" for i in range(a0, a1)})
        marks[1].update({i: "≠" if i in changed.values() else "+" for i in range(b0, b1)})
    return Comparison(marks, pairs)


def _same_kinds(a: tuple[Node, ...], b: tuple[Node, ...]) -> dict[int, int]:
    """Layers of one kind at matching places of two stretches that are not alike."""
    blocks = SequenceMatcher(None, [node.kind for node in a], [node.kind for node in b], autojunk=False).get_matching_blocks()
    return {a[block.a + i].index: b[block.b + i].index for block in blocks for i in range(block.size)}


def _signature(node: Node) -> tuple[Any, ...]:
    """What makes two layers alike, whatever the size of the network's input: kind, options, channels in and out."""
    options = tuple(getattr(node.layer, field.name) for field in fields(node.layer) if field.name not in REFERENCES)
    return (node.kind, options, tuple(shape.c for shape in node.in_shapes), node.out_shape.c)


def _signed(number: int) -> str:
    return f"{'−' if number < 0 else '+'}{short(abs(number))}"
