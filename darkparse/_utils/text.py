"""Plurals and enumerations for messages."""

from __future__ import annotations

from collections.abc import Sequence


def pluralize(count: int, noun: str) -> str:
    """Format a count with its noun: `1 layer`, `2 layers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def join_with_and(names: Sequence[str]) -> str:
    """Join names into one phrase: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
