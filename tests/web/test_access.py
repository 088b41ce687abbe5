"""The web page for everyone: axe, the keyboard, phones, and the dark theme."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.site import Opened, Server, needs_site
from tests.web.test_page import SMALL, expect, type_text, wait

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = needs_site

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
TABS = ("diagram", "explanation", "table", "source", "comparison", "weights")


def assert_accessible(opened: Opened) -> None:
    opened.page.evaluate(AXE.read_text("utf-8"))
    result = opened.page.evaluate("axe.run()")
    assert result["passes"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in result["violations"]] == []


@pytest.mark.parametrize(("theme", "tabs"), [("light", TABS), ("dark", ("diagram", "table"))])
def test_every_view_passes_axe(opened: Opened, theme: str, tabs: tuple[str, ...]) -> None:
    opened.page.select_option("#theme", theme)
    type_text(opened, SMALL.replace("size=3", "size=3\nsise=1"))
    wait(opened)
    for tab in tabs:
        opened.find(f"#tab-{tab}").click()
        expect(opened.find(f'#panel[aria-labelledby="tab-{tab}"]')).to_be_visible()
        opened.page.wait_for_timeout(300)
        assert_accessible(opened)


def test_page_fits_phone(visited: BrowserContext, server: Server) -> None:
    opened = Opened.open(visited, server.url, "#net=yolov3-tiny")
    opened.page.set_viewport_size({"width": 390, "height": 844})
    wait(opened)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(opened)
    opened.page.close()


def test_page_is_usable_by_keyboard(opened: Opened) -> None:
    type_text(opened, SMALL)
    wait(opened)
    opened.find("#tab-diagram").focus()
    opened.page.keyboard.press("ArrowRight")
    expect(opened.find("#tab-explanation")).to_have_attribute("aria-selected", "true")
    opened.page.keyboard.press("ArrowLeft")
    wait(opened)
    opened.find('#layers a[aria-label^="L0"]').focus()
    opened.page.keyboard.press("Enter")
    expect(opened.find("#layer")).to_contain_text("L0 conv 3×3, 4")
    before = opened.find("#layers svg").bounding_box()
    opened.find("#layers .diagram").focus()
    opened.page.keyboard.press("+")
    after = opened.find("#layers svg").bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] == pytest.approx(1.25 * before["width"], rel=0.01)
