"""Syntax tree of a cfg or of its YAML, with the location of every option; it is not interpreted here."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse.diagnostics.source import Source, Span

NET_NAMES = ("net", "network")
"""Names of the first section (parser.c, is_network)."""
_BLANKS = " \t\r\n"
_WHITESPACE = str.maketrans("", "", _BLANKS)


def strip_whitespace(text: str) -> str:
    """Delete every space, tab and line end, including those inside words (utils.c, strip)."""
    return text.translate(_WHITESPACE)


@dataclass(frozen=True, slots=True)
class Option:
    """Line `key = text`. `text` includes any trailing comment and is None if the line has no `=`.

    In YAML, `equals` is the place of the colon, and the value may be on the lines below.
    """

    key: str
    text: str | None
    source: Source
    start: int
    equals: int
    end: int

    @property
    def span(self) -> Span:
        return Span(self.source, self.start, self.end)

    @property
    def key_span(self) -> Span:
        return _strip_span(Span(self.source, self.start, self.equals))

    @property
    def value_span(self) -> Span:
        value = _strip_span(Span(self.source, self.equals + 1, self.end)) if self.text else None
        return value if value is not None else self.span


def _strip_span(span: Span) -> Span:
    text = span.text
    return Span(span.source, span.start + len(text) - len(text.lstrip(_BLANKS)), span.start + len(text.rstrip(_BLANKS)))


@dataclass(frozen=True, slots=True)
class Section:
    """Header line and the options below it in file order, including duplicates."""

    kind: str
    options: tuple[Option, ...]
    span: Span

    @property
    def end(self) -> int:
        """Offset after the last option, or after the header of a section without options."""
        return max((self.span.end, *(option.end for option in self.options)))

    def find(self, key: str) -> Option | None:
        """Return the first option with this key, as Darknet does (option_list.c, option_find).

        A line `key=` without a value is skipped, as in Darknet's read_option. A line without `=` matches and hides
        any later option with the same key.
        """
        return next((option for option in self.options if option.key == key and option.text != ""), None)

    def locate(self, key: str | None) -> Span:
        """Return the location of an option's value, or of the header if the section does not have the option."""
        option = self.find(key) if key else None
        return option.value_span if option else self.span


@dataclass(frozen=True, slots=True)
class Config:
    """Syntax tree of a cfg or of its YAML. `str(config)` returns the original text, character for character.

    Attributes:
        source: Text with its name and path.
        tokens: Lines of the text.
        net: The `[net]` section.
        sections: Remaining sections in order, one per layer.
        dialect: Name of the dialect if the YAML states one.

    >>> config = darkparse.read("yolov3-tiny")
    >>> len(config.sections), config.sections[0].kind
    (24, 'convolutional')
    """

    source: Source
    tokens: tuple[str, ...]
    net: Section
    sections: tuple[Section, ...]
    dialect: Option | None = None

    def __str__(self) -> str:
        return "".join(self.tokens)
