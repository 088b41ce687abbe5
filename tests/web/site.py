"""The built page on a local server, and a browser that has visited it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tests.views.browser import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

SITE = Path(__file__).parents[2] / "web" / "site"
LOADING = 120_000
"""Time limit for loading Python, in ms."""

needs_site = [
    pytest.mark.long,
    needs_chromium,
    pytest.mark.skipif(not SITE.is_dir(), reason="needs the page: npm ci --prefix web && python web/build.py"),
]


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]


@dataclass
class Server:
    """Address and requests of a server; `close` ends it."""

    url: str
    requests: list[str]
    _server: ThreadingHTTPServer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    requests: list[str] = []
    server.requests = requests  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}/", requests, server)
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Opened:
    """A page, with its requests and complaints."""

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, context: BrowserContext, origin: str, fragment: str = "") -> Opened:
        opened = cls(context.new_page(), origin)
        opened.page.set_default_timeout(LOADING)
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("pageerror", lambda problem: opened.complaints.append(str(problem)))
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.goto(origin + fragment)
        return opened

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def drop(self, *paths: Path, target: str = "body") -> None:
        """Drop files, which Python reads for the page."""
        files = [[path.name, _mime_type(path), list(path.read_bytes())] for path in paths]
        transfer = self.page.evaluate_handle(
            """files => {
              const transfer = new DataTransfer();
              for (const [name, type, bytes] of files) {
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
              }
              return transfer;
            }""",
            files,
        )
        self.page.dispatch_event(target, "drop", {"dataTransfer": transfer})

    def svg(self, selector: str) -> ElementTree.Element:
        text: str = self.find(selector).evaluate("svg => new XMLSerializer().serializeToString(svg)")
        return ElementTree.fromstring(text)

    def check(self) -> None:
        """Check that nothing was refused by the policy or requested elsewhere."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith((self.origin, f"blob:{self.origin}"))] == []


def _mime_type(path: Path) -> str:
    return {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}.get(path.suffix, "")
