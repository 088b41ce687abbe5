"""Notebook representations: a diagram for a network, a table of layers for a module, and a table row for a layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from darkparse.network import Network, Node
from darkparse.views.diagram.diagram import draw
from darkparse.views.formatting.cells import layer_label
from darkparse.views.formatting.numbers import operations_text
from darkparse.views.formatting.words import escape_text
from darkparse.views.text.table import table, totals


def mime_bundle(obj: Any) -> dict[str, str]:
    """Return the representations of a network, a node, or an object with a `network`, by media type."""
    if isinstance(obj, Network):
        return draw(obj)._repr_mimebundle_() | {"text/plain": repr(obj)}
    if isinstance(obj, Node):
        return {"text/html": _node_html(obj), "text/plain": repr(obj)}
    return {"text/html": _network_html(obj.network), "text/plain": repr(obj)}


def _network_html(network: Network) -> str:
    names = ("", "layer", "input", "output", "parameters", "reduces")
    rows = (
        (f"L{row.index}", row.layer, row.input, row.output, f"{row.params:,}" if row.params else "", row.reduction)
        for row in table(network)
    )
    return f"{_table_html(names, rows)}<p>{escape_text(f'{network.name}: {totals(network)}')}</p>"


def _node_html(node: Node) -> str:
    names = ("", "layer", "input", "output", "parameters", "operations")
    inputs = " + ".join(map(str, node.in_shapes)) or "none"
    cost = operations_text(node.macs) if node.macs else ""
    row = (
        f"L{node.index}",
        layer_label(node),
        inputs,
        str(node.out_shape),
        f"{node.params:,}" if node.params else "",
        cost,
    )
    return _table_html(names, (row,))


def _table_html(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{escape_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
