"""Rules about the text of a section's options, whatever class reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from darkparse.layers import Dialect
from darkparse.syntax import Section


@dataclass(frozen=True, slots=True)
class Rule:
    """A message about an option, or about the section where `key` is empty, for sections on which it holds."""

    key: str
    holds: Callable[[Section, Dialect], bool]
    message: str | Callable[[Section, Dialect], str]
    dialect: str | None = None
    """The only dialect, with those made from it, for which it is true."""


def number(section: Section, key: str, default: float = 0.0) -> float:
    """Return the number of an option, the default where there is none."""
    try:
        return float(text(section, key) or default)
    except ValueError:
        return default


def text(section: Section, key: str) -> str:
    """Return the text of an option before a comment, without spaces; empty where there is none."""
    option = section.find(key)
    return (option.text or "").partition("#")[0] if option else ""


def count(section: Section, key: str) -> int:
    """Return how many numbers an option lists."""
    return text(section, key).removesuffix(",").count(",") + 1
