"""The syntax tree of a cfg: what the text says, with the place of every word, and nothing decided yet."""

from __future__ import annotations

from dataclasses import dataclass

from darkparse.diagnostics.source import Source, Span

NET_NAMES = ("net", "network")
"""What the first section may be called; parser.c is_network."""
_WHITESPACE = str.maketrans("", "", " \t\r\n")


def strip_whitespace(text: str) -> str:
    """Text as Darknet sees it: every space, tab and line end deleted, also inside words (utils.c strip)."""
    return text.translate(_WHITESPACE)


@dataclass(frozen=True, slots=True)
class Option:
    """A line `key = text`; `text` is None where the line has no `=`, and keeps what follows the value."""

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
    return Span(span.source, span.start + len(text) - len(text.lstrip(" \t\r")), span.start + len(text.rstrip(" \t\r")))


@dataclass(frozen=True, slots=True)
class Section:
    """A header line and the options under it, in the order of the file, duplicates included."""

    kind: str
    options: tuple[Option, ...]
    span: Span

    def find(self, key: str) -> Option | None:
        """The option that Darknet uses for a key: the first of that name (option_list.c option_find).

        A line `key=` with nothing behind it is skipped, as Darknet's read_option does; a line without `=`
        is found, and hides any later one.
        """
        return next((option for option in self.options if option.key == key and option.text != ""), None)

    def locate(self, key: str | None) -> Span:
        """Return the place of an option's value; the header where there is no such option."""
        option = self.find(key) if key else None
        return option.value_span if option else self.span


@dataclass(frozen=True, slots=True)
class Config:
    """A whole cfg; `str(config)` is the text that was read, character for character.

    Attributes:
        source: the text, with its name and path.
        tokens: its lines.
        net: the section `[net]`.
        sections: the others, a layer each, in order.

    >>> config = darkparse.read("yolov3-tiny")
    >>> len(config.sections), config.sections[0].kind
    (24, 'convolutional')
    """

    source: Source
    tokens: tuple[str, ...]
    net: Section
    sections: tuple[Section, ...]

    def __str__(self) -> str:
        return "".join(self.tokens)
