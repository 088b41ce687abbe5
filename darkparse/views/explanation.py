"""The diagram's facts in words: for a whole network prose and a table, for one layer its whole story."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from darkparse.network import Bottleneck, Network, compile
from darkparse.network.analysis.summary import Facts, facts_of
from darkparse.syntax import Config, DarkparseError
from darkparse.views.cards import Card, Picture, Row
from darkparse.views.numbers import percent, short, some
from darkparse.views.picture import picture_of
from darkparse.views.story import Story, cost_text, stories
from darkparse.views.table import LEAST_WIDTH, narrowed, wrapped

COLUMNS = ("", "layer", "height×width", "channels", "weights")
Part = tuple[str, str]
"""Text, and what it means: a cell's tone, `heading`, `weighted`, `saves`, `costs`, or nothing."""

GAP = 2
"""Characters between two columns."""

NAMED = 6
"""So many layers or blocks of a kind are named in prose."""


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a network, or one layer of it, reduces. `str()` is plain text."""

    network: Network
    picture: Picture
    prose: tuple[str, ...]
    """Paragraphs."""
    story: Story | None = None
    """Of the layer asked for."""

    def __repr__(self) -> str:
        return f"Explanation({self.network!r})"

    def __str__(self) -> str:
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self.lines())

    def lines(self, width: int | None = None) -> Iterator[tuple[Part, ...]]:
        """The text line by line, each in parts with what they mean, for colours.

        Args:
            width: characters that a line may have; without it no line is broken.
        """
        yield from (((line, ""),) for text in _spaced(self.prose) for line in wrapped(text, width))
        if self.story is not None:
            yield from (((line, ""),) for text in ("", *story_lines(self.story)) for line in wrapped(text, width))
            return
        widths = [max((len(cells[i]) for _, cells in self._rows()), default=0) + GAP for i in range(len(COLUMNS))]
        if width is not None:
            widths = narrowed(widths, width + GAP, [LEAST_WIDTH] * len(widths))
        for card in self.picture.cards:
            yield (("", ""),)
            yield from (((line, "heading"),) for line in wrapped(heading(card), width))
            for row, cells in card_rows(card):
                meanings = ("", "weighted" if row.weights else "", row.spatial.tone, row.channels.tone, "")
                columns = [wrapped(cell, wide - GAP) for cell, wide in zip(cells, widths, strict=True)]
                for texts in zip_longest(*columns, fillvalue=""):
                    yield tuple(
                        (text.ljust(wide), meaning) for text, wide, meaning in zip(texts, widths, meanings, strict=True)
                    )
                for note in row.notes:
                    for line in wrapped(f"{'':{widths[0]}}└ {note.text}", width):
                        yield ((line, "saves" if note.saves else "costs"),)

    def _rows(self) -> Iterator[tuple[Row, tuple[str, ...]]]:
        return (row for card in self.picture.cards for row in card_rows(card))

    def markdown(self) -> str:
        """The same as Markdown."""
        lines = [f"# {_markdown(self.picture.name)}", "", *_spaced(_markdown(text) for text in self.prose)]
        if self.story is not None:
            lines += ["", *(f"- {_markdown(line)}" for line in story_lines(self.story, section=False))]
            section = [text for _, text in self.story.section]
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(section))), default=0))
            lines += ["", f"{fence}ini", *section, fence]
            return "\n".join(lines) + "\n"
        for card in self.picture.cards:
            lines += [
                "",
                f"## {_markdown(heading(card))}",
                "",
                f"| {' | '.join(COLUMNS)} |",
                "|---" * len(COLUMNS) + "|",
            ]
            for row, cells in card_rows(card):
                lines.append(f"| {' | '.join(map(_markdown, cells))} |")
                lines += [f"| | *{_markdown(note.text)}* | | | |" for note in row.notes]
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values; numbers are exact."""
        if self.story is not None:
            return asdict(self.story)
        facts = facts_of(self.network)
        return {
            "name": self.network.name,
            "layers": len(self.network.nodes),
            "parameters": self.network.cost.params,
            "macs": self.network.cost.macs,
            "prose": list(self.prose),
            "descent": asdict(facts.descent) if facts.descent else None,
            "pointwise": asdict(facts.pointwise) | {"total": facts.pointwise.total},
            "bottlenecks": [
                asdict(b) | {"saved_weights": b.saved_weights, "saved_macs": b.saved_macs, "saves": b.saves}
                for b in self.network.bottlenecks
            ],
            "rows": [asdict(story) for story in stories(self.network)],
        }

    def json(self) -> str:
        """`as_dict` as JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1)


def explain(network: str | os.PathLike[str] | Config | Network, layer: int | None = None) -> Explanation:
    """Say which layers reduce what, and what each bottleneck saves; or tell one layer's whole story.

    Args:
        network: what `compile` made, or takes.
        layer: by its number.

    Returns:
        The explanation; as a string it is the text.

    Raises:
        DarkparseError: there is no such layer.
        CfgError: the cfg is wrong.

    >>> print(str(darkparse.explain("yolov3-tiny", layer=13)).splitlines()[0])
    L13 of yolov3-tiny: conv 1×1, 256
    """
    network = compile(network)
    picture = picture_of(network)
    if layer is None:
        return Explanation(network, picture, tuple(_paragraphs(network, facts_of(network), picture)))
    if not 0 <= layer < len(network.nodes):
        raise DarkparseError(f"there is no layer {layer}; {network.name} has layers 0 to {len(network.nodes) - 1}")
    story = stories(network)[layer]
    return Explanation(
        network, picture, (f"L{layer} of {network.name}: {story.label}", " ".join(story.reasoning)), story
    )


def heading(card: Card) -> str:
    """`56×56 (1/8): L3–L7, 1.56M weights, 9.81 GFLOPs`."""
    title = " ".join(card.title.split())
    return f"{title}: {', '.join([card.span, *card.cost.split('   ')]).removesuffix(', ')}"


def card_rows(card: Card) -> Iterator[tuple[Row, tuple[str, ...]]]:
    """A card's rows with the texts of their columns; the first row of a repeated block says how often it comes."""
    for block in card.blocks:
        for position, row in enumerate(block.rows):
            label = (
                row.label
                if block.count == 1 or position
                else f"{row.label}  [{len(block.rows)} layers × {block.count}, to L{block.last}]"
            )
            yield row, (row.name, label, row.spatial.text, row.channels.text, row.weights)


def story_lines(story: Story, *, section: bool = True) -> Iterator[str]:
    """One layer's facts, a line each."""
    for name, shape in story.inputs:
        yield f"in: {shape} from {name}"
    yield f"out: {story.output}" + (
        f", read by {some(story.readers, 20)}" if story.readers else ", the network's output"
    )
    yield f"height×width: {story.spatial}"
    yield f"channels: {story.channels}"
    yield f"cost: {cost_text(story)}"
    if story.receptive_field:
        yield f"receptive field: {story.receptive_field}"
    if section:
        yield "cfg:"
        yield from (f"{number:>6} | {text}" for number, text in story.section)


def _paragraphs(network: Network, facts: Facts, picture: Picture) -> Iterator[str]:
    yield f"{network.name}: {', '.join(picture.totals.split('   '))}."
    yield (
        "\n".join(f"• {line}" for line in picture.facts)
        or "No 1×1 convolution, no bottleneck, and no way down to smaller maps."
    )
    sentences = [*_pointwise(network, facts), *_prices(network.bottlenecks)]
    if sentences:
        yield "\n".join(sentences)


def _pointwise(network: Network, facts: Facts) -> Iterator[str]:
    points = facts.pointwise
    if points.total:
        yield _reducing(len(points.reducing), points.total)
    if points.keeping:
        names = [_with_channels(network, i) for i in points.keeping]
        verb = "reduces nothing and mixes" if len(names) == 1 else "reduce nothing and mix"
        yield f"{_listed(names)} {verb} channels only."
    if points.expanding:
        names = [_with_channels(network, i) for i in points.expanding]
        yield f"{_listed(names)} {'expands' if len(names) == 1 else 'expand'} the channels."
    if points.projecting:
        verb = "projects to its head" if len(points.projecting) == 1 else "project to their heads"
        yield f"{_listed([f'L{i}' for i in points.projecting])} {verb}: that is no reduction."


def _reducing(count: int, total: int) -> str:
    if total == 1:
        return f"The one 1×1 convolution {'reduces' if count else 'does not reduce'} the channels."
    return f"{count} of the {total} 1×1 convolutions {'reduces' if count == 1 else 'reduce'} the channels."


def _with_channels(network: Network, index: int) -> str:
    node = network.nodes[index]
    return f"L{index} (1×1, {node.in_shapes[0].c}→{node.out_shape.c})"


def _listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b and 5 more`."""
    if len(names) > NAMED:
        names = [*names[:NAMED], f"{len(names) - NAMED} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _prices(blocks: Iterable[Bottleneck]) -> Iterator[str]:
    """What the blocks that save nothing cost, those with the same figures together."""
    alike: dict[tuple[int, ...], list[Bottleneck]] = {}
    for block in blocks:
        if not block.saves:
            alike.setdefault((block.weights, block.direct_weights, *block.channels, block.size), []).append(block)
    for count, same in enumerate(alike.values()):
        if count == NAMED:
            yield f"… and {sum(len(s) for s in list(alike.values())[count:])} more such blocks."
            return
        block = same[0]
        c, n = block.channels
        names = _listed([f"L{b.first}{'+' if b.last - b.first == 1 else '–'}L{b.last}" for b in same])
        each = "" if len(same) == 1 else " each"
        direct = f"{short(block.direct_weights)} for one direct {block.size}×{block.size} {c}→{n}"
        more = percent(-block.saved_weights, block.direct_weights)
        yield f"{names}: {short(block.weights)} weights{each} against {direct}: {more} more."


def _spaced(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs with an empty line between."""
    for number, text in enumerate(paragraphs):
        if number:
            yield ""
        yield text


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n• ", "\n- ").replace("• ", "- ", 1) if text.startswith("• ") else text.replace("\n", "  \n")
