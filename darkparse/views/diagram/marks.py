"""Marks in a diagram of two networks: layers that differ, and layers that only one network has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from darkparse._utils.text import pluralize
from darkparse.network import Network, Node
from darkparse.network.diff import NetworkDiff, OptionChange
from darkparse.views.formatting.numbers import flops_text, number_text, signed_text
from darkparse.views.formatting.words import verb

MAX_OPTIONS = 2
"""Maximum number of differing options to name in a row."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Difference of a layer from its counterpart in the other network."""

    sign: str
    """Key of `elements.MARKS`."""
    difference: str = ""
    """Difference that the layer's label does not show: `mish, not leaky`."""


KIND_OPTIONS = frozenset(("size", "stride", "dilation"))
"""Numbers that make a layer another kind of layer; other numbers only make it larger or smaller."""


Marks = dict[int, Mark]


def build_marks(diff: NetworkDiff) -> tuple[Marks, Marks]:
    """Return the marks of the differing layers of each network, by index."""
    marks: tuple[Marks, Marks] = ({}, {})
    for pair in diff.pairs:
        match pair.before, pair.after:
            case Node() as before, Node() as after:
                if not pair.is_alike:
                    changes = [(c.option.name, c.before.value, c.after.value) for c in pair.options]
                    if before.summary != after.summary:
                        changes = []
                    is_other_kind = any(map(_is_of_kind, pair.options)) or _grouping(before) != _grouping(after)
                    sign = "≠" if is_other_kind else "±"
                    marks[0][before.index] = Mark(sign, _difference_text(changes))
                    marks[1][after.index] = Mark(sign, _difference_text([(name, b, a) for name, a, b in changes]))
            case Node() as removed, None:
                marks[0][removed.index] = Mark("+")
            case None, Node() as added:
                marks[1][added.index] = Mark("+")
    return marks


def summary_lines(diff: NetworkDiff, marks: tuple[Marks, Marks]) -> tuple[str, str]:
    """Return one line per network that summarizes its difference from the other."""
    first, second = marks
    return _summary_line(diff.first, diff.second, first, second), _summary_line(diff.second, diff.first, second, first)


def _summary_line(ours: Network, other: Network, marks: Marks, other_marks: Marks) -> str:
    name = other.name if other.name != ours.name else "the other"
    changed, here, there = _count(marks, "≠") + _count(marks, "±"), _count(marks, "+"), _count(other_marks, "+")
    layers = [f"{pluralize(changed, 'layer')} {verb(changed, 'differs')}" if changed else "no layer differs"]
    layers += [
        f"{pluralize(count, 'layer')} only {where}" for count, where in ((here, "here"), (there, "there")) if count
    ]
    params, macs = ours.cost.params - other.cost.params, ours.cost.macs - other.cost.macs
    costs = f"{signed_text(params, number_text(abs(params)))} parameters, {signed_text(macs, flops_text(abs(macs)))}"
    return f"Against {name}: {', '.join(layers)}; {costs}"


def _count(marks: Marks, sign: str) -> int:
    return sum(mark.sign == sign for mark in marks.values())


def _is_of_kind(change: OptionChange) -> bool:
    """Return whether an option other than a size changed: a kernel, an activation, batch normalization."""
    if change.option.name in KIND_OPTIONS:
        return True
    return not all(map(_is_number, (change.before.value, change.after.value)))


def _grouping(node: Node) -> tuple[bool, bool]:
    """Return whether a convolution has groups, and whether each channel is one."""
    return getattr(node.layer, "groups", 1) > 1, getattr(node.layer, "is_depthwise", False)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number, or a sequence of numbers such as anchors."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_number, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _difference_text(changes: list[tuple[str, Any, Any]]) -> str:
    """Format the first options that differ, given as name, own value and value in the other layer."""
    texts = [_option_text(*change) for change in changes if change[1] != change[2]]
    return "; ".join(texts[:MAX_OPTIONS] + ["…"] * (len(texts) > MAX_OPTIONS))


def _option_text(name: str, value: Any, other: Any) -> str:
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {name}"
    return f"{value}, not {other}" if name == "activation" else f"{name} {value}, not {other}"
