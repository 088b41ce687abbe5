"""Plurals, lists and layer names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from darkparse._utils.text import join_with_and
from darkparse.diagnostics.source import escape_control

MAX_NAMES = 6
"""Maximum number of layers or blocks of one kind to name in prose."""
COLUMN_SEPARATOR = "   "
"""Separator of figures on one line."""


def verb(count: int, singular: str, plural: str = "") -> str:
    """Return the form of a verb for a count: `reduces`, `reduce`."""
    return singular if count == 1 else plural or singular.removesuffix("s")


def mixing_text(count: int = 1) -> str:
    """Return the predicate of 1×1 convolutions that do not reduce channels."""
    return f"{verb(count, 'mixes', 'mix')} channels only"


def layer_names(indices: Sequence[int], limit: int = 8) -> str:
    """Format layer names: `L6, L17`; longer lists end in `…` after `limit` names, unless that drops only one."""
    selected = indices if len(indices) <= limit + 1 else indices[:limit]
    return ", ".join(f"L{i}" for i in selected) + (" …" if len(selected) < len(indices) else "")


def join_names(names: Sequence[str]) -> str:
    """Join names: `a and b`, `a, b and 5 more`."""
    return join_with_and(names if len(names) <= MAX_NAMES else [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"])


def layer_span(first: int, last: int, *, pair: str = "–") -> str:
    """Format a range of layers: `L3`, `L3–L7`; `pair` separates two consecutive layers."""
    if first == last:
        return f"L{first}"
    return f"L{first}{pair if last - first == 1 else '–'}L{last}"


def parenthesize(texts: Iterable[str]) -> str:
    """Format texts in parentheses: ` (a, b)`, or an empty string without texts."""
    inside = ", ".join(texts)
    return f" ({inside})" if inside else ""


def escape_text(text: str) -> str:
    """Escape text for XML and HTML and replace unprintable characters with question marks."""
    return escape(escape_control(text))


def escape_markdown(text: str) -> str:
    """Escape Markdown markup."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
