"""Construction of a diagram's content from a network: cards, rows and links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from darkparse.network import Bottleneck, Network, Node, Reduction
from darkparse.network.analysis.repeats import Repeat, compute_rise, find_repeats
from darkparse.network.analysis.scales import ScaleRun, find_scale_runs
from darkparse.network.analysis.summary import summarize_network
from darkparse.views.diagram.elements import (
    Block,
    Card,
    Cell,
    DiagramModel,
    DiagramRow,
    HeadCard,
    Link,
    LinkKind,
    Measure,
    RowNote,
    Tone,
)
from darkparse.views.diagram.marks import Mark
from darkparse.views.formatting.bottlenecks import bottleneck_text
from darkparse.views.formatting.cells import channels_cell, growing_cell, layer_label, price_text, spatial_cell
from darkparse.views.formatting.numbers import flops_text, number_text, ratio_text
from darkparse.views.formatting.summary import activation_of, answer, common_activation, fact_lines, totals
from darkparse.views.formatting.words import layer_span
from darkparse.views.layer_info import layer_facts
from darkparse.views.overlay import Overlay


def build_diagram(
    network: Network,
    *,
    fold: bool = True,
    notes: bool = True,
    layers: range | None = None,
    marks: Mapping[int, Mark] | None = None,
    facts: tuple[str, ...] = (),
    by: Measure = "weights",
    overlay: Overlay | None = None,
    title: bool = True,
) -> DiagramModel:
    """Build the diagram of a network or of some of its layers.

    Args:
        network: Network to draw.
        fold: Show repeated blocks once.
        notes: Print below each bottleneck what it saves.
        layers: Layers to draw; None for all.
        marks: Marks of layers that differ from another network, by index.
        facts: Additional lines below the title.
        by: Quantity whose shares the bars show.
        overlay: Additional column.
        title: Print name, summary and facts above the diagram.
    """
    span = layers if layers is not None else range(len(network.nodes))
    builder = _DiagramBuilder(
        network, span, find_repeats(network, span) if fold else (), notes, marks or {}, by, overlay
    )
    summary = summarize_network(network, span)
    cards = tuple(card for run in find_scale_runs(network) if (card := builder.build_card(run)) is not None)
    return DiagramModel(
        name=network.name + (f", layers {span[0]}–{span[-1]}" if layers is not None else ""),
        answer=answer(summary, network.nodes[span.start : span.stop]),
        totals=(*totals(network, span), *([f"{builder.activation} activation"] if builder.activation else [])),
        summary=summary,
        facts=(
            *fact_lines(summary),
            *([overlay.fact] if overlay else ()),
            *(facts if layers is None else (f"Of the whole network: {f}" for f in facts)),
        ),
        input_text=f"input {network.input_shape}"
        if network.input_shape.is_map
        else f"input {network.input_shape.size} values",
        cards=cards,
        heads=builder.build_heads(),
        links=builder.build_links(cards),
        has_repeats=any(block.count > 1 for card in cards for block in card.blocks),
        layers=len(network.nodes),
        by=by,
        overlay=overlay,
        span=span,
        signs={index: mark.sign for index, mark in (marks or {}).items()},
        has_title=title,
    )


class _DiagramBuilder:
    def __init__(
        self,
        network: Network,
        span: range,
        repeats: Iterable[Repeat],
        notes: bool,
        marks: Mapping[int, Mark],
        by: Measure,
        overlay: Overlay | None,
    ) -> None:
        self.network = network
        self.facts = layer_facts(network)
        self.span = span
        self.marks = marks
        self.by = by
        self.overlay = overlay
        self.activation = common_activation(network.nodes[span.start : span.stop])
        """Activation that rows do not mention, because most layers have it."""
        self.total_price = max(1, sum(map(self._price, network.nodes)))
        self.repeats = {repeat.first: repeat for repeat in repeats}
        self.row_of = {i: w for r in self.repeats.values() for w in r.window for i in r.copies(w)}
        """For each layer of a repeat, the layer of the first copy whose row represents it."""
        self.side_heads = [
            i for i in network.heads if i in span and network.nodes[i].inputs[0] in span and not network.readers[i]
        ]
        """Heads to draw beside the row of their input.

        A head whose input is not drawn, or whose output has readers, is drawn as a row.
        """
        self.bottlenecks: dict[int, list[Bottleneck]] = {}
        for block in network.bottlenecks if notes else ():
            if block.first not in span:
                continue
            self.bottlenecks.setdefault(block.last, []).append(block)

    def build_card(self, run: ScaleRun) -> Card | None:
        """Build the card of one run of layers; return None if it has no rows."""
        indices = [i for i in run.layers if i in self.span and i not in self.side_heads]
        if not indices:
            return None
        nodes = [self.network.nodes[i] for i in indices]
        weights, macs = sum(node.weights for node in nodes), sum(node.macs for node in nodes)
        cost = ([f"{number_text(weights)} weights"] if weights else []) + ([flops_text(macs)] if macs else [])
        layers, blocks = layer_span(indices[0], indices[-1]), tuple(self._build_blocks(indices, run.size))
        return Card(run.size, self._scale_text(run), layers, tuple(cost), self._compute_share(indices), blocks)

    def _price(self, node: Node) -> int:
        return node.weights if self.by == "weights" else node.flops

    def _compute_share(self, indices: Iterable[int]) -> float:
        """Return the share of the network's total price."""
        return sum(self._price(self.network.nodes[i]) for i in indices) / self.total_price

    def _scale_text(self, run: ScaleRun) -> str:
        stride = self.network.strides[run.layers.start]
        return f"({' by '.join(dict.fromkeys(map(ratio_text, stride)))})" if stride and run.area > 1 else ""

    def _build_blocks(self, indices: list[int], size: tuple[int, int]) -> Iterable[Block]:
        position = 0
        while position < len(indices):
            repeat = self.repeats.get(indices[position])
            if repeat is None:
                yield Block((self._build_row(indices[position], size, None),))
                position += 1
                continue
            rows = tuple(self._build_row(i, size, repeat) for i in repeat.window)
            yield Block(rows, repeat.count, repeat.last, repeat.grows)
            position += len(repeat.layers)

    def _build_row(self, index: int, size: tuple[int, int], repeat: Repeat | None) -> DiagramRow:
        facts = self.facts[index]
        node, channels = facts.node, channels_cell(facts)
        shapes = ", ".join(dict.fromkeys(map(str, node.in_shapes))) or "no input"
        hint = channels_hint = f"L{index}: {shapes} → {node.out_shape} (H×W×C)"
        if facts.channels and facts.channels.keeps_values and facts.channels.direction != "kept":
            channels_hint = "values kept, moved to channels"
        last = self.facts[repeat.copies(index)[-1]] if repeat is not None and repeat.grows else facts
        if repeat is not None and last.node.in_shapes != node.in_shapes:
            rises = compute_rise(self.network, index, index + repeat.period) or ()
            channels = growing_cell(facts, last, max(rises[: len(node.inputs)], default=0))
        copies = repeat.copies(index) if repeat else (index,)
        mark = next((self.marks[i] for i in copies if i in self.marks), None)
        details = [mark.difference] if mark and mark.difference else []
        activation = activation_of(node)
        if activation not in ("", self.activation) and not any(activation in detail for detail in details):
            details.append(activation)
        return DiagramRow(
            index=index,
            label=self._label_text(node, repeat, details),
            spatial=Cell(str(spatial_cell(facts, size)), _tone(facts.spatial), hint),
            channels=Cell(str(channels), _tone(facts.channels), channels_hint),
            price=price_text(self._price(node), self._price(last.node)),
            share=self._compute_share(copies),
            hint=hint,
            facts=facts,
            copies=copies,
            notes=tuple(self._build_notes(index, repeat)),
            mark=mark.sign if mark else "",
            overlay=self.overlay.text(copies) if self.overlay else "",
            overlay_share=self.overlay.share(copies) if self.overlay else 0,
        )

    def _label_text(self, node: Node, repeat: Repeat | None, details: list[str]) -> str:
        name = layer_label(node, block_input=repeat.first - 1 if repeat is not None else None)
        details += self._outside_inputs(node)
        return f"{name} ({'; '.join(details)})" if details else name

    def _outside_inputs(self, node: Node) -> Iterable[str]:
        """Return the inputs from layers that are not drawn, which have no arrow."""
        inputs = zip(node.inputs, node.in_shapes, strict=True)
        return (f"from L{i}, {shape}" for i, shape in inputs if i >= 0 and i not in self.span)

    def _build_notes(self, index: int, repeat: Repeat | None) -> Iterable[RowNote]:
        for block in self.bottlenecks.get(index, ()):
            last = None
            if repeat is not None and repeat.grows:
                last = next(
                    (b for b in self.bottlenecks.get(repeat.copies(index)[-1], ()) if b.form == block.form), None
                )
            first, end = (self.network.nodes[i].out_shape for i in (block.first, block.last))
            suffix = f" (L{block.first} at {first.h}×{first.w})" if (first.h, first.w) != (end.h, end.w) else ""
            yield RowNote(bottleneck_text(block, last) + suffix, block.saves)

    def build_heads(self) -> tuple[HeadCard, ...]:
        """Build the heads beside the cards."""
        return tuple(self._build_head(self.network.nodes[i]) for i in self.side_heads)

    def _build_head(self, node: Node) -> HeadCard:
        source, formula = self.row_of.get(node.inputs[0], node.inputs[0]), self.facts[node.index].formula
        return HeadCard(node.index, source, (f"L{node.index} {node.summary}", str(node.in_shapes[0]), formula))

    def build_links(self, cards: tuple[Card, ...]) -> tuple[Link, ...]:
        """Build the links between cards, one per pair of rows."""
        card_of = {row.index: number for number, card in enumerate(cards) for row in card.rows}
        links: dict[tuple[int, int], Link] = {}
        for node in self.network.nodes:
            target = self.row_of.get(node.index, node.index)
            for input_index in node.inputs:
                source = self.row_of.get(input_index, input_index)
                if (
                    target not in card_of
                    or (source not in card_of and input_index >= 0)
                    or card_of[target] == card_of.get(source)
                ):
                    continue
                shape = self.network.nodes[input_index].out_shape if input_index >= 0 else self.network.input_shape
                kind: LinkKind = "chain" if self._is_chained(input_index, node.index) else "reused"
                links.setdefault((source, target), Link(source, target, str(shape), kind))
        return tuple(links.values())

    def _is_chained(self, input_index: int, index: int) -> bool:
        """Return whether a layer reads its predecessor, ignoring heads."""
        return all(self.network.nodes[i].layer.role == "head" for i in range(input_index + 1, index))


def _tone(change: Reduction | None) -> Tone:
    return change.direction if change else "kept"
