"""A network and its layers as plain values, for JSON. Shapes are [c, h, w]."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from darkparse.layers import Head, Shape
from darkparse.network import Network, Node
from darkparse.views.formatting.cells import layer_label, reduction_text
from darkparse.views.layer_info import LayerFacts
from darkparse.views.text.layer_report import layer_report


def network_values(network: Network) -> dict[str, Any]:
    """Return the dialect, input, detection heads and totals of a network."""
    return {
        "name": network.name,
        "cfg": network.config.source.name,
        "dialect": network.dialect.name,
        "dialect_reason": network.dialect_reason,
        "input": shape_values(network.input_shape),
        "heads": [_head_values(network, network.nodes[index]) for index in network.heads],
        "totals": {
            "layers": len(network.nodes),
            "parameters": network.cost.params,
            "stored_floats": network.stored_floats,
            "macs": network.cost.macs,
            "bflops": network.bflops,
        },
    }


def layer_values(facts: LayerFacts) -> dict[str, Any]:
    """Return the inputs, output, cost and reductions of one layer."""
    node = facts.node
    return {
        "index": node.index,
        "kind": node.kind,
        "label": layer_label(node),
        "inputs": [{"layer": index, "shape": shape_values(shape)} for index, shape in facts.inputs],
        "output": shape_values(node.out_shape),
        "parameters": node.params,
        "macs": node.macs,
        "bflops": node.bflops,
        "reduction": reduction_text(facts),
        "reduces": facts.network.reductions[node.index].reduces,
    }


def explained_layer_values(facts: LayerFacts) -> dict[str, Any]:
    """Return everything that `darkparse explain --layer` prints about one layer."""
    report = layer_report(facts)
    return layer_values(facts) | {
        "readers": list(report.readers),
        "spatial": report.spatial,
        "channels": report.channels,
        "reasons": list(report.reasoning),
        "weights": report.weights,
        "receptive_field": list(facts.receptive_field) if facts.receptive_field else None,
        "section": [{"line": line, "text": text} for line, text in report.section],
    }


def shape_values(shape: Shape) -> list[int]:
    """Return [c, h, w]; a vector of n values is [n, 1, 1]."""
    return [shape.c, shape.h, shape.w]


def _head_values(network: Network, node: Node) -> dict[str, Any]:
    stride = network.strides[node.index]
    return {
        "layer": node.index,
        "kind": node.kind,
        "classes": node.layer.classes if isinstance(node.layer, Head) else None,
        "output": shape_values(node.out_shape),
        "stride": [_plain_number(side) for side in stride] if stride else None,
    }


def _plain_number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)
