"""Plurals, lists and names of layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from darkparse._utils.text import join_with_and

MAX_NAMES = 6
"""So many layers or blocks of a kind are named in prose."""
COLUMN_SEPARATOR = "   "
"""Between figures that stand in a line of their own."""


def verb(count: int, singular: str, plural: str = "") -> str:
    """The verb that goes with a count: `reduces`, `reduce`."""
    return singular if count == 1 else plural or singular.removesuffix("s")


def mixing_text(count: int = 1) -> str:
    """What a 1×1 convolution does that reduces nothing."""
    return f"{verb(count, 'mixes', 'mix')} channels only"


def layer_names(indices: Sequence[int], limit: int = 8) -> str:
    """`L6, L17`, at most so many names; one more stands rather than a sign that leaves it out."""
    selected = indices if len(indices) <= limit + 1 else indices[:limit]
    return ", ".join(f"L{i}" for i in selected) + (" …" if len(selected) < len(indices) else "")


def join_names(names: Sequence[str]) -> str:
    """`a and b`, `a, b and 5 more`."""
    return join_with_and(names if len(names) <= MAX_NAMES else [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"])


def layer_span(first: int, last: int, *, pair: str = "–") -> str:
    """`L3`, `L3–L7`; of two layers with a sign of its own between."""
    if first == last:
        return f"L{first}"
    return f"L{first}{pair if last - first == 1 else '–'}L{last}"


def parenthesize(texts: Iterable[str]) -> str:
    """` (a, b)`, nothing for no words."""
    inside = ", ".join(texts)
    return f" ({inside})" if inside else ""


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
