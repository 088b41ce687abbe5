"""Source locations and the diagnostics reported for them."""

from darkparse.diagnostics.diagnostic import Diagnostic, Note
from darkparse.diagnostics.source import Source, Span

__all__ = ["Diagnostic", "Note", "Source", "Span"]
