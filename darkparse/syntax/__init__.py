"""Text to a lossless syntax tree."""

from darkparse.syntax.config import Config, Option, Section
from darkparse.syntax.diagnostics import CfgError, DarkparseError, Diagnostic, Note
from darkparse.syntax.reader import locate, parse, read, shipped_cfgs
from darkparse.syntax.source import Source, Span

__all__ = [
    "CfgError",
    "Config",
    "DarkparseError",
    "Diagnostic",
    "Note",
    "Option",
    "Section",
    "Source",
    "Span",
    "locate",
    "parse",
    "read",
    "shipped_cfgs",
]
