"""Text version of the diagram: prose and a table for a network, or the report on one layer."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from darkparse.errors import DarkparseError
from darkparse.network import Network, compile
from darkparse.network.freezing import describe_layer_training
from darkparse.syntax import Config
from darkparse.views.diagram.build import build_diagram
from darkparse.views.diagram.elements import Card, DiagramModel, DiagramRow
from darkparse.views.formatting.cells import layer_label
from darkparse.views.formatting.sentences import reasons
from darkparse.views.formatting.summary import prose
from darkparse.views.formatting.words import escape_markdown
from darkparse.views.layer_info import LayerFacts, layer_facts
from darkparse.views.text.layer_report import layer_report, report_lines
from darkparse.views.text.table import MIN_WIDTH, shrink_widths, wrap_text
from darkparse.views.values import explained_layer_values, network_values

COLUMNS = ("", "layer", "height×width", "channels", "weights")
StyledText = tuple[str, str]
"""Text and its style: the tone of a cell, `heading`, `weighted`, `saves`, `costs`, or an empty string."""

COLUMN_GAP = 2
"""Number of characters between two columns."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines of a paragraph or of a list."""

    lines: tuple[str, ...]
    is_list: bool = False

    def __str__(self) -> str:
        return "\n".join(f"• {line}" if self.is_list else line for line in self.lines)

    def markdown(self) -> str:
        sign, end = ("- ", "\n") if self.is_list else ("", "  \n")
        return end.join(f"{sign}{escape_markdown(line)}" for line in self.lines)


@dataclass(frozen=True, repr=False)
class Explanation:
    """Explanation of what a network, or one of its layers, reduces. `str()` returns plain text."""

    network: Network
    layer: LayerFacts | None = None
    """Layer to explain; None for the whole network."""

    @cached_property
    def model(self) -> DiagramModel:
        """Content of the diagram that is explained."""
        return build_diagram(self.network)

    @cached_property
    def prose(self) -> tuple[Paragraph, ...]:
        """Paragraphs above the table, or above the report on one layer."""
        if self.layer is None:
            return tuple(_build_paragraphs(self.network, self.model))
        heading = f"L{self.layer.index} of {self.network.name}: {layer_label(self.layer.node)}"
        training = describe_layer_training(self.network, self.layer.index)
        texts = (heading, " ".join(reasons(self.layer)), training)
        return tuple(Paragraph((text,)) for text in texts if text)

    def __repr__(self) -> str:
        return f"Explanation({self.network!r})"

    def __str__(self) -> str:
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self.lines())

    def lines(self, width: int | None = None) -> Iterator[tuple[StyledText, ...]]:
        """Yield the text line by line, each split into styled parts for color output.

        Args:
            width: Maximum number of characters per line; None disables wrapping.
        """
        yield from (
            ((line, ""),) for text in _separate_paragraphs(map(str, self.prose)) for line in wrap_text(text, width)
        )
        if self.layer is not None:
            yield from (((line, ""),) for text in ("", *report_lines(self.layer)) for line in wrap_text(text, width))
            return
        widths = [
            max((len(cells[i]) for _, cells in self._rows()), default=0) + COLUMN_GAP for i in range(len(COLUMNS))
        ]
        if width is not None:
            widths = shrink_widths(widths, width + COLUMN_GAP, [MIN_WIDTH] * len(widths))
        for card in self.model.cards:
            yield (("", ""),)
            yield from (((line, "heading"),) for line in wrap_text(card_heading(card), width))
            for row, cells in card_rows(card):
                meanings = ("", "weighted" if row.is_bold else "", row.spatial.tone, row.channels.tone, "")
                columns = [
                    wrap_text(cell, column_width - COLUMN_GAP) for cell, column_width in zip(cells, widths, strict=True)
                ]
                for texts in zip_longest(*columns, fillvalue=""):
                    yield tuple(
                        (text.ljust(column_width), meaning)
                        for text, column_width, meaning in zip(texts, widths, meanings, strict=True)
                    )
                for note in row.notes:
                    for line in wrap_text(f"{'':{widths[0]}}└ {note.text}", width):
                        yield ((line, "saves" if note.saves else "costs"),)

    def _rows(self) -> Iterator[tuple[DiagramRow, tuple[str, ...]]]:
        return (row for card in self.model.cards for row in card_rows(card))

    def markdown(self) -> str:
        """Return the explanation as Markdown."""
        lines = [
            f"# {escape_markdown(self.network.name)}",
            "",
            *_separate_paragraphs(paragraph.markdown() for paragraph in self.prose),
        ]
        if self.layer is not None:
            lines += ["", *(f"- {escape_markdown(line)}" for line in report_lines(self.layer, section=False))]
            section = [text for _, text in layer_report(self.layer).section]
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(section))), default=0))
            lines += ["", f"{fence}ini", *section, fence]
            return "\n".join(lines) + "\n"
        for card in self.model.cards:
            lines += [
                "",
                f"## {escape_markdown(card_heading(card))}",
                "",
                f"| {' | '.join(COLUMNS)} |",
                "|---" * len(COLUMNS) + "|",
            ]
            for row, cells in card_rows(card):
                lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
                lines += [f"| | *{escape_markdown(note.text)}* | | | |" for note in row.notes]
        return "\n".join(lines) + "\n"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON-serializable values; numbers are exact and shapes are [c, h, w]."""
        network = network_values(self.network)
        if self.layer is not None:
            training = describe_layer_training(self.network, self.layer.index)
            return {"network": network, "layer": explained_layer_values(self.layer), "training": training or None}
        summary = self.model.summary
        return {
            "network": network,
            "paragraphs": [str(part) for part in self.prose],
            "downsampling": asdict(summary.downsampling) if summary.downsampling else None,
            "pointwise": asdict(summary.pointwise) | {"total": summary.pointwise.total},
            "bottlenecks": [
                asdict(b) | {"saved_weights": b.saved_weights, "saved_macs": b.saved_macs, "saves": b.saves}
                for b in self.network.bottlenecks
            ],
            "layers": [explained_layer_values(facts) for facts in layer_facts(self.network)],
        }

    def json(self) -> str:
        """Return `as_dict()` as JSON text."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1)


def explain(network: str | os.PathLike[str] | Config | Network, layer: int | None = None) -> Explanation:
    """Explain what each layer reduces and what each bottleneck saves, or report on a single layer.

    Args:
        network: Compiled network, or any argument of `compile`.
        layer: Index of the layer to report on; None explains the whole network.

    Returns:
        The explanation; `str()` of it is plain text.

    Raises:
        DarkparseError: The layer does not exist.
        CfgError: The cfg is invalid.

    >>> print(str(darkparse.explain("yolov3-tiny", layer=13)).splitlines()[0])
    L13 of yolov3-tiny: conv 1×1, 256
    """
    network = compile(network)
    if layer is None:
        return Explanation(network)
    if not 0 <= layer < len(network.nodes):
        raise DarkparseError(f"unknown layer {layer}; {network.name} has layers 0 to {len(network.nodes) - 1}")
    return Explanation(network, layer_facts(network)[layer])


def card_heading(card: Card) -> str:
    """Format the heading of a card: `56×56 (1/8): L3–L7, 1.56M weights, 9.81 GFLOPs`."""
    return f"{card.title(' ')}: {', '.join([card.span, *card.cost])}"


def card_rows(card: Card) -> Iterator[tuple[DiagramRow, tuple[str, ...]]]:
    """Yield the rows of a card with their column texts; the first row of a repeated block includes the count."""
    for block in card.blocks:
        for position, row in enumerate(block.rows):
            label = (
                row.label
                if block.count == 1 or position
                else f"{row.label}  [{len(block.rows)} layers {', '.join(block.repeat_texts)}]"
            )
            yield row, (row.name, label, row.spatial.text, row.channels.text, row.price)


def _build_paragraphs(network: Network, model: DiagramModel) -> Iterator[Paragraph]:
    yield Paragraph((f"{network.name}: {', '.join(model.totals)}.",))
    yield Paragraph(model.facts, is_list=True) if model.facts else Paragraph((f"{model.answer}.",))
    if sentences := tuple(prose(network, model.summary)):
        yield Paragraph(sentences)


def _separate_paragraphs(paragraphs: Iterable[str]) -> Iterator[str]:
    """Yield paragraphs with an empty line between them."""
    for number, text in enumerate(paragraphs):
        if number:
            yield ""
        yield text
