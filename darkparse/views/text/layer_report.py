"""The report on one layer: what comes in and goes out, why, what it costs, who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from darkparse.network import Node
from darkparse.views.formatting.cells import channels_cell, input_name, layer_label, spatial_cell
from darkparse.views.formatting.sentences import cost_text, reasons, receptive_field_text, share_text
from darkparse.views.formatting.words import layer_names
from darkparse.views.layer_info import LayerFacts


@dataclass(frozen=True, slots=True)
class LayerReport:
    """Everything about one layer, in texts and exact numbers: a row of the JSON, the data behind a row of the page."""

    index: int
    kind: str
    label: str
    inputs: tuple[tuple[str, str], ...]
    """Name and shape of each tensor that comes in, height × width × channels."""
    output: str
    readers: tuple[int, ...]
    spatial: str
    """As in the diagram's cell."""
    channels: str
    reasoning: tuple[str, ...]
    """Sentences: why the layer reduces or not, and what that costs."""
    parameters: int
    weights: int
    """Multiplying weights: without biases and batch norm."""
    macs: int
    """Multiply-adds for one image."""
    bflops: float
    """As AlexeyAB's Darknet prints it, which counts some additions too."""
    share: str
    """Of all the network's multiply-adds."""
    receptive_field: str
    section: tuple[tuple[int, str], ...]
    """The layer's lines of the cfg, with their numbers."""


def layer_report(facts: LayerFacts) -> LayerReport:
    """The report on a layer."""
    node = facts.node
    return LayerReport(
        index=node.index,
        kind=node.kind,
        label=layer_label(node),
        inputs=tuple((input_name(index, "the input"), str(shape)) for index, shape in facts.inputs),
        output=str(node.out_shape),
        readers=facts.readers,
        spatial=str(spatial_cell(facts, (node.out_shape.h, node.out_shape.w))),
        channels=str(channels_cell(facts)),
        reasoning=tuple(reasons(facts)),
        parameters=node.params,
        weights=node.weights,
        macs=node.macs,
        bflops=node.bflops,
        share=share_text(facts),
        receptive_field=receptive_field_text(facts),
        section=_section_lines(node),
    )


def _section_lines(node: Node) -> tuple[tuple[int, str], ...]:
    section = node.section
    end = section.options[-1].end if section.options else section.span.end
    text = section.span.source.text[section.span.start : end]
    lines = enumerate(text.rstrip("\n").split("\n"), section.span.line)
    return tuple((number, line.rstrip("\r")) for number, line in lines)


def report_lines(facts: LayerFacts, *, section: bool = True) -> Iterator[str]:
    """One layer's facts, a line each."""
    report = layer_report(facts)
    yield from (f"in: {shape} from {name}" for name, shape in report.inputs)
    readers = f"read by {layer_names(report.readers, 20)}" if report.readers else "the network's output"
    yield f"out: {report.output}, {readers}"
    yield f"height×width: {report.spatial}"
    yield f"channels: {report.channels}"
    yield f"cost: {cost_text(facts)}"
    if report.receptive_field:
        yield f"receptive field: {report.receptive_field}"
    if section:
        yield "cfg:"
        yield from (f"{number:>6} | {text}" for number, text in report.section)
