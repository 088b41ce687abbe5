"""The facts of a whole network: a line each below the title, and in prose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from darkparse._utils.text import pluralize
from darkparse.network import Bottleneck, Network
from darkparse.network.analysis.summary import BottleneckStats, Downsampling, NetworkSummary, PointwiseStats
from darkparse.network.node import Cost
from darkparse.views.formatting.bottlenecks import block_span, direct_text
from darkparse.views.formatting.numbers import flops, operations, percent, short, sides_text, size_text
from darkparse.views.formatting.words import NAMED, listed_some, mixing, some, verb

NOTHING = "No 1×1 convolution, no bottleneck, and no way down to smaller maps"
MAX_NAMED = 4
"""So many layers are named in the answer."""
FORM_TITLES = {
    "pair": "Bottleneck pairs (1×1 then k×k)",
    "triple": "Bottlenecks (1×1, k×k, 1×1)",
    "inverted": "Inverted bottlenecks (1×1 to more channels, k×k, 1×1 to fewer)",
    "separable": "Depthwise separable convolutions (depthwise k×k then 1×1)",
}


def totals(network: Network, layers: range) -> tuple[str, ...]:
    """`107 layers`, `61.9M parameters`, `141 GFLOPs at 608×608`, of all layers or some."""
    shape, nodes = network.input_shape, network.nodes
    cost = sum((nodes[i].cost for i in layers), Cost())
    of_all = f" of {len(nodes)}" if len(layers) < len(nodes) else ""
    at = f" at {sides_text((shape.h, shape.w))}" if shape.is_map else ""
    return f"{pluralize(len(layers), 'layer')}{of_all}", f"{short(cost.params)} parameters", operations(cost.macs) + at


def answer(facts: NetworkSummary) -> str:
    """The answer in one sentence: `7 of 9 1×1 convolutions reduce; L6 and L17 mix channels only`."""
    points = facts.pointwise
    if not points.total:
        return f"No 1×1 convolution; height×width {_change(facts.downsampling)}" if facts.downsampling else NOTHING
    reducing = len(points.reducing)
    if reducing == points.total:
        all_of_them = {1: "The one", 2: "Both"}.get(reducing, f"All {reducing}")
        return f"{all_of_them} 1×1 {verb(reducing, 'convolution reduces', 'convolutions reduce')}"
    rest = [f"{_few(points.keeping)} {mixing(len(points.keeping))}"] if points.keeping else []
    rest += [f"{_few(points.expanding)} {verb(len(points.expanding), 'expands')}"] if points.expanding else []
    return f"{reducing} of {points.total} 1×1 convolutions {verb(reducing, 'reduces')}; {', '.join(rest)}"


def _few(indices: Sequence[int]) -> str:
    return listed_some([f"L{i}" for i in indices]) if len(indices) <= MAX_NAMED else str(len(indices))


def fact_lines(facts: NetworkSummary) -> tuple[str, ...]:
    """The three answers, a line each; those that do not apply are left out."""
    lines = [_descent(facts.downsampling)] if facts.downsampling else []
    lines += [_pointwise(facts.pointwise)] if facts.pointwise.total else []
    return (*lines, *map(_savings, facts.bottlenecks))


def _descent(descent: Downsampling) -> str:
    steps = pluralize(len(descent.layers), "halving step" if descent.halves else "step")
    return f"Height×width: {_change(descent)} in {steps}: {some(descent.layers, 12)}"


def _change(descent: Downsampling) -> str:
    ratios = zip(descent.before, descent.after, strict=True)
    height, width = (short(round(before / after, 3)) for before, after in ratios)
    by = f"÷{height}" if height == width else f"height ÷{height}, width ÷{width}"
    return f"{size_text(descent.before)}→{size_text(descent.after)} ({by})"


def _pointwise(facts: PointwiseStats) -> str:
    """`1×1 convolutions: 7 of 9 reduce channels, 2 do not (L6, L17)`."""
    reducing, rest = len(facts.reducing), facts.not_reducing
    line = f"1×1 convolutions: {reducing} of {facts.total} {verb(reducing, 'reduces')} channels"
    if facts.expanding and facts.keeping:
        line += f", {len(rest)} do not: {len(facts.keeping)} kept ({some(facts.keeping, 6)}), "
        line += f"{len(facts.expanding)} expanded ({some(facts.expanding, 6)})"
    elif facts.expanding:
        line += f", {len(rest)} {verb(len(rest), 'expands')} them ({some(rest)})"
    elif rest:
        line += f", {len(rest)} {verb(len(rest), 'does', 'do')} not ({some(rest)})"
    heads = verb(len(facts.projecting), "projects to the head", "project to the heads")
    return f"{line}; {len(facts.projecting)} more {heads}" if facts.projecting else line


def _savings(savings: BottleneckStats) -> str:
    """`Bottleneck pairs (1×1 then k×k): 7 save 12.7M weights and 10.6 GFLOPs over direct k×k; 2 save nothing`."""
    saving, costing = len(savings.saving), len(savings.costing)
    saved_flops, direct_flops = (
        (f" and {flops(savings.macs)}", f", {flops(savings.direct_macs)}") if savings.macs > 0 else ("", "")
    )
    direct = f"direct k×k ({short(savings.direct_weights)} weights{direct_flops})"
    saved = f"{saving} {verb(saving, 'saves')} {short(savings.weights)} weights{saved_flops} over {direct}"
    parts = ([saved] if saving else []) + ([f"{costing} {verb(costing, 'saves')} nothing"] if costing else [])
    return f"{FORM_TITLES[savings.form]}: {'; '.join(parts)}"


def prose(network: Network, facts: NetworkSummary) -> Iterator[str]:
    """Sentences: which 1×1 convolutions do what, and what the blocks cost that save nothing."""
    points = facts.pointwise
    if points.total:
        yield _reducing(len(points.reducing), points.total)
    if points.keeping:
        count = len(points.keeping)
        yield f"{_with_channels(network, points.keeping)} {verb(count, 'reduces')} nothing and {mixing(count)}."
    if points.expanding:
        yield f"{_with_channels(network, points.expanding)} {verb(len(points.expanding), 'expands')} the channels."
    if points.projecting:
        does = verb(len(points.projecting), "projects to its head", "project to their heads")
        yield f"{listed_some([f'L{i}' for i in points.projecting])} {does}: that is no reduction."
    yield from _prices(network.bottlenecks)


def _reducing(count: int, total: int) -> str:
    if total == 1:
        return f"The one 1×1 convolution {'reduces' if count else 'does not reduce'} the channels."
    return f"{count} of the {total} 1×1 convolutions {verb(count, 'reduces')} the channels."


def _with_channels(network: Network, indices: Iterable[int]) -> str:
    nodes = [network.nodes[i] for i in indices]
    return listed_some([f"L{node.index} (1×1, {node.in_shapes[0].c}→{node.out_shape.c})" for node in nodes])


def _prices(blocks: Iterable[Bottleneck]) -> Iterator[str]:
    """What the blocks that save nothing cost, those with the same figures together."""
    alike: dict[tuple[int, ...], list[Bottleneck]] = {}
    for block in blocks:
        if not block.saves:
            alike.setdefault((block.weights, block.direct_weights, *block.channels, block.size), []).append(block)
    for same in list(alike.values())[:NAMED]:
        block, each = same[0], "" if len(same) == 1 else " each"
        direct = f"{short(block.direct_weights)} for {direct_text(block)}"
        more = percent(-block.saved_weights, block.direct_weights)
        spans = listed_some([*map(block_span, same)])
        yield f"{spans}: {short(block.weights)} weights{each} against {direct}: {more} more."
    if len(alike) > NAMED:
        yield f"… and {sum(map(len, list(alike.values())[NAMED:]))} more such blocks."
