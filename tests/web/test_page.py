"""The web page in Chromium: cfgs from every source, their views, and what a cfg must not be able to do."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

import darkparse
from tests.conftest import DATA
from tests.reliability.test_names import NAME, TEXT
from tests.web.site import LOADING, SITE, Opened, Server, needs_site, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

pytestmark = needs_site

SMALL = "[net]\nwidth=32\nheight=32\nchannels=3\n\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
NUMBER = re.compile(r"-?\d+\.?\d*")


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    expect.set_options(timeout=LOADING)
    return expect(locator)


def wait(opened: Opened) -> None:
    """Wait for the diagram of the layers."""
    opened.find("#layers svg").wait_for()


def type_text(opened: Opened, text: str) -> None:
    opened.find("#text").fill(text)


def pack(text: str) -> str:
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(text.encode()) + packer.flush()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def numbers(svg: ElementTree.Element) -> list[tuple[str, str, list[float]]]:
    """Return tag, text and all numbers of each drawn element."""
    found = []
    for element in svg.iter():
        tag = element.tag.rpartition("}")[2]
        if tag in ("rect", "path", "text", "g"):
            values = " ".join(element.get(name, "") for name in ("x", "y", "width", "height", "d", "textLength"))
            found.append((tag, element.text or "", [float(value) for value in NUMBER.findall(values)]))
    return found


def assert_equal_drawing(page: ElementTree.Element, native: str) -> None:
    drawn, expected = numbers(page), numbers(ElementTree.fromstring(native))
    assert [part[:2] for part in drawn] == [part[:2] for part in expected]
    for one, other in zip(drawn, expected, strict=True):
        assert one[2] == pytest.approx(other[2], abs=0.02), one


# The first visit is the first test of the module: nothing is stored yet, and no service worker runs.
def test_first_visit_confines_worker(visited: BrowserContext, server: Server, tmp_path: Path) -> None:
    opened = Opened.open(visited, server.url, "#net=yolov3-tiny")
    wait(opened)
    opened.check()
    (worker,) = opened.page.workers
    # In a task of its own: what the debugger evaluates may use eval.
    run = """source => new Promise(resolve => setTimeout(() => {
      try { (0, eval)(source); resolve("ran"); } catch (problem) { resolve(problem.name); }
    }))"""
    assert worker.evaluate(run, "1") == "EvalError"
    with serve(tmp_path) as other:
        ask = """url => fetch(url, { mode: "no-cors" }).then(() => "sent", problem => problem.name)"""
        assert worker.evaluate(ask, other.url) == "TypeError"
        assert worker.evaluate(
            """url => { try { importScripts(url); } catch (problem) { return problem.name; } }""", other.url
        )
        assert other.requests == []
    for selector, detail in (("#layers svg", "layers"), ("#overview svg", "stages")):
        native = darkparse.draw("yolov3-tiny", detail=detail).svg()  # type: ignore[arg-type]
        assert_equal_drawing(opened.svg(selector), native)
    opened.page.close()


def test_dropped_cfg_shows_diagram_and_layer(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "my net.cfg"
    path.write_bytes(SMALL.replace("\n", "\r\n").encode())
    opened.drop(path)
    wait(opened)
    expect(opened.find("#file-name")).to_have_text("my net.cfg")
    expect(opened.find("#summary")).to_contain_text("1 layer")
    opened.find('#layers a[aria-label^="L0"]').click()
    expect(opened.find("#layer")).to_contain_text("32×32×4")


def test_dropped_file_of_another_kind_reports_what_it_is(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    opened.drop(path)
    expect(opened.find("#status.error")).to_contain_text("not a cfg")


def test_pasted_text_with_faults_underlines_findings_while_typing(opened: Opened) -> None:
    type_text(opened, SMALL.replace("size=3", "sise=3") + "[shortcut]\nfrom=-9\n")
    expect(opened.find("#marks mark.warning")).to_have_text("sise=3")
    expect(opened.find("#marks mark.error")).to_have_count(1)
    expect(opened.find("#summary")).to_contain_text("Does not compile")
    opened.find(
        "#findings button",
    ).first.click()
    line = opened.find("#text").evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd)")
    assert line == "sise=3"
    type_text(opened, SMALL)
    wait(opened)
    expect(opened.find("#marks mark")).to_have_count(0)
    type_text(opened, SMALL.replace("filters=4", "filters=7"))
    expect(opened.find("#layers svg")).to_contain_text("conv 3×3, 7")


def test_chosen_network_fills_every_view(opened: Opened) -> None:
    opened.page.select_option("#networks", "yolov3-tiny")
    wait(opened)
    network = darkparse.compile("yolov3-tiny")
    opened.find("#tab-source").click()
    expect(opened.find("pre.source")).to_contain_text("class YOLOv3Tiny")
    assert opened.find("pre.source").evaluate("pre => pre.textContent") == darkparse.to_source(network)
    opened.find("#tab-table").click()
    expect(opened.find("#panel tbody tr")).to_have_count(len(network.nodes))
    opened.find("#tab-explanation").click()
    expect(opened.find("#panel")).to_contain_text(str(darkparse.explain(network)).splitlines()[0])
    opened.find("#tab-comparison").click()
    opened.page.select_option("#panel select", "yolov4-tiny")
    expect(opened.find("#panel h3")).to_have_text("yolov4-tiny.cfg → yolov3-tiny.cfg")
    expect(opened.find("#panel svg")).to_have_count(1)


def test_comparison_with_dropped_cfg_lists_changes(opened: Opened, tmp_path: Path) -> None:
    type_text(opened, SMALL)
    wait(opened)
    opened.find("#tab-comparison").click()
    other = tmp_path / "old.cfg"
    other.write_text(SMALL.replace("filters=4", "filters=8"), "utf-8")
    expect(opened.find("#panel select")).to_be_visible()
    opened.drop(other, target="#panel")
    expect(opened.find("#panel tbody")).to_contain_text("filters 8 → 4")


def test_link_with_text_opens_it(opened: Opened, server: Server) -> None:
    text = SMALL.replace("filters=4", "filters=5")
    opened.page.goto(f"{server.url}#name=linked.cfg&text={pack(text)}")
    wait(opened)
    expect(opened.find("#file-name")).to_have_text("linked.cfg")
    assert opened.find("#text").input_value() == text
    made = opened.page.evaluate("import('./link.js').then(link => link.makeLink('a b.cfg', '[net]\\n'))")
    assert made == f"{server.url}#name=a+b.cfg&text={pack('[net]' + chr(10))}"


@pytest.mark.parametrize(("fragment", "message"), [("#text=%%%", "damaged"), ("#net=nothing", "unknown network")])
def test_damaged_link_reports_error(visited: BrowserContext, server: Server, fragment: str, message: str) -> None:
    opened = Opened.open(visited, server.url, fragment)
    expect(opened.find("#status.error")).to_contain_text(message)
    opened.page.close()


def test_link_that_unpacks_to_gigabytes_is_refused(opened: Opened, server: Server) -> None:
    opened.page.goto(f"{server.url}#text={pack('x' * 30_000_000)}")
    expect(opened.find("#status.error")).to_contain_text("too long")


def test_downloads_hold_svg_png_and_source(opened: Opened, tmp_path: Path) -> None:
    type_text(opened, SMALL)
    wait(opened)
    for form, start in (("SVG", b"<svg "), ("PNG", b"\x89PNG"), ("HTML", b"<!doctype html>")):
        with opened.page.expect_download() as download:
            opened.page.get_by_role("button", name=form, exact=True).click()
        path = tmp_path / form
        download.value.save_as(path)
        assert path.read_bytes().startswith(start)
        assert download.value.suggested_filename == f"pasted.{form.lower()}"


HOSTILE = sorted((DATA / "hostile").glob("*.cfg"))


def test_hostile_cfgs_run_no_script(opened: Opened, tmp_path: Path) -> None:
    named = tmp_path / f"{NAME}.cfg"
    named.write_text(TEXT, "utf-8")
    for path in [*HOSTILE, named]:
        opened.drop(path)
        name = "".join("?" if unicodedata.category(char).startswith("C") else char for char in path.name)
        expect(opened.find("#file-name")).to_have_text(name)
        expect(opened.find("#summary")).to_contain_text("errors")
        for tab in ("explanation", "table", "diagram"):
            opened.find(f"#tab-{tab}").click()
        expect(opened.find("#status")).not_to_contain_text("Internal error")
        assert opened.page.evaluate("window.ran") is None


def test_slow_cfg_is_stopped_and_next_one_drawn(visited: BrowserContext, server: Server) -> None:
    opened = Opened.open(visited, server.url)
    opened.page.clock.install()
    opened.page.reload()
    type_text(opened, SMALL)
    opened.page.clock.run_for(400)
    wait(opened)
    opened.find("#text").evaluate(
        """(field, part) => { field.value += part.repeat(8000); field.dispatchEvent(new Event("input")); }""",
        "[convolutional]\nfilters=4\nsize=1\n",
    )
    opened.page.clock.run_for(400)
    opened.page.clock.run_for(10_000)
    expect(opened.find("#status.error")).to_contain_text("longer than 10 s")
    type_text(opened, SMALL.replace("filters=4", "filters=9"))
    opened.page.clock.run_for(400)
    expect(opened.find("#layers svg")).to_contain_text("conv 3×3, 9")
    opened.page.close()


def test_page_without_service_worker_stops(visited: BrowserContext, server: Server) -> None:
    opened = Opened(visited.new_page(), server.url)
    opened.page.add_init_script("Object.defineProperty(navigator, 'serviceWorker', { value: undefined })")
    opened.page.goto(server.url)
    expect(opened.find("#status.error")).to_contain_text("needs a service worker")
    assert opened.page.workers == []
    opened.page.close()


def test_page_is_available_offline_after_first_visit(browser: Browser) -> None:
    context = browser.new_context()
    with serve(SITE) as server:
        opened = Opened.open(context, server.url, "#net=yolov3-tiny")
        wait(opened)
    opened.page.reload()
    wait(opened)
    context.close()


def test_site_before_weights_is_at_most_7_5_mb() -> None:
    head = (SITE / "sw.js").read_text("utf-8").splitlines()[0]
    files = json.loads(head.removeprefix("const FILES = ").removesuffix(";"))
    sizes = {name: len(zlib.compress((SITE / name).read_bytes(), 9)) for name in files}
    total = sum(sizes.values()) + len(zlib.compress((SITE / "sw.js").read_bytes(), 9))
    assert total < 7.5e6, sizes
