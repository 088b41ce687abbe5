"""Differences between two networks as text, Markdown and plain values."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from darkparse.diagnostics.source import escape_control
from darkparse.layers import Shape
from darkparse.network import Network
from darkparse.network.diff import LayerPair, OptionChange, OptionValue, PropertyChange, diff_networks
from darkparse.network.io.cfg import format_value
from darkparse.views.text.table import TableRow, table
from darkparse.views.values import shape_values

CHANGES = {"+": "added", "-": "removed", "≠": "changed"}
"""Meaning of each sign."""


@dataclass(frozen=True, slots=True)
class LayerChange:
    """Layer that exists in only one network, or that differs from its counterpart."""

    sign: Literal["+", "-", "≠"]
    before: int | None
    """Index in the first network; None if only the second has the layer."""
    after: int | None
    layer: str
    """Layer description, as in the table."""
    output: Shape
    """Output shape in the second network; in the first if only that has the layer."""
    changes: tuple[PropertyChange, ...] = ()

    @property
    def place(self) -> str:
        """Name of the layer: `L4`, or `L4 → L5` if the counterpart has another index."""
        return " → ".join(dict.fromkeys(f"L{i}" for i in (self.before, self.after) if i is not None))

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-serializable values."""
        return {
            "change": CHANGES[self.sign],
            "before": self.before,
            "after": self.after,
            "label": self.layer,
            "output": shape_values(self.output),
            "changes": [asdict(change) for change in self.changes],
        }


@dataclass(frozen=True, slots=True)
class NetworkDifference:
    """Differences between two networks whose layers have been matched."""

    names: tuple[str, str]
    totals: tuple[PropertyChange, ...]
    layers: tuple[LayerChange, ...]

    def __bool__(self) -> bool:
        return bool(self.totals or self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-serializable values."""
        return {
            "same": not self,
            "totals": [asdict(total) for total in self.totals],
            "layers": [layer.to_dict() for layer in self.layers],
        }

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
        """Return the totals and the layers as Markdown tables."""
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
"""Text without Markdown markup, mentions, references or links."""


def _cell(text: str) -> str:
    """Escape text for a table cell, because cfg values may contain Markdown."""
    return text if PLAIN_TEXT.fullmatch(text) else code_span(text).replace("|", r"\|")


def code_span(text: str) -> str:
    """Return untrusted text as a Markdown code span, which disables markup and mentions."""
    text = escape_control(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text.strip(" ") and text != text.strip(" `") else ""
    return f"{fence}{padding}{text or ' '}{padding}{fence}"


def report_differences(first: Network, second: Network) -> NetworkDifference:
    """Compare two networks layer by layer: options, inputs, channels, scales, parameters, reductions."""
    diff = diff_networks(first, second)
    rows = table(first), table(second)
    layers = (_describe_pair(pair, *rows) for pair in diff.pairs)
    return NetworkDifference(
        (first.config.source.name, second.config.source.name),
        diff.totals,
        tuple(layer for layer in layers if layer is not None),
    )


def _describe_pair(
    pair: LayerPair, rows_before: tuple[TableRow, ...], rows_after: tuple[TableRow, ...]
) -> LayerChange | None:
    """Describe the difference between two matched layers; return None if there is none."""
    before = rows_before[pair.before.index] if pair.before else None
    after = rows_after[pair.after.index] if pair.after else None
    output = next(node.out_shape for node in (pair.after, pair.before) if node)
    match before, after:
        case TableRow(), None:
            return LayerChange("-", before.index, None, before.layer, output)
        case None, TableRow():
            change = PropertyChange("output", None, after.output)
            return LayerChange("+", None, after.index, after.layer, output, (change,))
        case TableRow(), TableRow():
            options = map(_format_option, pair.options)
            reduction = PropertyChange("reduction", before.reduction or "none", after.reduction or "none")
            changes = tuple(c for c in (*options, *pair.properties, reduction) if c.before != c.after)
            return LayerChange("≠", before.index, after.index, after.layer, output, changes) if changes else None
    return None


def _format_option(change: OptionChange) -> PropertyChange:
    return PropertyChange(change.option.keys[0], _format_value(change.before), _format_value(change.after))


def _format_value(value: OptionValue) -> str:
    return "default" if value.value is None or value.is_derived else format_value(value.value)
