"""A network as a table, a row a layer: what Darknet prints when it loads a cfg, and what each layer reduces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from darkparse.network import Network, Node, Reductions
from darkparse.views.numbers import factor, flops
from darkparse.views.wording import kept_by, label

LEAST_WIDTH = 12
"""Of a column that gives way to a narrow terminal."""


@dataclass(frozen=True, slots=True)
class Row:
    """One layer; shapes are height × width × channels."""

    index: int
    layer: str
    input: str
    output: str
    params: int
    bflops: float
    """As AlexeyAB's Darknet prints it."""
    reduction: str
    reduces: bool


def table(network: Network) -> tuple[Row, ...]:
    """The rows of a network's table."""
    return tuple(_row(node, network.reductions[node.index]) for node in network.nodes)


def totals(network: Network) -> str:
    """One line below the table: layers, parameters, size of the weights file, operations."""
    megabytes = 4 * network.stored_floats / 1e6
    stored = f"{network.stored_floats:,} floats, {megabytes:,.1f} MB of weights"
    operations = f"{network.bflops:.3f} BFLOPs"
    if abs(network.bflops - network.cost.flops / 1e9) > 0.005 * network.bflops:
        operations += f" as Darknet counts ({flops(network.cost.macs)} in all)"
    return (
        f"{len(network.nodes)} layers, {network.cost.params:,} parameters ({stored}), {operations} at {_size(network)}"
    )


def _size(network: Network) -> str:
    shape = network.input_shape
    return f"{shape.h}×{shape.w}" if shape.is_map else f"{shape.size} inputs"


def _row(node: Node, reductions: Reductions) -> Row:
    shapes = dict.fromkeys(str(shape) for shape in node.in_shapes)
    return Row(
        index=node.index,
        layer=label(node),
        input=" + ".join(shapes) or "none",
        output=str(node.out_shape),
        params=node.params,
        bflops=node.bflops,
        reduction=describe(node, reductions),
        reduces=reductions.reduces,
    )


def describe(node: Node, reductions: Reductions) -> str:
    """`H×W ÷2, C ×2`: what became smaller and larger; nothing where all was kept, words where that surprises."""
    changes = ", ".join(_changes(reductions))
    if changes:
        return changes
    if node.layer.mixing and reductions.channels is not None:
        return kept_by(node.layer).replace("no reduction", "none")
    return ""


def _changes(reductions: Reductions) -> Iterator[str]:
    spatial, channels = reductions.spatial, reductions.channels
    if spatial is not None and spatial.direction != "kept":
        yield (
            "H×W to vector" if spatial.after == (1, 1) and spatial.direction == "reduced" else f"H×W {factor(spatial)}"
        )
    if channels is None:
        return
    if channels.direction == "projected":
        yield "to the head"
    elif channels.direction != "kept":
        joined = " (joined)" if len(channels.before) > 1 else ""
        yield f"C {factor(channels)}{joined}"


def narrowed(widths: Sequence[int], limit: int, least: Sequence[int]) -> list[int]:
    """Widths of columns that make up at most a limit, if that is possible:
    the widest give way, none to less than its least."""
    found = list(widths)
    while sum(found) > limit:
        wide = [i for i, width in enumerate(found) if width > least[i]]
        if not wide:
            break
        found[max(wide, key=found.__getitem__)] -= 1
    return found


def wrapped(text: str, width: int | None) -> list[str]:
    """Lines of at most so many characters, if that is possible; those after the first stand under its first word."""
    if width is None or len(text) <= width:
        return text.split("\n")
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip(" └•")))
        lines += wrap(line, max(width, LEAST_WIDTH), subsequent_indent=indent, break_on_hyphens=False) or [""]
    return lines
