"""The whole story of one layer: what comes in and goes out, why, what it costs, who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from darkparse.layers import Head
from darkparse.network import Bottleneck, Network, Node, Reduction
from darkparse.network.analysis.receptive import receptive_fields
from darkparse.network.analysis.repeats import Repeat, find_repeats
from darkparse.network.analysis.summary import is_pointwise
from darkparse.views import wording
from darkparse.views.numbers import factor, flops, percent, short

MECHANISMS = {
    "stride": "by its stride",
    "pool": "by pooling",
    "global pool": "by taking the mean of all positions",
    "upsampling": "by repeating values",
    "rearrangement": "by moving values, none is lost",
    "crop": "by cutting off the border",
    "full connection": "by connecting every value with every other",
    "transposed convolution": "by a transposed convolution",
}


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one layer, as text."""

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


def stories(network: Network) -> tuple[Story, ...]:
    """The story of every layer."""
    teller = _Teller(network)
    return tuple(teller.story(node) for node in network.nodes)


class _Teller:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.fields = receptive_fields(network)
        self.repeats = find_repeats(network)
        self.blocks: dict[int, list[Bottleneck]] = {}
        for block in network.bottlenecks:
            for index in block.layers:
                self.blocks.setdefault(index, []).append(block)

    def story(self, node: Node) -> Story:
        network, changes = self.network, self.network.reductions[node.index]
        names = ["the input" if i < 0 else f"L{i}" for i in node.inputs]
        home = (node.out_shape.h, node.out_shape.w)
        return Story(
            index=node.index,
            kind=node.kind,
            label=wording.label(node),
            inputs=tuple((name, str(shape)) for name, shape in zip(names, node.in_shapes, strict=True)),
            output=str(node.out_shape),
            readers=network.readers[node.index],
            spatial=wording.spatial_text(node, changes.spatial, home),
            channels=wording.channels_text(network, node),
            reasoning=tuple(self._reasoning(node, changes.spatial, changes.channels)),
            parameters=node.params,
            weights=node.weights,
            macs=node.macs,
            bflops=node.bflops,
            share=percent(node.macs, network.cost.macs) if network.cost.macs else "0%",
            receptive_field=self._field(node.index),
            section=_section_lines(node),
        )

    def _field(self, index: int) -> str:
        field = self.fields[index]
        if field is None:
            return ""
        whole = field == (self.network.net.height, self.network.net.width)
        return f"{field[0]}×{field[1]}{', the whole input' if whole else ''}"

    def _reasoning(self, node: Node, spatial: Reduction | None, channels: Reduction | None) -> Iterable[str]:
        if spatial is None or channels is None:
            yield f"Nothing comes in: {node.out_shape.c} learned values, the same for every picture."
            return
        if isinstance(node.layer, Head):
            yield f"A detection head: it decodes {node.in_shapes[0].c} = {node.layer.formula} and reduces nothing."
            return
        yield _spatial_sentence(node, spatial)
        yield self._channels_sentence(node, channels)
        if node.layer.has_state:
            yield "It keeps a state from call to call: what goes out depends on the calls before."
        if node.shares is not None:
            yield f"It has no weights of its own, it uses those of L{node.shares}."
        yield from (_block_sentence(block) for block in self.blocks.get(node.index, ()))
        yield from (_repeat_sentence(repeat, node.index) for repeat in self.repeats if node.index in repeat.layers)

    def _channels_sentence(self, node: Node, change: Reduction) -> str:
        before, after = change.before[0], change.after[0]
        what = "channels" if node.out_shape.is_map else "values"
        if change.direction == "projected":
            head = self.network.readers[node.index][0]
            formula = self.network.nodes[head].layer.formula  # type: ignore[attr-defined]
            return f"Its {after} channels = {formula} are what the head L{head} decodes: a projection, not a reduction."
        if node.layer.part == "cat" and len(node.inputs) > 1:
            return f"It puts {what} side by side: {wording.channels_text(self.network, node)[2:]}; nothing is computed."
        if node.layer.part == "gate":
            return (
                f"It multiplies the map of L{node.inputs[1]} by L{node.inputs[0]} and keeps its {after} channels: a "
                "gate, no reduction."
            )
        if node.layer.mixing == "alone":
            return (
                f"Every one of the {after} channels is convolved by itself: no channel is reduced, and they are not "
                "mixed."
            )
        if is_pointwise(node) and change.direction == "kept":
            is_plain = node.layer.mixing == "channels"
            does = "reduces nothing, it mixes channels only" if is_plain else "keeps their number and mixes them"
            return f"{before} channels come in and {after} go out: this 1×1 convolution {does}."
        if change.direction == "kept":
            return f"The {what} stay {after:,}."
        if node.layer.appended:
            zeros = wording.zeros(node.layer.appended)
            return f"{before:,} values come in and {after:,} go out, with {zeros} appended."
        kernel = node.layer.kernel
        this = f"this {kernel}×{kernel} convolution" if kernel else "it"
        verb = "reduces" if change.direction == "reduced" else "expands"
        tail = "; values only move, none is lost" if change.keeps_values else ""
        return f"{before:,} {what} come in and {after:,} go out: {this} {verb} them ({factor(change)}){tail}."


def _spatial_sentence(node: Node, change: Reduction) -> str:
    (h, w), (to_h, to_w) = change.before, change.after
    if change.direction == "kept":
        return (
            f"Height × width stay {to_h}×{to_w}."
            if node.out_shape.is_map
            else "It works on vectors: there is no height and width."
        )
    verb = "reduces" if change.direction == "reduced" else "expands"
    how = MECHANISMS.get(change.mechanism, "")
    to = f"{to_h}×{to_w}" if node.out_shape.is_map else "a vector"
    ratio = f" ({factor(change)})" if node.out_shape.is_map and h * to_w == w * to_h else ""
    return f"It {verb} height × width from {h}×{w} to {to}{ratio}{f', {how}' if how else ''}."


def _block_sentence(block: Bottleneck) -> str:
    text = wording.bottleneck_text(block)
    return f"{text[0].upper()}{text[1:]}."


def _repeat_sentence(repeat: Repeat, index: int) -> str:
    copy = (index - repeat.first) // repeat.period + 1
    kind = "a block that repeats with growing input" if repeat.grows else "a repeated block"
    return f"Copy {copy} of {repeat.count} of {kind} (L{repeat.first}–L{repeat.last})."


def _section_lines(node: Node) -> tuple[tuple[int, str], ...]:
    section = node.section
    source = section.span.source
    first = section.span.line
    end = section.options[-1].end if section.options else section.span.end
    text = source.text[section.span.start : end]
    return tuple((first + number, line.rstrip("\r")) for number, line in enumerate(text.rstrip("\n").split("\n")))


def cost_text(story: Story) -> str:
    """`65.5k weights, 66,048 parameters, 411 MFLOPs (1% of the network's FLOPs)`,
    and Darknet's figure where it counts otherwise."""
    parts = [f"{short(story.weights)} weights"] if story.weights else []
    parts += [f"{story.parameters:,} parameters"] if story.parameters else ["no parameters"]
    parts += [f"{flops(story.macs)} ({story.share} of the network's FLOPs)"] if story.macs else ["no multiply-adds"]
    printed = f"{story.bflops:.3f}"
    parts += (
        [f"{printed} BFLOPs as Darknet counts"] if printed != f"{2 * story.macs / 1e9:.3f}" and story.bflops else []
    )
    return ", ".join(parts)
