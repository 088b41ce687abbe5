"""From a network to its picture: which rows there are, in which cards, and what links them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from darkparse.layers import Head
from darkparse.network import Bottleneck, Network, Node
from darkparse.network.analysis.repeats import Repeat, find_repeats
from darkparse.network.analysis.scales import Run, find_runs
from darkparse.network.analysis.summary import facts_of
from darkparse.network.node import Cost
from darkparse.views import wording
from darkparse.views.cards import Block, Card, Cell, HeadBox, Link, LinkKind, Note, Picture, Row, Tone
from darkparse.views.comparison import Mark
from darkparse.views.numbers import flops, short


def picture_of(
    network: Network,
    *,
    fold: bool = True,
    notes: bool = True,
    layers: range | None = None,
    marks: Mapping[int, Mark] | None = None,
    facts: tuple[str, ...] = (),
) -> Picture:
    """The picture of a network, or of some of its layers.

    Args:
        network: what to draw.
        fold: show a repeated block once.
        notes: say below each bottleneck what it saves.
        layers: draw these only.
        marks: for the layers that another network has not, or has otherwise.
        facts: lines to add to the facts.
    """
    span = layers if layers is not None else range(len(network.nodes))
    builder = _Builder(network, span, find_repeats(network, span) if fold else (), notes, marks or {})
    cards = tuple(card for run in find_runs(network) if (card := builder.card(run)) is not None)
    return Picture(
        name=network.name + (f", layers {span[0]}–{span[-1]}" if layers is not None else ""),
        totals=_totals(network, span),
        facts=(
            *wording.fact_lines(facts_of(network, span)),
            *(facts if layers is None else (f"Of the whole network: {f}" for f in facts)),
        ),
        input_text=f"input {network.input_shape}"
        if network.input_shape.is_map
        else f"input {network.input_shape.size} values",
        cards=cards,
        heads=builder.heads(),
        links=builder.links(cards),
        has_repeats=any(block.count > 1 for card in cards for block in card.blocks),
        layers=len(network.nodes),
    )


def _totals(network: Network, span: range) -> str:
    shape = network.input_shape
    at = f" at {shape.h}×{shape.w}" if shape.is_map else ""
    cost = sum((node.cost for node in network.nodes[span.start : span.stop]), Cost())
    layers = f"{len(span)} layer{'' if len(span) == 1 else 's'}" + (
        f" of {len(network.nodes)}" if len(span) < len(network.nodes) else ""
    )
    return f"{layers}   {short(cost.params)} parameters   {flops(cost.macs)}{at}"


class _Builder:
    def __init__(
        self, network: Network, span: range, repeats: Iterable[Repeat], notes: bool, marks: Mapping[int, Mark]
    ) -> None:
        self.network = network
        self.span = span
        self.marks = marks
        self.repeats = {repeat.first: repeat for repeat in repeats}
        self.stands_for = {i: w for r in self.repeats.values() for w in r.window for i in r.copies(w)}
        """For a layer in a repeat the layer of the first copy whose row shows it."""
        self.boxed = [
            i for i in network.heads if i in span and network.nodes[i].inputs[0] in span and not network.readers[i]
        ]
        """Heads beside the row that they read.
        A head without such a row, or that is read itself, is a row like any layer."""
        self.bottlenecks: dict[int, list[Bottleneck]] = {}
        for block in network.bottlenecks if notes else ():
            if block.first not in span:
                continue
            self.bottlenecks.setdefault(block.last, []).append(block)

    def card(self, run: Run) -> Card | None:
        """The card of one run of layers; None where it has no rows."""
        indices = [i for i in run.layers if i in self.span and i not in self.boxed]
        if not indices:
            return None
        nodes = [self.network.nodes[i] for i in indices]
        weights, macs = sum(node.weights for node in nodes), sum(node.macs for node in nodes)
        cost = [f"{short(weights)} weights"] if weights else []
        cost += [flops(macs)] if macs else []
        span = f"L{indices[0]}" if len(indices) == 1 else f"L{indices[0]}–L{indices[-1]}"
        return Card(run.size, self._title(run), span, "   ".join(cost), tuple(self._blocks(indices, run.size)))

    def _title(self, run: Run) -> str:
        if run.area == 1:
            return "vector"
        size = f"{run.size[0]}×{run.size[1]}"
        stride = self.network.strides[run.layers.start]
        return f"{size}   ({' by '.join(dict.fromkeys(map(_scale, stride)))})" if stride else size

    def _blocks(self, indices: list[int], size: tuple[int, int]) -> Iterable[Block]:
        at = 0
        while at < len(indices):
            repeat = self.repeats.get(indices[at])
            if repeat is None:
                yield Block((self._row(indices[at], size, None),))
                at += 1
                continue
            rows = tuple(self._row(i, size, repeat) for i in repeat.window)
            yield Block(rows, repeat.count, repeat.last, repeat.grows)
            at += len(repeat.layers)

    def _row(self, index: int, size: tuple[int, int], repeat: Repeat | None) -> Row:
        node, changes = self.network.nodes[index], self.network.reductions[index]
        spatial_tone: Tone = changes.spatial.direction if changes.spatial else "kept"
        channel_tone: Tone = changes.channels.direction if changes.channels else "kept"
        keeps = bool(changes.channels and changes.channels.keeps_values and changes.channels.direction != "kept")
        hint = (
            f"L{index}: {', '.join(map(str, dict.fromkeys(node.in_shapes))) or 'no input'} → {node.out_shape} (H×W×C)"
        )
        last = self.network.nodes[repeat.copies(index)[-1]] if repeat is not None and repeat.grows else None
        mark = next((self.marks[i] for i in (repeat.copies(index) if repeat else (index,)) if i in self.marks), None)
        label = wording.label(node, block_input=repeat.first - 1 if repeat is not None else None)
        remarks = [mark.difference] if mark and mark.difference else []
        remarks += self._from_outside(node)
        return Row(
            index=index,
            label=f"{label} ({'; '.join(remarks)})" if remarks else label,
            spatial=Cell(wording.spatial_text(node, changes.spatial, size), spatial_tone, hint),
            channels=Cell(
                self._channels(node, last, repeat), channel_tone, "values kept, moved to channels" if keeps else hint
            ),
            weights=_range(short(node.weights), short(last.weights) if last else "") if node.weights else "",
            hint=hint,
            notes=tuple(self._notes(index, repeat)),
            mark=mark.sign if mark else "",
        )

    def _from_outside(self, node: Node) -> Iterable[str]:
        """The maps that come from layers that are not drawn, for which there is no arrow."""
        reads = zip(node.inputs, node.in_shapes, strict=True)
        return (f"from L{i}, {shape}" for i, shape in reads if i >= 0 and i not in self.span)

    def _channels(self, node: Node, last: Node | None, repeat: Repeat | None) -> str:
        text = wording.channels_text(self.network, node)
        if last is None or repeat is None or last.in_shapes == node.in_shapes:
            return text
        following = self.network.nodes[node.index + repeat.period]
        step = max(b.c - a.c for a, b in zip(node.in_shapes, following.in_shapes, strict=True))
        return f"{_core(text)} … {_core(wording.channels_text(self.network, last))[2:]}, +{step} each"

    def _notes(self, index: int, repeat: Repeat | None) -> Iterable[Note]:
        for block in self.bottlenecks.get(index, ()):
            last = None
            if repeat is not None and repeat.grows:
                last = next(
                    (b for b in self.bottlenecks.get(repeat.copies(index)[-1], ()) if b.form == block.form), None
                )
            first, end = (self.network.nodes[i].out_shape for i in (block.first, block.last))
            elsewhere = f" (L{block.first} at {first.h}×{first.w})" if (first.h, first.w) != (end.h, end.w) else ""
            yield Note(wording.bottleneck_text(block, last) + elsewhere, block.saves)

    def heads(self) -> tuple[HeadBox, ...]:
        """The heads that stand beside the cards."""
        return tuple(self._head(self.network.nodes[i]) for i in self.boxed)

    def _head(self, node: Node) -> HeadBox:
        assert isinstance(node.layer, Head)
        source = self.stands_for.get(node.inputs[0], node.inputs[0])
        return HeadBox(
            node.index, source, (f"L{node.index} {node.summary}", str(node.in_shapes[0]), node.layer.formula)
        )

    def links(self, cards: tuple[Card, ...]) -> tuple[Link, ...]:
        """The tensors that cross between cards, each once for every row that reads it."""
        card_of = {row.index: number for number, card in enumerate(cards) for row in card.rows}
        found: dict[tuple[int, int], Link] = {}
        for node in self.network.nodes:
            target = self.stands_for.get(node.index, node.index)
            for read in node.inputs:
                source = self.stands_for.get(read, read)
                if (
                    target not in card_of
                    or (source not in card_of and read >= 0)
                    or card_of[target] == card_of.get(source)
                ):
                    continue
                shape = self.network.nodes[read].out_shape if read >= 0 else self.network.input_shape
                kind: LinkKind = "chain" if self._follows(read, node.index) else "reused"
                found.setdefault((source, target), Link(source, target, str(shape), kind))
        return tuple(found.values())

    def _follows(self, read: int, index: int) -> bool:
        """Whether a layer reads the one before it, heads aside."""
        return all(self.network.nodes[i].layer.is_head for i in range(read + 1, index))


def _scale(stride: Fraction) -> str:
    """`1/8` of the input's length, or `×2`."""
    return f"{stride.denominator}/{stride.numerator}" if stride >= 1 else f"×{1 / stride}"


def _range(first: str, last: str) -> str:
    return f"{first} … {last}" if last and last != first else first


def _core(text: str) -> str:
    """A channels cell without its factor."""
    return text.split(" (")[0].split(": ")[0]
