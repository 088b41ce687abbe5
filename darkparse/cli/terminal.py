"""What commands print: texts of strangers are shown, never obeyed by the terminal."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

CONTROL_CHARACTERS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]"
)
"""C0 but tab and line end, C1, and what turns the direction of writing."""
ASCII_FALLBACKS = dict(zip("×÷▼▲→−–─━│└├•·≠…“”", 'x/v^>----|`|*.!.""', strict=True))
"""Signs of ours in ASCII, a character each, which keeps columns in line."""


def replace_unencodable(problem: UnicodeError) -> tuple[str, int]:
    """What an encoding writes for signs that it has not, and a question mark for all else."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    unknown = problem.object[problem.start : problem.end]
    return "".join(ASCII_FALLBACKS.get(character, "?") for character in unknown), problem.end


codecs.register_error("darkparse.ascii", replace_unencodable)


def replace_control_characters(text: str) -> str:
    """Text for a terminal, with a question mark for every character that it would obey."""
    return CONTROL_CHARACTERS.sub("?", text)


class SafeStream:
    """A stream of text that takes none of these characters; rich, whose colours are sequences too, goes past it."""

    encoding = "utf-8"
    """Click goes past a stream that says ASCII; what the stream below cannot encode it replaces."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        return self.rich_proxied_file.write(replace_control_characters(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Standard output and error that take nothing that a terminal would obey."""
    before = sys.stdout, sys.stderr
    try:
        sys.stdout, sys.stderr = (stream and SafeStream(stream) for stream in before)
        yield
    finally:
        sys.stdout, sys.stderr = before


@cache
def safe_console() -> type[Console]:
    """Rich's console, with every text made fit for the terminal before the colours are added."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def __init__(self, **options: Any) -> None:
            # Names and values are printed as they are: no [markup], and no emoji for `:dog:`.
            super().__init__(**{"markup": False, "highlight": False, "emoji": False} | options)

        @property  # type: ignore[misc]  # it is only read
        def file(self) -> IO[str]:
            # While a bar is shown, a stream of rich's lies over ours: it takes off one of the two.
            file: IO[str] = super().file
            return getattr(file, "rich_proxied_file", file)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                is_safe = segment.control or not CONTROL_CHARACTERS.search(segment.text)
                yield segment if is_safe else Segment(replace_control_characters(segment.text), segment.style)

    return SafeConsole
