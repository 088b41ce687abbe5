"""What darkparse has to say about a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from darkparse.errors import CfgError
from darkparse.syntax.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Note:
    """A second place that belongs to a diagnostic."""

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
    """One finding about a cfg.

    Attributes:
        severity: `"error"` or `"warning"`.
        code: a stable word for programs; docs/cfg.md lists them.
        message: a sentence for people.
        span: the place in the text.
        notes: other places that belong to it.

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

    @property
    def headline(self) -> str:
        """`file:line:column: error: message`, one line."""
        where = "" if self.span is None else f"{self.span}: "
        return f"{where}{self.severity}: {self.message}"

    def __str__(self) -> str:
        parts = [self.headline]
        if self.span is not None:
            parts.append(self.span.excerpt())
        parts += [str(note) for note in self.notes]
        return "\n".join(parts)


def error(code: str, message: str, span: Span | None = None, *notes: Note) -> CfgError:
    """The exception for one error."""
    return CfgError((Diagnostic("error", code, message, span, notes),))
