"""Errors and warnings about a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from darkparse.diagnostics.codes import CODES, DATA_CODES
from darkparse.diagnostics.source import Span

Severity = Literal["error", "warning"]

MAX_PRINTED_DIAGNOSTICS = 100
"""Maximum number of diagnostics to print; the remaining ones are only counted."""


@dataclass(frozen=True, slots=True)
class Note:
    """Additional message of a diagnostic, with an optional location."""

    message: str
    span: Span | None = None

    def __str__(self) -> str:
        return (
            f"note: {self.message}"
            if self.span is None
            else f"{self.span}: note: {self.message}\n{self.span.excerpt()}"
        )


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Error or warning about a cfg or a data set.

    Attributes:
        severity: `"error"` or `"warning"`.
        code: Stable identifier for programs; docs/cfg.md and docs/training.md list all codes.
        message: Explanation for users, in one sentence.
        span: Location in the text.
        notes: Additional messages and locations.
        cause: Key for merging diagnostics of the same code; defaults to the message.
        more: Other locations with the same cause.

    >>> network = darkparse.compile("[net]\\nwidth=8\\nheight=8\\nchannels=3\\n[convolutional]\\nsise=1")
    >>> print(network.diagnostics[0])
    <text>:6:1: warning: [convolutional] has no option 'sise', Darknet ignores it; did you mean size?
        6 | sise=1
          | ^^^^^^
    """

    severity: Severity
    code: str
    message: str
    span: Span | None = None
    notes: tuple[Note, ...] = ()
    cause: str = ""
    more: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES and self.code not in DATA_CODES:
            raise ValueError(f"unknown diagnostic code {self.code!r}; add it to CODES or DATA_CODES")

    @property
    def headline(self) -> str:
        """Message on one line: `file:line:column: error: message`."""
        where = "" if self.span is None else f"{self.span}: "
        times = f"; {len(self.more) + 1:,} times, first in line {self.span.line}" if self.more and self.span else ""
        return f"{where}{self.severity}: {self.message}{times}"

    def __str__(self) -> str:
        parts = [self.headline]
        if self.span is not None:
            parts.append(self.span.excerpt())
        parts += [str(note) for note in self.notes]
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-serializable values; `lines` lists every line with this cause."""
        spans = [span for span in (self.span, *self.more) if span is not None]
        start = {"file": spans[0].source.name, "line": spans[0].line, "column": spans[0].column} if spans else {}
        notes = [
            {"message": n.message, "line": n.span.line if n.span else None}
            | ({"file": n.span.source.name} if n.span and n.span.source != spans[0].source else {})
            for n in self.notes
        ]
        finding = {"severity": self.severity, "code": self.code, "message": self.message, "notes": notes}
        return start | finding | {"lines": [span.line for span in spans]}


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort diagnostics and merge those with the same cause at its first location.

    Sections come in file order. Within a section warnings come before errors, since a warning about a misspelled line
    explains why the section is invalid. References lead to earlier sections, so the cause of an error precedes it.
    """
    first: dict[tuple[str, str, str], Diagnostic] = {}
    more: dict[tuple[str, str, str], list[Span]] = {}
    for diagnostic in sorted(diagnostics, key=_get_rank):
        key = (diagnostic.severity, diagnostic.code, diagnostic.cause or diagnostic.message)
        if first.setdefault(key, diagnostic) is not diagnostic and diagnostic.span is not None:
            more.setdefault(key, []).extend((diagnostic.span, *diagnostic.more))
    return tuple(replace(d, more=(*d.more, *more[key])) if key in more else d for key, d in first.items())


def _get_rank(diagnostic: Diagnostic) -> tuple[int, bool, int]:
    span, is_error = diagnostic.span, diagnostic.severity == "error"
    return (0, is_error, 0) if span is None else (span.source.get_section(span.start), is_error, span.start)


def select_printed(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return at most `MAX_PRINTED_DIAGNOSTICS` diagnostics in their order; warnings are omitted before errors."""
    ranked = sorted(range(len(diagnostics)), key=lambda i: diagnostics[i].severity)
    return [diagnostics[i] for i in sorted(ranked[:MAX_PRINTED_DIAGNOSTICS])]
