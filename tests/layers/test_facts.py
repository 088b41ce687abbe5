"""What the kinds of layers state about themselves, over all small networks: a golden text for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any

import pytest

from darkparse.layers import REGISTRY, LayerError
from darkparse.layers.base import DerivedDefault
from darkparse.layers.capabilities import LossLayer
from darkparse.layers.head import Head
from darkparse.layers.specs import ModuleSpec
from darkparse.network.node import Node
from darkparse.network.passes.binding import bind_section
from tests.conftest import DATA
from tests.layers.small_networks import SMALL, compile_small, find_distinct_dialects

KINDS = sorted({cls.kind for cls in REGISTRY.values()})


@cache
def _find_nodes() -> dict[str, list[Node]]:
    """Return the nodes of each kind that differ in the set of their options or in the layout of an input."""
    nodes: dict[tuple[object, ...], Node] = {}
    for path in SMALL:
        for dialect in find_distinct_dialects(path):
            for node in compile_small(path, dialect).nodes:
                options = tuple(option.partition("=")[0] for option in _list_options(node.layer))
                layouts = tuple(shape.layout for shape in node.in_shapes)
                nodes.setdefault((dialect, node.kind, options, layouts, node.read_whole), node)
    return {kind: [node for node in nodes.values() if node.kind == kind] for kind in KINDS}


def _format_spec(spec: ModuleSpec) -> str:
    arguments = ", ".join(f"{key}={value}" for key, value in spec.kwargs.items())
    return f"{spec.name} {spec.target}({arguments})".replace(f"{DATA}/", "")


def _list_options(layer: Any) -> Iterator[str]:
    for item in fields(layer):
        value = getattr(layer, item.name)
        if isinstance(item.default, DerivedDefault) or value != item.default:
            yield f"{item.name}={value}".replace(f"{DATA}/", "")


def _list_facts(node: Node) -> Iterator[str]:
    layer, ctx = node.layer, node.context
    shapes = " + ".join(f"{shape} {shape.layout.name}" for shape in node.in_shapes)
    output = f"{node.out_shape} {node.out_shape.layout.name}"
    yield f"{node.dialect.name} {', '.join(_list_options(layer))}: {shapes or 'no input'} > {output}"
    yield (
        f"  {node.summary}; {layer.role}, {layer.mechanism}, needs map {layer.needs_map}, state {layer.has_state}, "
        f"size bound {layer.is_size_bound}, main input {layer.main_input}; "
        f"macs {node.macs}, flops {layer.printed_flops(ctx):g}; "
        f"windows {layer.windows(ctx) if node.inputs and node.out_shape.is_map else None}"
    )
    for tensor in node.tensors:
        yield f"  tensor {tensor}"
    for module in node.modules:
        yield f"  module {_format_spec(module)}"
    for warning in layer.warnings(ctx):
        yield f"  warning {warning}"
    deviations = list(layer.known_deviations(ctx))
    if isinstance(layer, Head):
        yield f"  {layer.formula}, {layer.channels_per_class} per class, keeps {layer.select_channels([0])}"
        for use_class_map in (False, True):
            decoder = layer.decoder(node.dialect, hierarchy=0.4, use_class_map=use_class_map)
            if decoder is not None and (not use_class_map or getattr(layer, "map", None)):
                yield f"  decoder {_format_spec(decoder)}"
                deviations += layer.box_deviations(ctx, decoder) if not use_class_map else ()
    for deviation in deviations:
        modules = " > ".join(map(_format_spec, deviation.modules))
        yield f"  deviation {deviation.description}: {modules or 'none'} of {deviation.inputs or 'all inputs'}"
    if isinstance(layer, LossLayer):
        try:
            options, _ = bind_section(node.section, layer.loss_options, node.dialect)
            loss = layer.loss(ctx, options, node.in_shapes[0])
        except LayerError as problem:
            yield f"  no loss: {problem}"
        else:
            yield f"  loss {loss.target}({', '.join(loss.kwargs)})"


@pytest.mark.parametrize("kind", KINDS)
def test_facts_of_kind_match_golden(kind: str, golden: Callable[[str, str], None]) -> None:
    lines = [line for node in _find_nodes()[kind] for line in _list_facts(node)]
    golden(f"layers/{kind}.txt", "".join(f"{line}\n" for line in lines))
