"""Pass 10: hints at input sizes or strides that fix an error about shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import lcm

from darkparse.diagnostics import Diagnostic, Note
from darkparse.errors import CfgError
from darkparse.layers import Shape
from darkparse.layers.net import Net
from darkparse.network.analysis.receptive import compute_receptive_fields
from darkparse.network.node import Node
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.inference import infer_shapes
from darkparse.network.passes.input_size import resize_net
from darkparse.network.passes.stride_hint import find_stride_hint
from darkparse.network.passes.wiring import wire_layers


def suggest_sizes(draft: Draft) -> None:
    """Add a hint to an error about shapes if another input size or stride fixes it."""
    if draft.fault is None or not draft.net.has_image:
        return
    first, *rest = draft.fault.diagnostics
    hint = _find_hint(draft) if first.code in ("shape", "sizes") else None
    if hint is not None:
        first = replace(first, notes=(Note(hint), *first.notes))
    elif first.code == "sizes":
        first = replace(first, message=first.message + find_stride_hint(_find_inputs(draft, first), draft.nodes))
    draft.fault = CfgError((first, *rest))


def _find_inputs(draft: Draft, error: Diagnostic) -> list[tuple[int, Shape]]:
    """Return the index and shape of each input of the layer with an error."""
    start = error.span.start if error.span else 0
    index = max(i for i, section in enumerate(draft.config.sections) if section.span.start <= start)
    shapes = {-1: draft.net.input_shape} | {node.index: node.out_shape for node in draft.nodes}
    return [(source, shapes[source]) for source in draft.wiring[index].inputs]


def _find_hint(draft: Draft) -> str | None:
    requested, own = draft.net, _infer(draft, draft.cfg_net)
    step, fitting = _find_fitting_sizes(draft, draft.nodes if own.fault else own.nodes)
    if fitting and requested == draft.cfg_net:
        sizes = " or ".join(f"{width}×{height}" for height, width in fitting)
        return f"multiples of {step} fit as input size: {sizes} (width×height)"
    message = f"an input of {requested.height}×{requested.width} does not fit"
    if fitting:
        height, width = fitting[0]
        return f"{message}; multiples of {step} do, such as {height}×{width}"
    if own.fault is None:
        return f"{message}; the cfg's own {draft.cfg_net.height}×{draft.cfg_net.width} does"
    return None


def _infer(draft: Draft, net: Net) -> Draft:
    """Wire and infer the draft with another `[net]`."""
    other = draft.with_net(net)
    wire_layers(other)
    infer_shapes(other)
    return other


def _find_fitting_sizes(draft: Draft, nodes: Sequence[Node]) -> tuple[int, list[tuple[int, int]]]:
    """Find a step whose multiples are valid input sizes, and the nearest valid sizes below and above.

    Args:
        draft: Draft with the error.
        nodes: Layers with shapes; the step grows with their number.
    """
    requested, step = draft.net, 0
    while (next_step := _compute_step(draft, nodes)) > step:
        step = next_step
        below = (max(1, requested.height // step) * step, max(1, requested.width // step) * step)
        above = (-(-requested.height // step) * step, -(-requested.width // step) * step)
        nets = {size: resize_net(draft.cfg_net, size, draft.config.net) for size in (below, above)}
        drafts = {size: _infer(draft, net) for size, net in nets.items()}
        fitting = [size for size, other in drafts.items() if other.fault is None]
        if fitting:
            return step, fitting
        nodes = max((other.nodes for other in drafts.values()), key=len)
    return step, []


def _compute_step(draft: Draft, nodes: Sequence[Node]) -> int:
    """Compute the LCM of all layers' strides in input pixels, including the layer with the error."""
    fields = compute_receptive_fields(tuple(nodes), draft.cfg_net.input_shape)
    jumps = [axis.jump.numerator for field in fields for axis in field if axis.jump]
    index = len(nodes)
    if index < len(draft.wiring) and draft.wiring[index].inputs:
        source, stride = draft.wiring[index].inputs[0], abs(getattr(draft.layers[index], "stride", 1))
        source_jumps = [axis.jump.numerator for axis in fields[source] if axis.jump] if source >= 0 else [1]
        jumps += [jump * stride for jump in source_jumps]
    return lcm(*jumps)
