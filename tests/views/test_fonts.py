"""Texts in Chromium, in every font that is there of those that stand in for Arial: none leaves its cell or the page,
and none is crushed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import darkparse
from tests.conftest import original_cfgs, shipped_cfgs
from tests.views.browser import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, needs_chromium]

FONTS = (
    *("DejaVu Sans", "Verdana", "Liberation Sans", "Arimo", "Open Sans", "Noto Sans", "Roboto"),
    *("Liberation Sans Narrow", "Roboto Condensed", "PT Sans Narrow"),
)
TEN = (
    *("yolov1", "yolov2", "yolov3", "yolov4", "yolov4-tiny", "darknet53", "yolov7", "densenet201", "efficientnet_b0"),
    "rnn",
)
PATHS = {path.stem: path for path in (*original_cfgs(), *shipped_cfgs())}

IS_HERE = """font => {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const widths = ["serif", "monospace"].map(other => {
    context.font = `100px "${font}", ${other}`;
    return context.measureText("the same in both").width;
  });
  return widths[0] === widths[1];
}"""
MEASURE = """font => {
  const svg = document.querySelector("svg");
  svg.setAttribute("font-family", font);
  const beside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1;
  const inside = (a, b) => beside(a, b) && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const page = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].map(text => {
    const own = text.getBoundingClientRect();
    const cell = text.parentNode.querySelector(":scope > rect:not(.frame, [class^=price])");
    const room = Number(text.getAttribute("textLength")), free = text.cloneNode(true);
    free.removeAttribute("textLength");
    text.parentNode.append(free);
    const natural = free.getComputedTextLength();
    free.remove();
    return { words: text.textContent, natural: natural / room, pressed: text.getComputedTextLength() / room,
             onPage: inside(own, page), inCell: !cell || beside(own, cell.getBoundingClientRect()) };
  });
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.mark.parametrize("name", [name for name in TEN if name in PATHS])
def test_svg_texts_in_any_font_stay_in_their_cells(page: Page, tmp_path: Path, name: str) -> None:
    page.goto(darkparse.draw(PATHS[name]).render(tmp_path / "net.svg").as_uri())
    here = [font for font in FONTS if page.evaluate(IS_HERE, font)]
    assert here
    for font in here:
        texts: list[dict[str, Any]] = page.evaluate(MEASURE, font)
        assert len(texts) > 20
        for text in texts:
            assert text["pressed"] == pytest.approx(1, abs=0.01), (font, text)
            assert text["onPage"], (font, text)
            assert text["inCell"], (font, text)
            assert 0.75 <= text["natural"] <= 1.2, (font, text)
