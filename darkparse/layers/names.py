"""Suggestions for misspelled names and for names from other frameworks."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from darkparse.diagnostics.source import MAX_QUOTE_LENGTH
from darkparse.layers.foreign_names import FOREIGN_ACTIVATIONS, FOREIGN_KINDS, normalize_kind

MIN_SIMILARITY = 0.65
"""Minimum `difflib` ratio for a suggestion; one wrong letter out of three gives 0.67."""


def describe_unknown_kind(name: str, known_names: Iterable[str], activations: Iterable[str] = ()) -> str:
    """Return the end of a message about an unknown section: its equivalent in Darknet or the most similar name."""
    explanation = FOREIGN_KINDS.get(normalize_kind(name))
    if explanation is None and name.lower() in activations:
        explanation = f"use [activation] with activation={name.lower()}"
    if explanation is not None:
        return f": {explanation}"
    suggestion = find_nearest_name(name, known_names)
    return f"; did you mean [{suggestion}]?" if suggestion else ""


def describe_unknown_activation(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown activation: its equivalent in Darknet or the most similar name."""
    stripped = name.partition("#")[0].partition(";")[0]
    explanation = FOREIGN_ACTIVATIONS.get(stripped.lower().replace("_", ""))
    return f"; {explanation}" if explanation else format_suggestion(name, known_names)


def format_suggestion(name: str, known_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name; empty if no known name is similar."""
    suggestion = find_nearest_name(name, known_names)
    return f"; did you mean {suggestion}?" if suggestion else ""


def find_nearest_name(word: str, known_names: Iterable[str]) -> str | None:
    """Return the known name most similar to a word; None if none is similar enough.

    Case, surrounding punctuation and comments are ignored (`linear;`, `leaky # x`).
    """
    if len(word) > MAX_QUOTE_LENGTH:
        return None
    typed = word.lower().partition("#")[0].strip(";:,.'\"()<> ")
    by_lowercase = {name.lower(): name for name in known_names}
    matches = get_close_matches(typed, by_lowercase, n=1, cutoff=MIN_SIMILARITY)
    return by_lowercase[matches[0]] if matches else None
