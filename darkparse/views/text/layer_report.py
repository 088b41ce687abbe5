"""Report on one layer: inputs, output, reasoning, cost and readers."""

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
    """Texts and exact numbers for one layer, as in the JSON output and the HTML page."""

    index: int
    kind: str
    label: str
    inputs: tuple[tuple[str, str], ...]
    """Name and shape (height × width × channels) of each input."""
    output: str
    readers: tuple[int, ...]
    spatial: str
    """Text of the height × width cell in the diagram."""
    channels: str
    reasoning: tuple[str, ...]
    """Sentences that explain why the layer reduces or not, and at what cost."""
    parameters: int
    weights: int
    """Number of weights, excluding biases and batch norm."""
    macs: int
    """Multiply-adds per image."""
    bflops: float
    """BFLOPs as AlexeyAB's Darknet prints them, which include some additions."""
    share: str
    """Share of the network's multiply-adds, in percent."""
    receptive_field: str
    section: tuple[tuple[int, str], ...]
    """Lines of the layer's cfg section with their line numbers."""


def layer_report(facts: LayerFacts) -> LayerReport:
    """Build the report on a layer."""
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
    text = section.span.source.text[section.span.start : section.end]
    lines = enumerate(text.rstrip("\n").split("\n"), section.span.line)
    return tuple((number, line.rstrip("\r")) for number, line in lines)


def report_lines(facts: LayerFacts, *, section: bool = True) -> Iterator[str]:
    """Yield the report on a layer as text lines.

    Args:
        facts: Properties of the layer.
        section: Include the lines of the cfg.
    """
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
