"""Safe terminal output: control characters in untrusted text are replaced."""

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
"""C0 except tab and line feed, C1, and characters that change the text direction."""
ASCII_FALLBACKS = dict(zip("×÷▼▲→−–─━│└├•·≠…“”", 'x/v^>----|`|*.!.""', strict=True))
"""ASCII replacements of symbols, one character each so that columns stay aligned."""


def replace_unencodable(problem: UnicodeError) -> tuple[str, int]:
    """Handle an encoding error: return the ASCII replacement of known symbols, a question mark for others."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    unknown = problem.object[problem.start : problem.end]
    return "".join(ASCII_FALLBACKS.get(character, "?") for character in unknown), problem.end


codecs.register_error("darkparse.ascii", replace_unencodable)


def replace_control_characters(text: str) -> str:
    """Replace every control character in a text by a question mark."""
    return CONTROL_CHARACTERS.sub("?", text)


class SafeStream:
    """A text stream that replaces control characters; rich bypasses it, because colors are control sequences."""

    encoding = "utf-8"
    """Click bypasses streams in ASCII. The wrapped stream replaces characters that it cannot encode."""

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
    """Replace control characters in standard output and standard error."""
    before = sys.stdout, sys.stderr
    try:
        sys.stdout, sys.stderr = (stream and SafeStream(stream) for stream in before)
        yield
    finally:
        sys.stdout, sys.stderr = before


@cache
def safe_console() -> type[Console]:
    """Return a rich console class that replaces control characters before colors are added."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def __init__(self, **options: Any) -> None:
            # Names and values are printed verbatim, without [markup] or emoji for `:dog:`.
            super().__init__(**{"markup": False, "highlight": False, "emoji": False} | options)

        @property  # type: ignore[misc]  # it is only read
        def file(self) -> IO[str]:
            # While a bar is shown, rich wraps our stream with its own, so unwrap one more level.
            file: IO[str] = super().file
            return getattr(file, "rich_proxied_file", file)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                is_safe = segment.control or not CONTROL_CHARACTERS.search(segment.text)
                yield segment if is_safe else Segment(replace_control_characters(segment.text), segment.style)

    return SafeConsole
