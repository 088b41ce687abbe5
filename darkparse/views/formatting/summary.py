"""Summary of a network as lines below the title and as prose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from darkparse._utils.text import pluralize
from darkparse.network import Bottleneck, Network
from darkparse.network.analysis.summary import BottleneckStats, Downsampling, NetworkSummary, PointwiseStats
from darkparse.network.node import Cost, Node
from darkparse.views.formatting.bottlenecks import block_span, direct_text, saving_texts
from darkparse.views.formatting.numbers import (
    flops_text,
    number_text,
    operations_text,
    sides_text,
    size_text,
)
from darkparse.views.formatting.words import MAX_NAMES, join_names, layer_names, mixing_text, verb

NOTHING = "No 1×1 convolution; height×width stay the same"
MAX_ANSWER_NAMES = 4
"""Maximum number of layers to name in the answer."""
FORM_TITLES = {
    "pair": ("Bottleneck pairs (1×1 then k×k)", "Pairs (1×1 then k×k)"),
    "triple": ("Bottlenecks (1×1, k×k, 1×1)", "Blocks (1×1, k×k, 1×1)"),
    "inverted": ("Inverted blocks (1×1 to more channels, k×k, 1×1 to fewer)",) * 2,
    "separable": ("Depthwise separable convolutions (depthwise k×k then 1×1)",) * 2,
}
"""Name of each form if the middle of every block is narrower than its input, and the name otherwise."""


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


def answer(facts: NetworkSummary, nodes: Sequence[Node]) -> str:
    """Summarize in one sentence: `7 of 9 1×1 convolutions reduce; L6 and L17 mix channels only`.

    Args:
        facts: Summary of the layers.
        nodes: Layers to summarize.
    """
    pointwise = facts.pointwise
    if not pointwise.total:
        return _answer_without_pointwise(facts, nodes)
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


def _answer_without_pointwise(facts: NetworkSummary, nodes: Sequence[Node]) -> str:
    """Summarize recurrent layers by their states, others by what shrinks maps or by the layers of vectors."""
    recurrent = [node for node in nodes if node.layer.mechanism == "recurrence"]
    if recurrent:
        return _recurrent_answer(recurrent, nodes)
    if facts.downsampling:
        steps = pluralize(len(facts.downsampling.layers), "step")
        return f"Height×width {_change_text(facts.downsampling)} in {steps}; no 1×1 convolution"
    dense = [node for node in nodes if node.layer.role == "dense" and node.weights]
    if dense and not dense[0].out_shape.is_map:
        return f"{_values_text(nodes)} through {pluralize(len(dense), 'fully connected layer')}"
    return NOTHING


def _recurrent_answer(recurrent: Sequence[Node], nodes: Sequence[Node]) -> str:
    kinds = join_names([kind.upper().replace("_", " ") for kind in dict.fromkeys(node.kind for node in recurrent)])
    count = len(recurrent)
    sizes = [*dict.fromkeys(map(_state_text, recurrent))]
    states = f"{verb(count, 'keeps', 'keep')} a state of {join_names(sizes)}{'' if count == 1 else ' each'}"
    return f"{count} {kinds} {verb(count, 'layer', 'layers')} {states}; {_values_text(nodes)} per step"


def _state_text(node: Node) -> str:
    """Return the size of a recurrent layer's state: `hidden` of its module, or the size of its output."""
    hidden = next((spec.kwargs["hidden"] for spec in node.modules if "hidden" in spec.kwargs), 0)
    shape = node.out_shape
    return f"{hidden or shape.c:,} channels" if shape.is_map else f"{hidden or shape.size:,} values"


def _values_text(nodes: Sequence[Node]) -> str:
    """Return the size of the first input and of the last output: `256→256 values`."""
    first, last = nodes[0].in_shape or nodes[0].out_shape, nodes[-1].out_shape
    if first.is_map or last.is_map:
        return f"{first} → {last}"
    return f"{first.size:,}→{last.size:,} values"


def common_activation(nodes: Iterable[Node]) -> str:
    """Return the most frequent activation of layers with weights; empty if there is none."""
    counts = Counter(filter(None, map(activation_of, nodes)))
    return counts.most_common(1)[0][0] if counts else ""


def activation_of(node: Node) -> str:
    """Return the activation of a convolution or fully connected layer; empty for other layers."""
    has_one = node.weights and node.layer.role in ("conv", "dense")
    return str(getattr(node.layer, "activation", "")) if has_one else ""


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
    parts = ([saved] if saving else []) + ([f"{costing} {verb(costing, 'costs')} more"] if costing else [])
    are_narrow = all(block.is_narrow for block in (*savings.saving, *savings.costing))
    return f"{FORM_TITLES[savings.form][not are_narrow]}: {'; '.join(parts)}"


def prose(network: Network, facts: NetworkSummary) -> Iterator[str]:
    """Yield sentences about the 1×1 convolutions and the cost of blocks that cost more than a direct convolution."""
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
    """Yield the cost of blocks that save nothing over a direct convolution, grouped by equal figures."""
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
