"""Texts about the savings or costs of bottleneck blocks."""

from __future__ import annotations

from darkparse.network import Bottleneck
from darkparse.views.formatting.numbers import number_text, percent_text
from darkparse.views.formatting.words import layer_span, parenthesize


def block_span(block: Bottleneck) -> str:
    """Format the layers of a block: `L6+L7`, `L6–L8`."""
    return layer_span(block.first, block.last, pair="+")


def direct_text(block: Bottleneck) -> str:
    """Describe the direct convolution that the block is compared with."""
    return f"one direct {block.size}×{block.size} {block.channels[0]}→{block.channels[1]}"


def bottleneck_text(block: Bottleneck, last: Bottleneck | None = None) -> str:
    """Describe what a block saves or costs compared with a direct convolution.

    Args:
        block: Block to describe.
        last: Block in the last copy of a repeat whose channels grow.
    """
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
        return f"inverted block {block_span(block)}{parenthesize([path, *groups, *gate])}"
    if block.form == "separable":
        return f"depthwise separable {block_span(block)}{parenthesize(gate)}"
    depthwise = ["depthwise"] if block.is_depthwise else []
    brackets = parenthesize([*groups, *depthwise, *gate])
    return f"{'bottleneck' if block.is_narrow else 'block'} {block_span(block)}{brackets}"


def _verdict(block: Bottleneck) -> str:
    """Format the saving: `saves 44%`, with separate figures for weights and FLOPs if the two differ."""
    weights = saving_texts(block.saved_weights, block.direct_weights)
    operations = saving_texts(block.saved_macs, block.direct_macs)
    if weights == operations:
        return f"{weights[0]} {weights[1]}{weights[2]}"
    both = " of the weights," if weights[0] == "saves" else " weights,"
    tail = " of the FLOPs" if operations[0] == "saves" else " FLOPs"
    verb = "" if weights[0] == operations[0] else f"{operations[0]} "
    return f"{weights[0]} {weights[1]}{weights[2]}{both} {verb}{operations[1]}{operations[2]}{tail}"


def saving_texts(saved: int, direct: int) -> tuple[str, str, str]:
    """Return verb, percentage and suffix: `saves`, `44%` and an empty suffix, or `costs`, `6%` and ` more`."""
    return (
        ("saves", percent_text(saved, direct), "") if saved >= 0 else ("costs", percent_text(-saved, direct), " more")
    )
