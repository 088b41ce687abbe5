"""What a notebook shows: a network as its picture, a module as the table of its layers, a layer as a row of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from darkparse.network import Network, Node
from darkparse.views.diagram.diagram import draw
from darkparse.views.diagram.svg import shown
from darkparse.views.formatting.cells import label
from darkparse.views.formatting.numbers import operations
from darkparse.views.text.table import table, totals


def bundle(thing: Any) -> dict[str, str]:
    """A network, a node, or what has a network, by media type."""
    if isinstance(thing, Network):
        return draw(thing)._repr_mimebundle_() | {"text/plain": repr(thing)}
    if isinstance(thing, Node):
        return {"text/html": _node(thing), "text/plain": repr(thing)}
    return {"text/html": _network(thing.network), "text/plain": repr(thing)}


def _network(network: Network) -> str:
    names = ("", "layer", "input", "output", "parameters", "reduces")
    rows = (
        (f"L{row.index}", row.layer, row.input, row.output, f"{row.params:,}" if row.params else "", row.reduction)
        for row in table(network)
    )
    return f"{_table(names, rows)}<p>{shown(f'{network.name}: {totals(network)}')}</p>"


def _node(node: Node) -> str:
    names = ("", "layer", "input", "output", "parameters", "operations")
    inputs = " + ".join(map(str, node.in_shapes)) or "none"
    cost = operations(node.macs) if node.macs else ""
    row = (f"L{node.index}", label(node), inputs, str(node.out_shape), f"{node.params:,}" if node.params else "", cost)
    return _table(names, (row,))


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{shown(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
