"""Pass 9: add the slip in the text that explains an error of a head to the message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from darkparse.diagnostics.source import truncate
from darkparse.errors import CfgError
from darkparse.layers import Layer, LayerError
from darkparse.layers.head import Head
from darkparse.network.passes.binding import bind_section
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.strict_rules import LIST_OPTIONS
from darkparse.syntax import Option, Section, parse
from darkparse.syntax.lookalikes import describe_lookalike, fold_lookalikes

_SPACE_IN_LIST = re.compile(r"(?<=[0-9.])[ \t]+(?=[+-]?[0-9.])")
"""Space between two numbers, which Darknet deletes."""


@dataclass(frozen=True, slots=True)
class _Repair:
    """Correction of a line."""

    option: Option
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{truncate(self.option.span.text)!r} in line {self.option.span.line} {self.reason}"


def blame_slips(draft: Draft) -> None:
    """Replace the remedies in an error of a head if missing commas or foreign characters explain it."""
    index = len(draft.nodes)
    if draft.fault is None or draft.fault.diagnostics[0].code != "head":
        return
    head, source = draft.layers[index], draft.wiring[index].inputs[0]
    sections = [draft.config.sections[i] for i in (index, source) if i >= 0]
    repairs = [repair for section in sections for repair in _find_repairs(section)]
    if not repairs or not isinstance(head, Head) or source < 0:
        return
    given = draft.nodes[source].out_shape
    needed = (
        f"this head requires {head.required_channels} channels = {head.formula}, got {given.c} from the layer before"
    )
    fixed_head = _rebind(draft, index, repairs)
    fixed_source = _rebind(draft, source, repairs)
    if not isinstance(fixed_head, Head) or fixed_source is None:
        return
    try:
        shape = fixed_source.infer_shape(draft.nodes[source].in_shapes, draft.dialect)
        fixed_head.infer_shape((shape,), draft.dialect)
    except LayerError as problem:
        if (fixed_head.required_channels, fixed_source) == (head.required_channels, draft.layers[source]):
            return
        result = f"then {problem}"
    else:
        result = "it fits"
    reasons, texts = "; ".join(map(str, repairs)), " and ".join(repair.text for repair in repairs)
    first, *rest = draft.fault.diagnostics
    draft.fault = CfgError((replace(first, message=f"{reasons}: {needed}; with {texts} {result}"), *rest))


def _find_repairs(section: Section) -> Iterator[_Repair]:
    for option in section.options if section.span.source.is_cfg else ():
        text = option.span.text.partition("#")[0].rstrip()
        folded = fold_lookalikes(text)
        key, equals, value = folded.partition("=")
        spaced = value.strip(" \t\r")
        joined = _SPACE_IN_LIST.sub(",", spaced) if key.strip() in LIST_OPTIONS else spaced
        if not equals or (folded == text and joined == spaced):
            continue
        reasons = [describe_lookalike(text).removeprefix("; ")] if folded != text else []
        if joined != spaced:
            reasons.append(f"has no commas, so Darknet reads {truncate(''.join(value.split()))}")
        yield _Repair(option, f"{key.strip()}={joined}", f"({'; '.join(reasons)})" if folded != text else reasons[0])


def _rebind(draft: Draft, index: int, repairs: list[_Repair]) -> Layer | None:
    """Bind a layer from its section with the corrected lines."""
    section, texts = draft.config.sections[index], {repair.option: repair.text for repair in repairs}
    lines = [texts.get(option, option.span.text) for option in section.options]
    text = "\n".join(("[net]", f"[{section.kind}]", *lines, ""))
    (repaired,) = parse(replace(section.span.source, text=text)).sections
    layer, _ = bind_section(repaired, type(draft.layers[index]), draft.dialect)
    return layer
