"""What a block of convolutions saves or costs, in words."""

from __future__ import annotations

from darkparse.network import Bottleneck
from darkparse.views.formatting.numbers import number_text, percent_text
from darkparse.views.formatting.words import layer_span, parenthesize


def block_span(block: Bottleneck) -> str:
    """`L6+L7`, `L6–L8`."""
    return layer_span(block.first, block.last, pair="+")


def direct_text(block: Bottleneck) -> str:
    """The convolution that the block is measured against."""
    return f"one direct {block.size}×{block.size} {block.channels[0]}→{block.channels[1]}"


def bottleneck_text(block: Bottleneck, last: Bottleneck | None = None) -> str:
    """What a block saves or costs over a direct convolution; `last` is that of a growing repeat's last copy."""
    verdict = _verdict(block)
    if last is not None:
        verdict += f" … {saving_texts(last.saved_weights, last.direct_weights)[1]} in the last copy"
    feeds = parenthesize(f"L{i} also feeds L{reader}" for i, reader in block.also_feeds[:2])
    direct = f"{direct_text(block)}: {number_text(block.direct_weights)}"
    return f"{_block_name(block)}: {number_text(block.weights)} weights, {direct}, {verdict}{feeds}"


def _block_name(block: Bottleneck) -> str:
    gate = ["with its gate"] if block.gated else []
    in_groups = block.groups > 1 and not block.is_depthwise
    groups = [f"{block.size}×{block.size} in {block.groups} groups"] if in_groups else []
    if block.form == "inverted":
        path = f"{block.channels[0]}→{block.middle}→{block.channels[1]}"
        return f"inverted bottleneck {block_span(block)}{parenthesize([path, *groups, *gate])}"
    if block.form == "separable":
        return f"depthwise separable {block_span(block)}{parenthesize(gate)}"
    depthwise = ["depthwise"] if block.is_depthwise else []
    brackets = parenthesize([*groups, *depthwise, *gate])
    return f"{'' if block.saves else 'no '}bottleneck {block_span(block)}{brackets}"


def _verdict(block: Bottleneck) -> str:
    """`saves 44%`, of the weights; where the stride makes them differ the operations too."""
    weights = saving_texts(block.saved_weights, block.direct_weights)
    operations = saving_texts(block.saved_macs, block.direct_macs)
    if weights == operations:
        return f"{weights[0]} {weights[1]}{weights[2]}"
    both = " of the weights," if weights[0] == "saves" else " weights,"
    tail = " of the FLOPs" if operations[0] == "saves" else " FLOPs"
    verb = "" if weights[0] == operations[0] else f"{operations[0]} "
    return f"{weights[0]} {weights[1]}{weights[2]}{both} {verb}{operations[1]}{operations[2]}{tail}"


def saving_texts(saved: int, direct: int) -> tuple[str, str, str]:
    """`saves`, `44%`, or `costs`, `6%`, ` more`."""
    return (
        ("saves", percent_text(saved, direct), "") if saved >= 0 else ("costs", percent_text(-saved, direct), " more")
    )
