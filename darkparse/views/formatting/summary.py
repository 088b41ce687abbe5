"""Summary of a network as lines below the title and as prose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from darkparse._utils.text import pluralize
from darkparse.network import Bottleneck, Network
from darkparse.network.analysis.summary import BottleneckStats, Downsampling, NetworkSummary, PointwiseStats
from darkparse.network.node import Cost
from darkparse.views.formatting.bottlenecks import block_span, direct_text, saving_texts
from darkparse.views.formatting.numbers import (
    flops_text,
    number_text,
    operations_text,
    sides_text,
    size_text,
)
from darkparse.views.formatting.words import MAX_NAMES, join_names, layer_names, mixing_text, verb

NOTHING = "No 1×1 convolution, no bottleneck, and no way down to smaller maps"
MAX_ANSWER_NAMES = 4
"""Maximum number of layers to name in the answer."""
FORM_TITLES = {
    "pair": "Bottleneck pairs (1×1 then k×k)",
    "triple": "Bottlenecks (1×1, k×k, 1×1)",
    "inverted": "Inverted bottlenecks (1×1 to more channels, k×k, 1×1 to fewer)",
    "separable": "Depthwise separable convolutions (depthwise k×k then 1×1)",
}


def totals(network: Network, layers: range) -> tuple[str, ...]:
    """Return the totals of some layers: `107 layers`, `61.9M parameters`, `141 GFLOPs at 608×608`."""
    shape, nodes = network.input_shape, network.nodes
    cost = sum((nodes[i].cost for i in layers), Cost())
    total_suffix = f" of {len(nodes)}" if len(layers) < len(nodes) else ""
    size_suffix = f" at {sides_text((shape.h, shape.w))}" if shape.is_map else ""
    return (
        f"{pluralize(len(layers), 'layer')}{total_suffix}",
        f"{number_text(cost.params)} parameters",
        operations_text(cost.macs) + size_suffix,
    )


def answer(facts: NetworkSummary) -> str:
    """Summarize in one sentence: `7 of 9 1×1 convolutions reduce; L6 and L17 mix channels only`."""
    pointwise = facts.pointwise
    if not pointwise.total:
        return f"No 1×1 convolution; height×width {_change_text(facts.downsampling)}" if facts.downsampling else NOTHING
    reducing = len(pointwise.reducing)
    if reducing == pointwise.total:
        subject = {1: "The only", 2: "Both"}.get(reducing, f"All {reducing}")
        return f"{subject} 1×1 {verb(reducing, 'convolution reduces', 'convolutions reduce')}"
    rest = [f"{_name_or_count(pointwise.keeping)} {mixing_text(len(pointwise.keeping))}"] if pointwise.keeping else []
    rest += (
        [f"{_name_or_count(pointwise.expanding)} {verb(len(pointwise.expanding), 'expands')}"]
        if pointwise.expanding
        else []
    )
    return f"{reducing} of {pointwise.total} 1×1 convolutions {verb(reducing, 'reduces')}; {', '.join(rest)}"


def _name_or_count(indices: Sequence[int]) -> str:
    return join_names([f"L{i}" for i in indices]) if len(indices) <= MAX_ANSWER_NAMES else str(len(indices))


def fact_lines(facts: NetworkSummary) -> tuple[str, ...]:
    """Return one line each for downsampling, 1×1 convolutions and each form of bottleneck, where present."""
    lines = [_downsampling_line(facts.downsampling)] if facts.downsampling else []
    lines += [_pointwise_line(facts.pointwise)] if facts.pointwise.total else []
    return (*lines, *map(_bottleneck_line, facts.bottlenecks))


def _downsampling_line(downsampling: Downsampling) -> str:
    steps = pluralize(len(downsampling.layers), "halving step" if downsampling.halves else "step")
    return f"Height×width: {_change_text(downsampling)} in {steps}: {layer_names(downsampling.layers, 12)}"


def _change_text(downsampling: Downsampling) -> str:
    ratios = zip(downsampling.before, downsampling.after, strict=True)
    height, width = (number_text(round(before / after, 3)) for before, after in ratios)
    ratio = f"÷{height}" if height == width else f"height ÷{height}, width ÷{width}"
    return f"{size_text(downsampling.before)}→{size_text(downsampling.after)} ({ratio})"


def _pointwise_line(facts: PointwiseStats) -> str:
    """Format `1×1 convolutions: 7 of 9 reduce channels, 2 do not (L6, L17)`."""
    reducing, rest = len(facts.reducing), facts.not_reducing
    line = f"1×1 convolutions: {reducing} of {facts.total} {verb(reducing, 'reduces')} channels"
    if facts.expanding and facts.keeping:
        line += f", {len(rest)} do not: {len(facts.keeping)} kept ({layer_names(facts.keeping, 6)}), "
        line += f"{len(facts.expanding)} expanded ({layer_names(facts.expanding, 6)})"
    elif facts.expanding:
        line += f", {len(rest)} {verb(len(rest), 'expands')} them ({layer_names(rest)})"
    elif rest:
        line += f", {len(rest)} {verb(len(rest), 'does', 'do')} not ({layer_names(rest)})"
    heads = verb(len(facts.projecting), "projects to the head", "project to the heads")
    return f"{line}; {len(facts.projecting)} more {heads}" if facts.projecting else line


def _bottleneck_line(savings: BottleneckStats) -> str:
    """Describe one form of bottleneck: how many blocks save, how much, and how many do not."""
    saving, costing = len(savings.saving), len(savings.costing)
    saved_flops, direct_flops = (
        (f" and {flops_text(savings.macs)}", f", {flops_text(savings.direct_macs)}") if savings.macs > 0 else ("", "")
    )
    direct = f"direct k×k ({number_text(savings.direct_weights)} weights{direct_flops})"
    saved = f"{saving} {verb(saving, 'saves')} {number_text(savings.weights)} weights{saved_flops} over {direct}"
    parts = ([saved] if saving else []) + ([f"{costing} {verb(costing, 'saves')} nothing"] if costing else [])
    return f"{FORM_TITLES[savings.form]}: {'; '.join(parts)}"


def prose(network: Network, facts: NetworkSummary) -> Iterator[str]:
    """Yield sentences about the 1×1 convolutions and the cost of blocks that save nothing."""
    pointwise = facts.pointwise
    if pointwise.total:
        yield _reducing_sentence(len(pointwise.reducing), pointwise.total)
    if pointwise.keeping:
        count = len(pointwise.keeping)
        yield f"{_channels_list(network, pointwise.keeping)} {verb(count, 'reduces')} nothing and {mixing_text(count)}."
    if pointwise.expanding:
        count = len(pointwise.expanding)
        yield f"{_channels_list(network, pointwise.expanding)} {verb(count, 'expands')} the channels."
    if pointwise.projecting:
        projects = verb(len(pointwise.projecting), "projects to its head", "project to their heads")
        yield f"{join_names([f'L{i}' for i in pointwise.projecting])} {projects}, which is not a reduction."
    yield from _price_sentences(network.bottlenecks)


def _reducing_sentence(count: int, total: int) -> str:
    if total == 1:
        return f"The only 1×1 convolution {'reduces' if count else 'does not reduce'} the channels."
    return f"{count} of the {total} 1×1 convolutions {verb(count, 'reduces')} the channels."


def _channels_list(network: Network, indices: Iterable[int]) -> str:
    nodes = [network.nodes[i] for i in indices]
    return join_names([f"L{node.index} (1×1, {node.in_shapes[0].c}→{node.out_shape.c})" for node in nodes])


def _price_sentences(blocks: Iterable[Bottleneck]) -> Iterator[str]:
    """Yield the cost of blocks that save nothing, grouped by equal figures."""
    groups: dict[tuple[int, ...], list[Bottleneck]] = {}
    for block in blocks:
        if not block.saves:
            groups.setdefault((block.weights, block.direct_weights, *block.channels, block.size), []).append(block)
    for group in list(groups.values())[:MAX_NAMES]:
        block, suffix = group[0], "" if len(group) == 1 else " each"
        direct = f"{number_text(block.direct_weights)} for {direct_text(block)}"
        _, percent, more = saving_texts(block.saved_weights, block.direct_weights)
        spans = join_names([*map(block_span, group)])
        yield f"{spans}: {number_text(block.weights)} weights{suffix} against {direct}: {percent}{more}."
    if len(groups) > MAX_NAMES:
        yield f"… and {sum(map(len, list(groups.values())[MAX_NAMES:]))} more such blocks."
