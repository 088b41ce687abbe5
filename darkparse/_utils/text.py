"""Plurals and enumerations for messages."""

from __future__ import annotations

from collections.abc import Sequence


def pluralize(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: `1 layer`, `2 layers`; an irregular plural is given."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def join_with_and(names: Sequence[str]) -> str:
    """Join names into one phrase: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
