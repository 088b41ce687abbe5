"""Sentences about a layer."""

from __future__ import annotations

from collections.abc import Iterator

from darkparse._utils.text import pluralize
from darkparse.layers.capabilities import Convolution
from darkparse.network import Reduction
from darkparse.network.analysis.repeats import Repeat
from darkparse.network.analysis.summary import is_pointwise
from darkparse.views.formatting.bottlenecks import bottleneck_text
from darkparse.views.formatting.cells import channels_cell, zeros_text
from darkparse.views.formatting.geometry import describe_head, describe_padding
from darkparse.views.formatting.numbers import (
    factor_text,
    field_text,
    number_text,
    operations_text,
    percent_text,
    sides_text,
)
from darkparse.views.formatting.words import layer_span, mixing_text
from darkparse.views.layer_info import ChannelNote, LayerFacts

MECHANISMS = {
    "stride": "by its stride",
    "pool": "by pooling",
    "global pool": "by taking the mean of all positions",
    "upsampling": "by repeating values",
    "rearrangement": "by moving values",
    "crop": "by cutting off the border",
    "full connection": "by a fully connected layer",
    "transposed convolution": "by a transposed convolution",
}


def reasons(facts: LayerFacts) -> Iterator[str]:
    """Yield sentences that explain why the layer reduces or not, and at what cost."""
    node, spatial, channels = facts.node, facts.spatial, facts.channels
    if spatial is None or channels is None:
        yield f"It has no input: its {node.out_shape.c} values are learned and the same for every image."
        return
    if facts.channel_note is ChannelNote.DECODED:
        yield f"A detection head: it decodes {node.in_shapes[0].c} = {facts.formula} and reduces nothing."
        yield from describe_head(facts)
        return
    yield _spatial_sentence(facts, spatial)
    if isinstance(node.layer, Convolution):
        yield from describe_padding(node)
    yield _channels_sentence(facts, channels)
    if node.layer.has_state:
        yield "It is stateful: its output depends on earlier calls."
    if node.shared_with is not None:
        yield f"It shares the weights of L{node.shared_with}."
    for text in map(bottleneck_text, facts.blocks):
        yield f"{text[0].upper()}{text[1:]}."
    yield from (_repeat_sentence(repeat, facts.index) for repeat in facts.repeats)


def _spatial_sentence(facts: LayerFacts, change: Reduction) -> str:
    (h, w), (to_h, to_w) = change.before, change.after
    is_map = facts.node.out_shape.is_map
    if change.direction == "kept":
        sentence = f"Height × width stay {to_h}×{to_w}."
        return sentence if is_map else "It works on vectors, which have no height and width."
    target = sides_text(change.after) if is_map else "a vector"
    ratio = f" ({factor_text(change)})" if is_map and h * to_w == w * to_h else ""
    mechanism = f", {MECHANISMS[change.mechanism]}" if change.mechanism in MECHANISMS else ""
    return f"It {_change_verb(change)} height × width from {h}×{w} to {target}{ratio}{mechanism}."


def _change_verb(change: Reduction) -> str:
    return "reduces" if change.direction == "reduced" else "expands"


def _channels_sentence(facts: LayerFacts, change: Reduction) -> str:
    node, remark = facts.node, facts.channel_note
    before, after = change.before[0], change.after[0]
    noun = "channels" if node.out_shape.is_map else "values"
    counts = f"{before:,} {noun} in, {after:,} out"
    layer = node.layer
    operation = f"this {layer.size}×{layer.size} convolution" if isinstance(layer, Convolution) else "it"
    if remark is ChannelNote.PROJECTED:
        head = f"what the head L{facts.projected_head} decodes"
        return f"Its {after} channels = {facts.formula} are {head}: a projection, not a reduction."
    if remark is ChannelNote.JOINED:
        cell = channels_cell(facts)
        return f"It concatenates {noun}: {cell.figures}{cell.tail}; nothing is computed."
    if remark is ChannelNote.GATED:
        product = f"the map of L{node.inputs[1]} by L{node.inputs[0]}"
        return f"It multiplies {product} and keeps its {after} channels: a gate, not a reduction."
    if remark is ChannelNote.ALONE:
        return f"Each of the {after} channels is convolved separately: none is reduced, and they are not mixed."
    if remark is ChannelNote.MIXED:
        return f"{counts}: {operation} reduces nothing, it {mixing_text()}."
    if change.direction == "kept":
        return (
            f"{counts}: {operation} keeps their number and mixes them."
            if is_pointwise(node)
            else f"The {noun} stay {after:,}."
        )
    if remark is ChannelNote.APPENDED:
        return f"{counts}, with {zeros_text(node)} appended."
    tail = "; values are only moved, none is lost" if change.keeps_values else ""
    return f"{counts}: {operation} {_change_verb(change)} them ({factor_text(change)}){tail}."


def _repeat_sentence(repeat: Repeat, index: int) -> str:
    copy = (index - repeat.first) // repeat.period + 1
    kind = "a block that repeats with growing input" if repeat.grows else "a repeated block"
    return f"Copy {copy} of {repeat.count} of {kind} ({layer_span(repeat.first, repeat.last)})."


def cost_text(facts: LayerFacts) -> str:
    """Format the cost of a layer, and Darknet's BFLOPs if they differ.

    For example `65.5k weights, 66,048 parameters, 411 MFLOPs (206M multiply-adds), 1% of the network's`.
    """
    node = facts.node
    parts = [f"{number_text(node.weights)} weights"] if node.weights else []
    parts.append(pluralize(node.params, "parameter") if node.params else "no parameters")
    share = f"{share_text(facts)} of the network's"
    parts.append(f"{operations_text(node.macs)}, {share}" if node.macs else "no FLOPs")
    printed = f"{node.bflops:.3f}"
    if node.bflops and printed != f"{node.flops / 1e9:.3f}":
        parts.append(f"{printed} BFLOPs as Darknet counts")
    return ", ".join(parts)


def share_text(facts: LayerFacts) -> str:
    """Format the layer's share of the network's multiply-adds."""
    total = facts.network.cost.macs
    return percent_text(facts.node.macs, total) if total else "0%"


def receptive_field_text(facts: LayerFacts) -> str:
    """Format the receptive field; empty if there is no input map.

    For example `37×37`, or `608×608, the whole input (917×917 including the area beyond it)`.
    """
    field, unclipped = facts.receptive_field, facts.unclipped_field
    whole = ", the whole input" if facts.sees_all else ""
    beyond = f" ({field_text(unclipped)} including the area beyond it)" if unclipped and unclipped != field else ""
    return f"{field_text(field)}{whole}{beyond}"
