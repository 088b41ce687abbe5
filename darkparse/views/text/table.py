"""Table of layers: the columns Darknet prints when it loads a cfg, and what each layer reduces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from darkparse._utils.text import pluralize
from darkparse.network import Network
from darkparse.network.freezing import get_gradient_stops
from darkparse.views.formatting.cells import layer_label, reduction_text
from darkparse.views.formatting.numbers import operations_text, sides_text
from darkparse.views.layer_info import LayerFacts, layer_facts

MIN_WIDTH = 12
"""Minimum width of a column on a narrow terminal, in characters."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """Row for one layer; shapes are height × width × channels."""

    index: int
    layer: str
    input: str
    output: str
    params: int
    bflops: float
    """BFLOPs as AlexeyAB's Darknet prints them."""
    reduction: str
    reduces: bool


def table(network: Network) -> tuple[TableRow, ...]:
    """Return one row per layer of a network."""
    return tuple(map(_build_row, layer_facts(network)))


def totals(network: Network) -> str:
    """Return the line below the table: layers, parameters, size of the weights file and operations."""
    megabytes = 4 * network.stored_floats / 1e6
    weights_text = f"{network.stored_floats:,} floats, {megabytes:,.1f} MB of weights"
    counts = f"{pluralize(len(network.nodes), 'layer')}, {parameters_text(network)} ({weights_text})"
    shape = network.input_shape
    size = sides_text((shape.h, shape.w)) if shape.is_map else pluralize(shape.size, "input")
    return f"{counts}, {operations_text(network.cost.macs)} at {size}, {network.bflops:.3f} BFLOPs as Darknet counts"


def parameters_text(network: Network) -> str:
    """Format the number of parameters, how many of them are trainable, and what else is stored.

    For example `61,949,149 parameters (all trainable), 52,608 running means and variances`.
    """
    stops = get_gradient_stops(network)
    frozen = sum(n.params for n in network.nodes if any(stop.until is None and n.index in stop for stop in stops))
    total = network.cost.params
    statistics = sum(node.num_elements - node.params for node in network.nodes)
    trainable = f"{total - frozen:,} trainable, {frozen:,} frozen" if frozen else "all trainable"
    parts = [pluralize(total, "parameter") + (f" ({trainable})" if total else "")]
    parts += [f"{statistics:,} running means and variances"] if statistics else []
    return ", ".join(parts)


def _build_row(facts: LayerFacts) -> TableRow:
    node = facts.node
    return TableRow(
        index=node.index,
        layer=layer_label(node),
        input=" + ".join(dict.fromkeys(map(str, node.in_shapes))) or "none",
        output=str(node.out_shape),
        params=node.params,
        bflops=node.bflops,
        reduction=reduction_text(facts),
        reduces=facts.network.reductions[node.index].reduces,
    )


def shrink_widths(widths: Sequence[int], limit: int, min_widths: Sequence[int]) -> list[int]:
    """Shrink the widest columns until the total width is within a limit, as far as the minimum widths allow.

    Args:
        widths: Width of each column in characters.
        limit: Maximum total width.
        min_widths: Minimum width of each column.
    """
    result = list(widths)
    while sum(result) > limit:
        shrinkable = [i for i, width in enumerate(result) if width > min_widths[i]]
        if not shrinkable:
            break
        result[max(shrinkable, key=result.__getitem__)] -= 1
    return result


def wrap_text(text: str, width: int | None) -> list[str]:
    """Wrap text to lines of at most `width` characters and align continuation lines with the first word.

    `width` is raised to `MIN_WIDTH`; None disables wrapping.
    """
    if width is None or len(text) <= width:
        return text.split("\n")
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip(" └•")))
        lines += wrap(line, max(width, MIN_WIDTH), subsequent_indent=indent, break_on_hyphens=False) or [""]
    return lines
