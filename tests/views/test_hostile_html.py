"""A page of a network whose name and texts hold scripts, in Chromium: it runs none but its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import darkparse
from tests.reliability.test_names import NAME, TEXT
from tests.views.browser import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.mark.parametrize("form", ["svg", "html"])
def test_page_of_hostile_cfg_runs_no_script(browser: Browser, tmp_path: Path, form: str) -> None:
    cfg, path = tmp_path / f"{NAME}.cfg", tmp_path / f"x.{form}"
    cfg.write_text(TEXT, "utf-8")
    path.write_bytes(darkparse.draw(cfg).data(form))
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.mouse.move(200, 200)
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert asked == [path.as_uri()]
    page.evaluate("window.ran = 1")
    assert page.evaluate("window.ran") == 1
    page.close()
