"""Places in a text, and what is reported about them."""

from darkparse.diagnostics.diagnostic import Diagnostic, Note
from darkparse.diagnostics.source import Source, Span

__all__ = ["Diagnostic", "Note", "Source", "Span"]
