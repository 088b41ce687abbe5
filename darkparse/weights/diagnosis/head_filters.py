"""Correction of a wrong `filters=` before a head, or of the head's classes, by the weights file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from darkparse.diagnostics import Note
from darkparse.errors import CfgError, DarkparseError
from darkparse.layers import DIALECTS, REGISTRY, Head
from darkparse.network import Network, compile
from darkparse.network.detect_dialect import choose_dialect
from darkparse.network.passes.binding import bind_section
from darkparse.syntax import Config, Option, parse


@dataclass(frozen=True, slots=True)
class LayoutMismatch:
    """Head and the option for the channels of the layer before it, which do not match."""

    head: Head
    channels: Option
    """`filters=`, or `output=` before a v1 head."""
    classes: Option | None

    @property
    def intended_classes(self) -> int | None:
        """Number of classes for which the channels would be correct; None if there is none."""
        added_classes, rest = divmod(
            int(self.channels.text or 0) - self.head.required_channels, self.head.channels_per_class
        )
        classes = self.head.classes + added_classes
        return classes if not rest and classes > 0 else None


def explain_head_filters(
    problem: CfgError, config: Config, name: str, dialect: str | None, fits: Callable[[Network], bool]
) -> CfgError:
    """Add a note to the error for each wrong `filters=` or `classes=`, with the value that fits the weights file.

    Args:
        problem: Error of the compiler.
        config: Parsed cfg.
        name: Name of the weights file.
        dialect: Name of the requested dialect.
        fits: Function that returns whether the file fits a network.
    """
    errors = [d for d in problem.diagnostics if d.severity == "error"]
    dialect_name = choose_dialect(config, dialect).dialect.name
    mismatches = list(_find_mismatches(config, dialect_name)) if errors[0].code == "head" else []
    if not mismatches:
        return problem
    by_filters = {m.channels: str(m.head.required_channels) for m in mismatches}
    by_classes = {m.classes: str(m.intended_classes) for m in mismatches if m.classes and m.intended_classes}
    if _fits(replace_values(config, by_filters), dialect_name, fits):
        edits, reason = by_filters, f"{name} then fits exactly"
    elif len(by_classes) == len(mismatches) and _fits(replace_values(config, by_classes), dialect_name, fits):
        edits, reason = by_classes, f"{name} fits the current filters"
    else:
        edits, reason = by_filters, f"{name} fits neither this nor other classes"
    notes = tuple(Note(f"set {option.key}={value} here: {reason}", option.span) for option, value in edits.items())
    return CfgError(tuple(replace(d, notes=(*d.notes, *notes)) if d is errors[0] else d for d in problem.diagnostics))


def _find_mismatches(config: Config, dialect: str) -> Iterator[LayoutMismatch]:
    for index, section in enumerate(config.sections):
        cls = REGISTRY.get(section.kind)
        if cls is None or not issubclass(cls, Head):
            continue
        head, _ = bind_section(section, cls, DIALECTS[dialect])
        if head is None:
            continue
        before = reversed(config.sections[:index])
        channels = next((option for s in before for key in ("filters", "output") if (option := s.find(key))), None)
        if channels is not None and (channels.text or "").isdigit():
            mismatch = LayoutMismatch(head, channels, section.find("classes"))
            if int(channels.text or 0) != head.required_channels:
                yield mismatch


def replace_values(config: Config, values: dict[Option, str]) -> Config:
    """Replace the values of options in the text of a cfg and parse it again; line numbers do not change."""
    text = config.source.text
    for option, value in sorted(values.items(), key=lambda item: -item[0].start):
        span = option.value_span
        text = text[: span.start] + value + text[span.end :]
    return parse(replace(config.source, text=text))


def _fits(config: Config, dialect: str, fits: Callable[[Network], bool]) -> bool:
    try:
        return fits(compile(config, dialect=dialect))
    except (DarkparseError, ValueError):
        return False
