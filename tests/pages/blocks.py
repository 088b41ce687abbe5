"""Code blocks of pages, with the output that the page shows for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))
"""Pages that are written by hand; Sphinx makes those in docs/reference from the source."""
PAGES = [page for page in PAGES if not page.startswith("docs/reference/")]

EXECUTED = ("shell", "console", "python")
LANGUAGES = {"bash": "shell", "sh": "shell", "shell": "shell", "{code-cell}": "python"}


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        page: Path of the page from the root of the repository.
        line: First line of the code, counted from 1.
        language: `shell` (also of indented blocks), `console`, `python`, or any other.
        text: The code.
        output: Text block between this block and the next; None if there is none.
    """

    page: str
    line: int
    language: str
    text: str
    output: str | None = None

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}"


def parse(page: str) -> list[Token]:
    """Return the tokens of a page."""
    return MarkdownIt("commonmark").parse((ROOT / page).read_text("utf-8"))


def find_blocks(page: str) -> list[Block]:
    """Return the code blocks of a page in their order, except directives of Sphinx."""
    blocks: list[Block] = []
    for block in _read_blocks(page):
        if block.language == "text" and blocks and blocks[-1].language in EXECUTED and blocks[-1].output is None:
            blocks[-1] = replace(blocks[-1], output=block.text)
        else:
            blocks.append(block)
    return [block for block in blocks if not block.language.startswith("{")]


def _read_blocks(page: str) -> Iterator[Block]:
    for token in parse(page):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            indented = token.type == "code_block"
            language = "shell" if indented else (token.info.split() or [""])[0]
            line = token.map[0] + (1 if indented else 2)
            text = token.content
            if language == "{code-cell}":
                text = re.sub(r"^:.*$", "", text, flags=re.MULTILINE)  # options of the cell
                if re.match(r"\s*[!%]", text):  # commands to the notebook, such as `!darkparse demo` or `%cd …`
                    language, text = "shell", re.sub(r"^[!%]", "", text, flags=re.MULTILINE)
            yield Block(page, line, LANGUAGES.get(language, language), text)


def find_links(path: Path) -> Iterator[str]:
    """Yield the targets of the links and images of a Markdown file."""
    for token in MarkdownIt("commonmark").parse(path.read_text("utf-8")):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])
            elif child.type == "image":
                yield str(child.attrs["src"])
