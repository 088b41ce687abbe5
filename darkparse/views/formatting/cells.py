"""Cell texts of a layer: its label and its changes of height × width and channels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from darkparse._utils.text import pluralize
from darkparse.layers import Shape
from darkparse.layers.capabilities import ChannelSlice
from darkparse.network import Node, Reduction
from darkparse.views.formatting.numbers import factor_text, number_text, sides_text, size_text
from darkparse.views.formatting.words import mixing_text
from darkparse.views.layer_info import ChannelNote, LayerFacts

SIGNS = {"reduced": "▼", "kept": "=", "expanded": "▲", "projected": "→"}
MIN_SEPARATED_COUNT = 10_000
"""Smallest count to print with thousands separators."""
MIN_NUMBERED_INPUTS = 3
"""Smallest number of concatenated inputs to list by number only: `concat L114, 112, 110, 109`."""
UNREDUCED = {
    ChannelNote.UNREDUCED: "",
    ChannelNote.MIXED: f", {mixing_text()}",
    ChannelNote.ALONE: ", depthwise",
}
"""Text after `no reduction`."""


class Change(NamedTuple):
    """Parts of a cell: `▼`, `512→256`, ` (÷2)`."""

    sign: str
    figures: str
    tail: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.figures}{self.tail}"


def layer_label(node: Node, *, block_input: int | None = None) -> str:
    """Describe a layer and its inputs: `conv 3×3 /2, 64`, `add + L37`.

    Args:
        node: Layer to describe.
        block_input: Index of the layer to call `block input`.
    """
    if node.shared_with is not None:
        return f"{node.summary} (weights of L{node.shared_with})"
    if node.inputs in ((node.index - 1,), ()):
        return node.summary
    names = ["block input" if i == block_input else input_name(i) for i in node.inputs]
    if node.layer.role == "cat":
        joined = (
            " + ".join(names)
            if len(names) < MIN_NUMBERED_INPUTS
            else ", ".join((names[0], *(n.lstrip("L") for n in names[1:])))
        )
        return f"{node.summary}{' from' if len(names) == 1 else ''} {joined}"
    if node.layer.role == "gate":
        return f"{node.summary} {names[1]} × {names[0]}"
    return f"{node.summary} {' '.join(f'+ {name}' for name in names[1:])}"


def input_name(index: int, network_input: str = "input") -> str:
    """Return the name of an input layer, where -1 is the network's input."""
    return f"L{index}" if index >= 0 else network_input


def spatial_cell(facts: LayerFacts, card_size: tuple[int, ...]) -> Change:
    """Return the height × width cell.

    Args:
        facts: Properties of the layer.
        card_size: Height and width of the card that contains the layer.
    """
    change = facts.spatial
    if change is None:
        return Change("•", "no input")
    is_map, after = facts.node.out_shape.is_map, change.after
    end = "1×1" if after == (1, 1) else size_text(after)
    end = end if is_map else "vector"
    sign = SIGNS[change.direction]
    if change.direction == "kept":
        path = "gate" if after == (1, 1) else "side"
        return Change(sign, end, "" if after == card_size else f" ({path} path)")
    if after == (1, 1):
        return Change(sign, f"{sides_text(change.before)}→{end}")
    are_square = len(set(change.before)) == len(set(after)) == 1
    format_size = size_text if are_square else sides_text
    return Change(sign, f"{format_size(change.before)}→{format_size(after)}", f" ({factor_text(change)})")


def channels_cell(facts: LayerFacts) -> Change:
    """Return the channels cell."""
    change, node, remark = facts.channels, facts.node, facts.channel_note
    if change is None:
        return Change("•", f"{node.out_shape.c:,} learned")
    sign = SIGNS[change.direction]
    if remark is ChannelNote.PROJECTED:
        return Change(sign, f"{change.after[0]} = {facts.formula}")
    if remark is ChannelNote.JOINED:
        return _concat_cell(sign, node)
    before, after = _count_texts(facts, change)
    if remark is ChannelNote.DECODED:
        return Change(sign, after, f": {facts.formula}")
    if remark is ChannelNote.APPENDED:
        return Change(sign, f"{before}→{after}", f" ({zeros_text(node)} appended)")
    if change.direction != "kept":
        return Change(sign, f"{before}→{after}", f" ({factor_text(change)}{_part_text(node)})")
    if remark in UNREDUCED:
        return Change(sign, f"{before}→{after}", f": no reduction{UNREDUCED[remark]}")
    tails = {ChannelNote.ADDED_PART: f" (added part: {_added_part_text(node)})", ChannelNote.GATED: " (gated)"}
    return Change(sign, after, tails.get(remark, ""))


def _count_texts(facts: LayerFacts, change: Reduction) -> tuple[str, str]:
    """Format channel counts, with thousands separators if they, or for a vector any vector, reach 10,000."""
    before, after = change.before[0], change.after[0]
    form = "," if max(before, after, facts.largest_vector) >= MIN_SEPARATED_COUNT else "d"
    return format(before, form), format(after, form)


def zeros_text(node: Node) -> str:
    """Format the number of zeros that are appended to a vector."""
    return pluralize(node.out_shape.size - node.in_shapes[0].size, "zero")


def _part_text(node: Node) -> str:
    """Return which group of the input's channels a layer selects; empty if it selects all."""
    layer = node.layer
    if isinstance(layer, ChannelSlice) and layer.groups > 1:
        return f", part {layer.group_id + 1} of {layer.groups}"
    return ""


def _concat_cell(sign: str, node: Node) -> Change:
    """Return the cell of a concatenation: `256 + 512 = 768 (joined)`.

    The counts are channels if the output is a map, and elements if the inputs are flattened because their sizes differ.
    """
    counts = [shape.c if node.out_shape.is_map else shape.size for shape in node.in_shapes]
    runs = [(count, len(list(run))) for count, run in groupby(counts)]
    collapses = len(counts) > 3
    terms = [f"{n} × {c}" if collapses and n > 1 else " + ".join([str(c)] * n) for c, n in runs]
    total, after = " + ".join(terms), node.out_shape.c
    groups = node.layer.groups if isinstance(node.layer, ChannelSlice) else 1
    if groups == 1:
        return Change(sign, f"{total} = {after}", " (joined)")
    return Change(sign, f"({total}) ÷ {groups} = {after}", " (joined parts)")


def _added_part_text(node: Node) -> str:
    """Describe which part of an input of another shape Darknet adds (blas.c, shortcut_cpu)."""
    parts = (_fitting_text(x, node.out_shape) for x in node.in_shapes[1:] if x != node.out_shape)
    return "; ".join(dict.fromkeys(parts))


def _fitting_text(added: Shape, out: Shape) -> str:
    stride, spread = max(1, added.w // out.w), max(1, out.w // added.w)
    return f"first {min(added.c, out.c)}, {f'spread ×{spread}' if spread > 1 else f'stride {stride}'}"


def growing_cell(first: LayerFacts, last: LayerFacts, step: int) -> Change:
    """Combine the channels cells of the first and the last copy of a repeat whose channels grow by `step`."""
    start, end = channels_cell(first), channels_cell(last)
    return Change(start.sign, f"{start.figures} … {end.figures}", f", +{step} each")


def price_text(first: int, last: int) -> str:
    """Format a price: `65.5k`, or `32.8k … 225k` for the first and last copy of a growing repeat; empty for 0."""
    return " … ".join(dict.fromkeys(number_text(count) for count in (first, last) if count))


def reduction_text(facts: LayerFacts) -> str:
    """Summarize what a layer reduces or expands: `H×W ÷2, C ×2`.

    If nothing changes, the text is empty, or `none` for a layer with weights.
    """
    unreduced = f"none{UNREDUCED[facts.channel_note]}" if facts.channel_note in UNREDUCED else ""
    return ", ".join(_change_texts(facts)) or unreduced


def _change_texts(facts: LayerFacts) -> Iterator[str]:
    spatial, channels = facts.spatial, facts.channels
    if spatial is not None and spatial.direction != "kept":
        is_vector = spatial.after == (1, 1) and spatial.direction == "reduced"
        yield "H×W to vector" if is_vector else f"H×W {factor_text(spatial)}"
    if channels is None or channels.direction == "kept":
        return
    suffix = " (joined)" if len(channels.before) > 1 else ""
    yield "to the head" if facts.channel_note is ChannelNote.PROJECTED else f"C {factor_text(channels)}{suffix}"
