"""Source texts and spans that print their location and an excerpt."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """Text of one file, exactly as read, with the file name to print in messages."""

    name: str
    text: str = field(repr=False)
    path: Path | None = None
    folders: tuple[Path, ...] | None = None
    """Directories that may contain, at any depth, the files that the cfg references; None for the default.

    `network/auxiliary_files.py` defines the default.
    """
    encoding: str = "utf-8"
    """Encoding of the file. Darknet supports only UTF-8."""
    is_cfg: bool = True
    """Whether options are quoted from this text; False if they only point to its lines, as those of `lower`."""

    def get_position(self, offset: int) -> tuple[int, int]:
        """Return the 1-based line and column of a character offset; a byte order mark has no column."""
        starts = compute_line_starts(self.text)
        line = bisect_right(starts, offset)
        start = starts[line - 1]
        return line, offset - start + 1 - self.text.startswith("\ufeff", start, offset)

    def get_line(self, offset: int) -> str:
        """Return the line that contains a character offset, without its line end."""
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        return self.text[start : end if end >= 0 else None].rstrip("\r").removeprefix("\ufeff")

    def get_section(self, offset: int) -> int:
        """Return how many sections, in YAML list items, start at or before a character offset."""
        return bisect_right(compute_section_starts(self.text), offset)


@lru_cache(maxsize=4)
def compute_line_starts(text: str) -> list[int]:
    """Return the offset of the first character of each line.

    The result is cached because each diagnostic of a file needs it.
    """
    return list(accumulate((len(line) + 1 for line in text.split("\n")[:-1]), initial=0))


@lru_cache(maxsize=4)
def compute_section_starts(text: str) -> list[int]:
    """Return the offset of the opening bracket of each section header, or of the hyphen of each item in YAML."""
    return [match.end() - 1 for match in _SECTION_START.finditer(text)]


_SECTION_START = re.compile(r"^[ \t\ufeff]*(?:\[|-(?= ))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        return self.source.get_position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.get_position(self.start)[1]

    def __str__(self) -> str:
        line, column = self.source.get_position(self.start)
        return f"{self.source.name}:{line}:{column}"

    def excerpt(self) -> str:
        """Return the source line and a line of carets under the span.

        Each tab becomes one space. Long lines are truncated.
        """
        line, column = self.source.get_position(self.start)
        text = escape_control(self.source.get_line(self.start).replace("\t", " "))
        width = max(1, min(self.end - self.start, len(text) - column + 1))
        if len(text) > MAX_LINE_LENGTH:
            first = max(0, min(column - 1 - MAX_LINE_LENGTH // 4, len(text) - MAX_LINE_LENGTH))
            text = f"{'…' * (first > 0)}{text[first : first + MAX_LINE_LENGTH - 2]}…"
            column, width = column - first + (first > 0), min(width, MAX_LINE_LENGTH // 4)
        gutter = f"{line:>5} | "
        return f"{gutter}{text}\n{' ' * (len(gutter) - 2)}| {' ' * (column - 1)}{'^' * width}"


MAX_LINE_LENGTH = 300
MAX_VALUE_LENGTH = 200
MAX_QUOTE_LENGTH = 60
"""Maximum number of characters to print of a cfg line, of a value in it, and of a quotation from another file."""


def escape_control(text: str) -> str:
    """Replace control characters and undecodable bytes with question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)


def truncate(text: str, max_length: int = MAX_VALUE_LENGTH) -> str:
    """Shorten text to `max_length` characters, with an ellipsis at the end."""
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


def quote_safe(text: str) -> str:
    """Return untrusted text as a short, printable quotation."""
    return repr(truncate(escape_control(text), MAX_QUOTE_LENGTH))
