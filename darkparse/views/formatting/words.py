"""Plurals, lists and names of layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from darkparse._utils.text import join_with_and

NAMED = 6
"""So many layers or blocks of a kind are named in prose."""
COLUMN_SEPARATOR = "   "
"""Between figures that stand in a line of their own."""


def verb(count: int, one: str, many: str = "") -> str:
    """The verb that goes with a count: `reduces`, `reduce`."""
    return one if count == 1 else many or one.removesuffix("s")


def mixing(count: int = 1) -> str:
    """What a 1×1 convolution does that reduces nothing."""
    return f"{verb(count, 'mixes', 'mix')} channels only"


def some(indices: Sequence[int], limit: int = 8) -> str:
    """`L6, L17`, at most so many names; one more stands rather than a sign that leaves it out."""
    shown = indices if len(indices) <= limit + 1 else indices[:limit]
    return ", ".join(f"L{i}" for i in shown) + (" …" if len(shown) < len(indices) else "")


def listed_some(names: Sequence[str]) -> str:
    """`a and b`, `a, b and 5 more`."""
    return join_with_and(names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"])


def layer_span(first: int, last: int, *, pair: str = "–") -> str:
    """`L3`, `L3–L7`; of two layers with a sign of its own between."""
    if first == last:
        return f"L{first}"
    return f"L{first}{pair if last - first == 1 else '–'}L{last}"


def in_brackets(words: Iterable[str]) -> str:
    """` (a, b)`, nothing for no words."""
    inside = ", ".join(words)
    return f" ({inside})" if inside else ""


def escaped_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
