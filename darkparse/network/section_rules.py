"""Rules about the text of a section's options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from darkparse.layers import Dialect
from darkparse.syntax import Section


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule with a message about an option, or about the section if `key` is empty."""

    key: str
    holds: Callable[[Section, Dialect], bool]
    message: str | Callable[[Section, Dialect], str]
    dialect: str | None = None
    """Only dialect, with its forks, to which the rule applies; None for all."""


def number(section: Section, key: str, default: float = 0.0) -> float:
    """Return the number of an option; the default if it is missing or not a number."""
    try:
        return float(text(section, key) or default)
    except ValueError:
        return default


def text(section: Section, key: str) -> str:
    """Return the text of an option without a comment; empty if it is missing."""
    option = section.find(key)
    return (option.text or "").partition("#")[0] if option else ""


def count(section: Section, key: str) -> int:
    """Return the number of items in an option's list."""
    return text(section, key).removesuffix(",").count(",") + 1
