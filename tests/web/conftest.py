"""Fixtures with a server of the built page and a browser context in which its first visit is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.views.conftest import browser as browser
from tests.web.site import SITE, Opened, Server, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(SITE) as running:
        yield running


@pytest.fixture(scope="module")
def visited(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    yield context
    context.close()


@pytest.fixture
def opened(visited: BrowserContext, server: Server) -> Iterator[Opened]:
    shown = Opened.open(visited, server.url)
    yield shown
    shown.check()
    shown.page.close()
