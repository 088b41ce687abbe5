"""The picture in Mermaid's language: every card a node, every link an arrow, below GitHub's limit;
and Mermaid draws it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import darkparse
from darkparse.views.diagram.mermaid import MAX_CHARACTERS
from tests.views.browser import needs_chromium, script
from tests.views.networks import CFGS, compile_once

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("path", CFGS)
def test_mermaid_has_every_card_and_link(path: Path) -> None:
    diagram = darkparse.draw(compile_once(path))
    (picture,) = diagram.models
    text = diagram.data("mmd").decode()
    assert len(text) <= MAX_CHARACTERS
    has_input = any(link.source < 0 for link in picture.links)
    assert len(re.findall(r'^ +\w+\["', text, re.MULTILINE)) == len(picture.cards) + len(picture.heads) + has_input
    assert len(re.findall(r"^ +\w+ (?:-->|-\.->|==>)", text, re.MULTILINE)) == len(picture.links) + len(picture.heads)


def test_mermaid_shows_reductions_and_costs() -> None:
    text = darkparse.draw("yolov1").data("mmd").decode()
    assert "L6 conv 1×1, 256 = 256→256: no reduction, mixes channels only 65.5k weights" in text
    assert "<b>56×56 (1/8)</b><br>L3–L7, 1.56M weights, 9.81 GFLOPs" in text


def test_mermaid_beyond_limit_keeps_changing_layers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from darkparse.views.diagram import mermaid

    whole = darkparse.draw("yolov3").data("mmd").decode()
    monkeypatch.setattr(mermaid, "MAX_CHARACTERS", len(whole) - 1)
    short = darkparse.draw("yolov3").data("mmd").decode()
    assert len(short) < len(whole)
    assert "L4 add" in whole
    assert "L4 add" not in short
    assert "L3 conv 3×3, 64 ▲ 32→64" in short


def test_mermaid_of_stages_is_small_and_colored() -> None:
    diagram = darkparse.draw("yolov4", detail="stages")
    text = diagram.data("mmd").decode()
    nodes = re.findall(r'^ +n1_\w+\["', text, re.MULTILINE)
    assert len(nodes) == len(diagram.overviews[0].stages) + 1 <= 20
    assert "<b>38×38×512 (1/16)</b><br>CSP × 8<br>1×1: 2 of 12 reduce<br>7.01M · 20.3 GFLOPs" in text
    assert text.count("classDef") == 3
    assert len(re.findall(r"(?:-->|-\.->|==>)", text)) == len(diagram.overviews[0].links)


def test_markdown_begins_with_answer() -> None:
    lines = darkparse.draw("yolov1").data("md").decode().split("\n")
    assert lines[:3] == ["# yolov1", "", "**7 of 9 1×1 convolutions reduce; L6 and L17 mix channels only**"]
    assert "```mermaid" in lines
    assert lines[-2:] == ["```", ""]


HOSTILE = '"]:::x; click a "javascript:alert(1)" <img src=x onerror=alert(1)> & #35; `*_`'


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("names", [("yolov1",), ("yolov3",), ("yolov4",), ("yolov3-tiny", "yolov4-tiny"), HOSTILE])
def test_mermaid_text_renders_in_browser(browser: Browser, names: tuple[str, ...] | str, tmp_path: Path) -> None:
    if isinstance(names, str):
        path = tmp_path / f"{names.replace('/', '|')}.cfg"
        path.write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=4\n")
        names = (str(path), "yolov1")
    diagram = darkparse.draw(*names)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.set_content("<div id=here></div>")
    page.add_script_tag(content=script("mermaid/dist/mermaid.min.js"))
    page.evaluate(
        """async text => { mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
        here.innerHTML = (await mermaid.render("drawn", text)).svg; }""",
        diagram.data("mmd").decode(),
    )
    cards = [card for picture in diagram.models for card in picture.cards]
    heads = [head for picture in diagram.models for head in picture.heads]
    assert page.locator("g.node").count() == len(cards) + len(heads) + len(diagram.models)
    drawn = page.locator("#here").inner_text()
    for card in cards:
        assert all(row.label in drawn for row in card.rows)
    if len(diagram.models) > 1:
        assert all(picture.name in drawn for picture in diagram.models)
    assert page.locator("#here img").count() == 0
    assert complaints == []
    page.close()
