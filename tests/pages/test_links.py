"""Links between Markdown files lead to a file and a heading; Sphinx checks the pages of docs as it builds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.conftest import ROOT
from tests.pages.blocks import PAGES, find_links

FILES = sorted({*(path.name for path in ROOT.glob("*.md")), *PAGES})


def find_anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub names them."""
    tokens = MarkdownIt("commonmark").parse(path.read_text("utf-8"))
    headings = [tokens[index + 1] for index, token in enumerate(tokens) if token.type == "heading_open"]
    texts = ["".join(child.content for child in heading.children or ()) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("name", FILES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    page = ROOT / name
    for link in find_links(page):
        if ":" in link or "reference/" in link:  # Sphinx makes what is in docs/reference
            continue
        target, _, anchor = link.partition("#")
        path = page.parent / target if target else page
        assert path.exists(), f"{name}: {link}"
        assert not anchor or anchor in find_anchors(path), f"{name}: {link}"


def test_anchors_of_heading_with_code_and_punctuation_match_github(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# A `cfg`, and more\n\n## Errors: 1×1\n", "utf-8")
    assert find_anchors(tmp_path / "page.md") == {"a-cfg-and-more", "errors-11"}
