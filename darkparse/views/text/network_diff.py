"""What changed from one network to another: not in the text of the cfg, in the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

from darkparse.diagnostics.source import escape_control
from darkparse.layers.base import DerivedDefault, get_bound_fields
from darkparse.network import Network
from darkparse.network.analysis.repeats import REFERENCE_OPTIONS
from darkparse.network.io.cfg import format_value
from darkparse.views.text.comparison import compare_networks
from darkparse.views.text.table import table


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """A property before and after; None before where only the second network has it."""

    name: str
    before: str | int | None
    after: str | int | None

    def __str__(self) -> str:
        sides = [f"{side:,}" if isinstance(side, int) else side for side in (self.before, self.after)]
        return f"{self.name} {' → '.join(side for side in sides if side is not None)}"


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer that is in one network alone, or that differs from its counterpart."""

    sign: Literal["+", "-", "≠"]
    before: int | None
    """Index in the first network, None where it is in the second alone."""
    after: int | None
    layer: str
    """What it does, as in the table."""
    changes: tuple[PropertyChange, ...] = ()

    @property
    def place(self) -> str:
        """`L4`, or `L4 → L5` where the counterpart has another index."""
        return " → ".join(dict.fromkeys(f"L{i}" for i in (self.before, self.after) if i is not None))


@dataclass(frozen=True, slots=True)
class NetworkDifference:
    """All that differs between two networks, matched layer by layer."""

    names: tuple[str, str]
    totals: tuple[PropertyChange, ...]
    layers: tuple[LayerChange, ...]

    def __bool__(self) -> bool:
        return bool(self.totals or self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {"same": not self, **asdict(self)}

    def __str__(self) -> str:
        head = f"{self.names[0]} → {self.names[1]}"
        if not self:
            return f"{head}: the same network"
        rows = [
            (f"{change.sign} {change.place}", change.layer, ", ".join(map(str, change.changes)))
            for change in self.layers
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
        lines = [f"  {place:<{widths[0]}}  {layer:<{widths[1]}}  {changes}".rstrip() for place, layer, changes in rows]
        return "\n".join([head, *(f"  {total}" for total in self.totals), *lines])

    def to_markdown(self) -> str:
        """The totals and the layers as tables."""
        names = " → ".join(map(code_span, dict.fromkeys(self.names)))
        if not self:
            return f"{names}: the same network\n"
        parts = [f"**{names}**"]
        if self.totals:
            rows = [str(total).removeprefix(total.name).strip().split(" → ") for total in self.totals]
            cells = [f"| {t.name} | {before} | {after} |" for t, (before, after) in zip(self.totals, rows, strict=True)]
            parts.append("\n".join(["| | before | after |", "|---|---|---|", *cells]))
        if self.layers:
            cells = [
                f"| {layer.sign} | {layer.place} | {_cell(layer.layer)} | "
                f"{'<br>'.join(_cell(str(change)) for change in layer.changes)} |"
                for layer in self.layers
            ]
            parts.append("\n".join(["| | layer | | what changed |", "|---|---|---|---|", *cells]))
        return "\n\n".join(parts) + "\n"


PLAIN_TEXT = re.compile(r"(?!.*www\.)[A-Za-z0-9 .,()%/=×÷→−≠…-]*", re.IGNORECASE)
"""Text that is the same in Markdown: no markup, mention, reference or link."""


def _cell(text: str) -> str:
    """Return text for a cell of a table; values of a cfg may hold any."""
    return text if PLAIN_TEXT.fullmatch(text) else code_span(text).replace("|", r"\|")


def code_span(text: str) -> str:
    """Return untrusted text as one line of Markdown that shows it: nothing in a code span is markup or a mention."""
    text = escape_control(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text.strip(" ") and text != text.strip(" `") else ""
    return f"{fence}{padding}{text or ' '}{padding}{fence}"


def diff_networks(first: Network, second: Network) -> NetworkDifference:
    """Match the layers of two networks and say what changed: options, inputs, channels, scales, parameters, reductions.

    Shapes (H, W, C) that follow from another input size alone are no difference of a layer.
    """
    return NetworkDifference(
        (first.config.source.name, second.config.source.name),
        tuple(_find_changes(zip(_totals(first), _totals(second), strict=True))),
        tuple(_diff_layers(first, second)),
    )


def _totals(network: Network) -> Iterator[tuple[str, str | int | None]]:
    yield "input", str(network.input_shape)
    yield "dialect", network.dialect.name
    yield "layers", len(network.nodes)
    yield "parameters", network.cost.params
    yield "floats in the weights file", network.stored_floats
    yield "FLOPs", network.cost.flops


def _diff_layers(first: Network, second: Network) -> Iterator[LayerChange]:
    pairs = compare_networks(first, second).pairs
    matches = {j: i for i, j in pairs.items()} | {-1: -1}
    rows = table(first), table(second)
    next_index = 0
    for j, row in enumerate(rows[1]):
        i = matches.get(j)
        if i is None:
            yield LayerChange("+", None, j, row.layer, (PropertyChange("output", None, row.output),))
            continue
        for removed in range(next_index, i):
            yield LayerChange("-", removed, None, rows[0][removed].layer)
        next_index = i + 1
        inputs_before = [_source_name(k) for k in first.nodes[i].inputs]
        inputs_after = [_source_name(matches[k]) if k in matches else f"the new {k}" for k in second.nodes[j].inputs]
        before = _properties(first, i, inputs_before, rows[0][i].reduction)
        after = _properties(second, j, inputs_after, row.reduction)
        sides = zip(before, after, strict=True)
        if changes := tuple(_find_changes(sides)):
            yield LayerChange("≠", i, j, row.layer, changes)
    for removed in range(next_index, len(rows[0])):
        yield LayerChange("-", removed, None, rows[0][removed].layer)


def _source_name(index: int) -> str:
    """What a layer reads, in a word."""
    return "the input" if index < 0 else f"L{index}"


def _properties(
    network: Network, index: int, inputs: list[str], reduction: str
) -> Iterator[tuple[str, str | int | None]]:
    """What a layer is, whatever the network's input size; inputs by the indices of the first network."""
    node = network.nodes[index]
    for item in get_bound_fields(type(node.layer)):
        default = type(node.layer).__dataclass_fields__[item.name].default
        value = getattr(node.layer, item.name)
        is_default = isinstance(default, DerivedDefault) and default.rule(node.layer) == value
        if item.name not in REFERENCE_OPTIONS and item.keys:
            yield item.keys[0], "as by default" if value is None or is_default else format_value(value)
    if any(hasattr(node.layer, name) for name in REFERENCE_OPTIONS):
        yield "reads", ", ".join(inputs)
    yield "channels out", node.out_shape.c
    image = network.input_shape
    yield (
        "scale",
        f"{Fraction(node.out_shape.h, image.h)}×{Fraction(node.out_shape.w, image.w)}" if image.is_map else "",
    )
    yield "parameters", node.params
    yield "reduction", reduction or "none"


def _find_changes(
    sides: Iterator[tuple[tuple[str, str | int | None], tuple[str, str | int | None]]],
) -> Iterator[PropertyChange]:
    return (PropertyChange(name, before, after) for (name, before), (_, after) in sides if before != after)
