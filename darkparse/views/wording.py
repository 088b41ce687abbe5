"""The words for a layer, for what it does to height × width and channels, and for what a bottleneck saves."""

from __future__ import annotations

from itertools import groupby

from darkparse.layers import Head, Layer, Shape
from darkparse.network import Bottleneck, Network, Node, Reduction
from darkparse.network.analysis.summary import Descent, Facts, Pointwise, Savings
from darkparse.views.numbers import factor, flops, percent, short, some

SIGNS = {"reduced": "▼", "kept": "=", "expanded": "▲", "projected": "→"}
LONG = 10_000
"""A count that nobody reads without its thousands set off."""


def label(node: Node, *, block_input: int | None = None) -> str:
    """What a layer does and what it reads: `conv 3×3 /2, 64`, `add + L37`; `block_input` is called by that name."""
    if node.shares is not None:
        return f"{node.summary} (weights of L{node.shares})"
    if node.inputs in ((node.index - 1,), ()):
        return node.summary
    names = ["block input" if i == block_input else "input" if i < 0 else f"L{i}" for i in node.inputs]
    if node.layer.part == "cat":
        return f"{node.summary}{' from' if len(names) == 1 else ''} {' + '.join(names)}"
    if node.layer.part == "gate":
        return f"{node.summary}: {names[1]} × {names[0]}"
    return f"{node.summary} {' '.join(f'+ {name}' for name in names[1:])}"


def spatial_text(node: Node, change: Reduction | None, home: tuple[int, int]) -> str:
    """The height × width cell; `home` is the size of the card that the layer stands in."""
    if change is None:
        return "• no input"
    text = f"{SIGNS[change.direction]} {_spatial(node, change)}"
    return (
        text
        if change.after == home or change.direction != "kept"
        else f"{text} ({'gate' if change.after == (1, 1) else 'side'} path)"
    )


def _spatial(node: Node, change: Reduction) -> str:
    after = "vector" if not node.out_shape.is_map else "1×1" if change.after == (1, 1) else size_text(change.after)
    if change.direction == "kept":
        return after
    if change.after == (1, 1):
        return f"{change.before[0]}×{change.before[1]}→{after}"
    square = change.before[0] == change.before[1] and change.after[0] == change.after[1]
    before = str(change.before[0]) if square else f"{change.before[0]}×{change.before[1]}"
    after = str(change.after[0]) if square else f"{change.after[0]}×{change.after[1]}"
    return f"{before}→{after} ({factor(change)})"


def size_text(size: tuple[int, ...]) -> str:
    """`56` for a square, else height × width."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}×{size[1]}"


def channels_text(network: Network, node: Node) -> str:
    """The channels cell."""
    change = network.reductions[node.index].channels
    if change is None:
        return f"• {node.out_shape.c:,} learned"
    return f"{SIGNS[change.direction]} {_channels(network, node, change)}"


def _channels(network: Network, node: Node, change: Reduction) -> str:
    if change.direction == "projected":
        head = network.nodes[network.readers[node.index][0]].layer
        assert isinstance(head, Head)
        return f"{change.after[0]} = {head.formula}"
    if len(node.inputs) > 1 and node.layer.part == "cat":
        return _joined(node)
    before, after = _counts(network, node, change)
    if isinstance(node.layer, Head):
        return f"{after}: {node.layer.formula}"
    if node.layer.appended:
        return f"{before}→{after} ({zeros(node.layer.appended)} appended)"
    if change.direction != "kept":
        part = f", part {node.layer.chunk[0] + 1} of {node.layer.chunk[1]}" if node.layer.chunk else ""
        return f"{before}→{after} ({factor(change)}{part})"
    if node.layer.mixing:
        return f"{before}→{after}: {kept_by(node.layer)}"
    if node.layer.part == "add":
        return after + _added_part(node)
    if node.layer.part == "gate":
        return f"{after} (gated)"
    return f"{before}→{after}: no reduction" if node.weights and node.out_shape.size > 1 else after


def _counts(network: Network, node: Node, change: Reduction) -> tuple[str, str]:
    """Channel counts, with thousands set off where there are ten thousand or more, and in vectors beside such."""
    before, after = change.before[0], change.after[0]
    beside = () if node.out_shape.is_map else (_values(n) for n in network.nodes if not n.out_shape.is_map)
    form = "," if max(before, after, *beside) >= LONG else "d"
    return format(before, form), format(after, form)


def zeros(count: int) -> str:
    """What `extra` appends to a vector."""
    return f"{count:,} {'zero' if count == 1 else 'zeros'}"


def _values(node: Node) -> int:
    """The larger of the counts on both sides of a layer that gives a vector."""
    return max(node.out_shape.size, *(shape.size for shape in node.in_shapes), 0)


def kept_by(layer: Layer) -> str:
    """What a convolution does that keeps the number of channels."""
    does = {"alone": ", each channel alone", "channels": ", mixes channels only"}
    return f"no reduction{does.get(layer.mixing, '')}"


def _joined(node: Node) -> str:
    """`256 + 512 = 768 (joined)`: channels, or values where the maps do not fit and only their number is kept."""
    counts = [shape.c if node.out_shape.is_map else shape.size for shape in node.in_shapes]
    runs = [(count, len(list(same))) for count, same in groupby(counts)]
    collapses = len(counts) > 3
    terms = [f"{n} × {c}" if collapses and n > 1 else " + ".join([str(c)] * n) for c, n in runs]
    total = " + ".join(terms)
    _, groups = node.layer.chunk or (0, 1)
    after = node.out_shape.c
    return f"{total} = {after} (joined)" if groups == 1 else f"({total}) ÷ {groups} = {after} (joined parts)"


def _added_part(node: Node) -> str:
    """Darknet adds only as much as fits of a map of another shape (blas.c shortcut_cpu)."""
    parts = [_fitting(x, node.out_shape) for x in node.in_shapes[1:] if x != node.out_shape]
    return f" (added part: {'; '.join(dict.fromkeys(parts))})" if parts else ""


def _fitting(added: Shape, out: Shape) -> str:
    stride, spread = max(1, added.w // out.w), max(1, out.w // added.w)
    return f"first {min(added.c, out.c)}, {f'spread ×{spread}' if spread > 1 else f'stride {stride}'}"


def bottleneck_text(block: Bottleneck, last: Bottleneck | None = None) -> str:
    """What a block of convolutions saves or costs over a direct one; `last` is that of a growing repeat's last copy."""
    c, n = block.channels
    direct = f"one direct {block.size}×{block.size} {c}→{n}: {short(block.direct_weights)}"
    verdict = _verdict(block) if last is None else f"{_verdict(block)} … {_verdict(last).split()[1]} in the last copy"
    also = ", ".join(f"L{i} also feeds L{reader}" for i, reader in block.also_feeds[:2])
    return f"{_block_name(block)}: {short(block.weights)} weights, {direct}, {verdict}{f' ({also})' if also else ''}"


def _block_name(block: Bottleneck) -> str:
    span = f"L{block.first}{'+' if block.last - block.first == 1 else '–'}L{block.last}"
    path = f"{block.channels[0]}→{block.middle}→{block.channels[1]}"
    inside = (
        [f"{block.size}×{block.size} in {block.groups} groups"] if block.groups > 1 and not block.is_depthwise else []
    )
    if block.form == "inverted":
        return f"inverted bottleneck {span} ({', '.join([path, *inside, *_gate(block)])})"
    if block.form == "separable":
        return f"depthwise separable {span}{_in_brackets(_gate(block))}"
    depthwise = ["depthwise"] if block.is_depthwise else []
    return f"{'' if block.saves else 'no '}bottleneck {span}{_in_brackets([*inside, *depthwise, *_gate(block)])}"


def _gate(block: Bottleneck) -> list[str]:
    return ["with its gate"] if block.gated else []


def _in_brackets(words: list[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


def _verdict(block: Bottleneck) -> str:
    """`saves 44%`, of the weights; where the stride makes them differ the operations too."""
    weights, operations = (
        _share(saved, direct)
        for saved, direct in ((block.saved_weights, block.direct_weights), (block.saved_macs, block.direct_macs))
    )
    if weights == operations:
        return f"{weights[0]} {weights[1]}{weights[2]}"
    both = " of the weights," if weights[0] == "saves" else " weights,"
    tail = " of the FLOPs" if operations[0] == "saves" else " FLOPs"
    verb = "" if weights[0] == operations[0] else f"{operations[0]} "
    return f"{weights[0]} {weights[1]}{weights[2]}{both} {verb}{operations[1]}{operations[2]}{tail}"


def _share(saved: int, direct: int) -> tuple[str, str, str]:
    """`saves`, `44%`, or `costs`, `6%`, ` more`."""
    return ("saves", percent(saved, direct), "") if saved >= 0 else ("costs", percent(-saved, direct), " more")


def fact_lines(facts: Facts) -> tuple[str, ...]:
    """The three answers, a line each; those that do not apply are left out."""
    lines = [_descent_line(facts.descent)] if facts.descent else []
    if facts.pointwise.total:
        lines.append(pointwise_line(facts.pointwise))
    return (*lines, *(savings_line(savings) for savings in facts.savings))


def _descent_line(descent: Descent) -> str:
    steps = "halving step" if descent.halves else "step"
    plural = "" if len(descent.layers) == 1 else "s"
    height, width = (
        short(round(before / after, 3)) for before, after in zip(descent.before, descent.after, strict=True)
    )
    by = f"÷{height}" if height == width else f"height ÷{height}, width ÷{width}"
    change = f"{size_text(descent.before)}→{size_text(descent.after)} ({by})"
    return f"Height×width: {change} in {len(descent.layers)} {steps}{plural}: {some(descent.layers, 12)}"


def pointwise_line(facts: Pointwise) -> str:
    """`1×1 convolutions: 7 of 9 reduce channels, 2 do not (L6, L17)`."""
    line = (
        f"1×1 convolutions: {len(facts.reducing)} of {facts.total} "
        f"{'reduces' if len(facts.reducing) == 1 else 'reduce'} channels"
    )
    rest = facts.not_reducing
    if facts.expanding and facts.keeping:
        line += f", {len(rest)} do not: {len(facts.keeping)} kept ({some(facts.keeping, 6)}), "
        line += f"{len(facts.expanding)} expanded ({some(facts.expanding, 6)})"
    elif facts.expanding:
        line += f", {len(rest)} {'expands' if len(rest) == 1 else 'expand'} them ({some(rest)})"
    elif rest:
        line += f", {len(rest)} {'does' if len(rest) == 1 else 'do'} not ({some(rest)})"
    if facts.projecting:
        heads = "projects to the head" if len(facts.projecting) == 1 else "project to the heads"
        line += f"; {len(facts.projecting)} more {heads}"
    return line


FORM_TITLES = {
    "pair": "Bottleneck pairs (1×1 then k×k)",
    "triple": "Bottlenecks (1×1, k×k, 1×1)",
    "inverted": "Inverted bottlenecks (1×1 to more channels, k×k, 1×1 to fewer)",
    "separable": "Depthwise separable convolutions (depthwise k×k then 1×1)",
}


def savings_line(savings: Savings) -> str:
    """`Bottleneck pairs (1×1 then k×k): 7 save 12.7M weights and 10.6 GFLOPs over direct k×k; 2 save nothing`."""
    title, parts = FORM_TITLES[savings.form], []
    if savings.saving:
        verb = "saves" if len(savings.saving) == 1 else "save"
        operations = f" and {flops(savings.macs)}" if savings.macs > 0 else ""
        parts.append(f"{len(savings.saving)} {verb} {short(savings.weights)} weights{operations} over direct k×k")
    if savings.costing:
        verb = "saves" if len(savings.costing) == 1 else "save"
        parts.append(f"{len(savings.costing)} {verb} nothing")
    return f"{title}: {'; '.join(parts)}"
