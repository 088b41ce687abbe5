"""The HTML page in a real browser: zoom, find, click, keyboard, hostile text, and no request to anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import darkparse
from tests.views.browser import needs_chromium, script
from tests.views.networks import compile_once

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.long, needs_chromium]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return darkparse.draw(compile_once("yolov3")).render(tmp_path_factory.mktemp("html") / "yolov3.html")


class Opened:
    """A page, with everything that it asked for and complained about."""

    def __init__(self, browser: Browser, path: Path, fragment: str = "") -> None:
        self.page: Page = browser.new_page(viewport={"width": 1300, "height": 850})
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda problem: self.complaints.append(str(problem)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.url = path.as_uri()
        self.page.goto(self.url + fragment)

    @property
    def panel(self) -> Locator:
        return self.page.locator("#panel")

    def width(self) -> float:
        return float(self.page.evaluate("document.querySelector('#view svg').getBoundingClientRect().width"))

    def row(self, index: int) -> Locator:
        return self.page.locator(f'#view a[href="#L{index}"]')

    def in_view(self, index: int) -> bool:
        return bool(
            self.row(index).evaluate(
                """e => { const r = e.getBoundingClientRect(), v =
                document.getElementById('view').getBoundingClientRect(); return r.left >= v.left - 1 && r.top >= v.top -
                1 && r.right <= v.right + 1 && r.bottom <= v.bottom + 1; }"""
            )
        )


@pytest.fixture
def opened(browser: Browser, written: Path) -> Iterator[Opened]:
    shown = Opened(browser, written)
    yield shown
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith(shown.url)] == []
    shown.page.close()


def test_html_zoom_buttons_and_keys_change_width(opened: Opened) -> None:
    before = opened.width()
    opened.page.click("#in")
    assert opened.width() == pytest.approx(1.25 * before, rel=0.01)
    opened.page.click("#out")
    assert opened.width() == pytest.approx(before, rel=0.01)
    opened.page.locator("#view").focus()
    opened.page.keyboard.press("+")
    assert opened.width() == pytest.approx(1.25 * before, rel=0.01)
    opened.page.keyboard.press("0")
    box = opened.page.locator("#view").bounding_box()
    assert box is not None
    assert opened.width() <= box["width"]
    assert opened.page.evaluate("document.querySelector('#view svg').getBoundingClientRect().height") <= box["height"]


def test_html_wheel_zooms_about_pointer(opened: Opened) -> None:
    before = opened.width()
    opened.page.mouse.move(500, 400)
    opened.page.keyboard.down("Control")
    opened.page.mouse.wheel(0, -300)
    opened.page.keyboard.up("Control")
    opened.page.wait_for_function(f"document.querySelector('#view svg').getBoundingClientRect().width > {2 * before}")


def test_html_drag_scrolls_page(opened: Opened) -> None:
    for _ in range(4):
        opened.page.click("#in")
    start = opened.page.evaluate("[view.scrollLeft, view.scrollTop]")
    opened.page.mouse.move(1000, 700)
    opened.page.mouse.down()
    opened.page.mouse.move(900, 640, steps=3)
    opened.page.mouse.up()
    end = opened.page.evaluate("[view.scrollLeft, view.scrollTop]")
    assert (end[0] - start[0], end[1] - start[1]) == pytest.approx((100, 60), abs=2)
    assert opened.panel.is_hidden()


def test_html_click_shows_layer_report(opened: Opened) -> None:
    assert opened.panel.is_hidden()
    opened.row(2).click()
    text = opened.panel.inner_text()
    assert "L2 conv 1×1, 32" in " ".join(text.split())
    assert "64 channels in, 32 out: this 1×1 convolution reduces them (÷2)." in text
    assert "Bottleneck L2+L3: 20.5k weights, one direct 3×3 64→64: 36.9k, saves 44%." in text
    for part in ("304×304×64", "304×304×32", "2,048", "5×5"):
        assert part in text, part
    network = compile_once("yolov3")
    line = network.nodes[2].section.span.line
    assert f"yolov3.cfg, line {line}" in text
    assert f"{line}[convolutional]" in "".join(text.split())
    assert "chosen" in (opened.row(2).get_attribute("class") or "")


def test_html_find_by_number_shows_row_of_first_copy(opened: Opened) -> None:
    opened.page.keyboard.press("/")
    opened.page.keyboard.type("L45")
    opened.page.keyboard.press("Enter")
    assert "L45 conv 3×3, 512" in " ".join(opened.panel.inner_text().split())
    assert "Copy 3 of 8" in opened.panel.inner_text()
    assert "chosen" in (opened.row(39).get_attribute("class") or "")
    assert opened.in_view(39)


def test_html_find_by_words_steps_through_matches(opened: Opened) -> None:
    opened.page.fill("#query", "upsample")
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#found").inner_text() == "1 of 2"
    assert "L85" in opened.panel.inner_text()
    assert opened.in_view(85)
    opened.page.keyboard.press("Enter")
    assert "L97" in opened.panel.inner_text()
    assert opened.in_view(97)
    opened.page.fill("#query", "no such thing")
    opened.page.keyboard.press("Enter")
    assert opened.page.locator("#found").inner_text() == "not found"


def test_html_edge_click_selects_target(opened: Opened) -> None:
    edge = opened.page.locator('[id="L15-L98"]')
    edge.locator("path").first.dispatch_event("click")
    assert "L98 concat" in opened.panel.inner_text()
    assert "near" in (edge.get_attribute("class") or "")
    opened.panel.get_by_role("button", name="L36", exact=True).click()
    assert "L36 add" in " ".join(opened.panel.inner_text().split())
    opened.panel.get_by_role("button", name="L98", exact=True).click()
    assert "L98 concat" in opened.panel.inner_text()


def test_html_is_usable_by_keyboard(opened: Opened) -> None:
    opened.page.locator("#view").focus()
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "L0 conv 3×3, 32 = 608 ▲ 3→32"
    )
    opened.page.keyboard.press("Enter")
    assert "L0" in opened.panel.inner_text()
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("ArrowDown")
    assert "L2 conv" in " ".join(opened.panel.inner_text().split())
    opened.page.keyboard.press("ArrowUp")
    assert "L1 conv" in " ".join(opened.panel.inner_text().split())
    assert opened.in_view(1)
    opened.page.keyboard.press("Escape")
    assert opened.panel.is_hidden()


def test_html_rows_have_unique_accessible_names(opened: Opened) -> None:
    labels = opened.page.evaluate(
        "[...document.querySelectorAll('#view a')].map(a => [a.getAttribute('tabindex'), a.getAttribute('aria-label')])"
    )
    named = [label for tabindex, label in labels if tabindex == "0"]
    picture = darkparse.draw(compile_once("yolov3")).models[0]
    assert len(named) == len(set(named)) == sum(len(card.rows) for card in picture.cards) + len(picture.heads)
    assert opened.page.locator("#panel").get_attribute("aria-live") == "polite"


def test_html_theme_changes_colors(opened: Opened) -> None:
    def colors() -> list[str]:
        found: list[str] = opened.page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('#view a "
            ".row')).fill]"
        )
        return found

    light = colors()
    opened.page.select_option("#theme", "dark")
    dark = colors()
    assert light[0] == "rgb(255, 255, 255)"
    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert "#" not in "".join(
        opened.page.evaluate(
            "[...document.querySelectorAll('svg [fill]')].map(e => e.getAttribute('fill')).filter(f => "
            "f.startsWith('#'))"
        )
    )


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_html_passes_axe(opened: Opened, theme: str) -> None:
    opened.page.select_option("#theme", theme)
    opened.row(2).click()
    opened.page.evaluate(script("axe-core/axe.min.js"))
    result = opened.page.evaluate("axe.run()")
    assert result["passes"]
    assert [violation["help"] for violation in result["violations"]] == []


@pytest.mark.parametrize("width", [390, 1300])
def test_html_opens_at_legible_zoom_without_scrolling_the_page(browser: Browser, written: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(written.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert 0.75 <= page.evaluate("zoom") <= 1
    page.close()


def test_html_print_shows_diagram_only(opened: Opened) -> None:
    opened.row(2).click()
    opened.page.emulate_media(media="print")
    assert opened.page.locator("header").is_hidden()
    assert opened.panel.is_hidden()
    assert opened.page.locator("#view svg").is_visible()
    assert opened.page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_html_fragment_opens_at_layer(browser: Browser, written: Path) -> None:
    shown = Opened(browser, written, "#L105")
    assert "L105 conv 1×1, 255" in " ".join(shown.panel.inner_text().split())
    assert shown.in_view(105)
    shown.page.close()


HOSTILE = """[net]
width=32
height=32
channels=3
# --></script><script>window.hacked = 1</script>
[convolutional]
filters=8
size=3
pad=1
activation=</script><script>window.hacked=2</script><img/src=x/onerror=window.hacked=3>
"><svg/onload=window.hacked=4>=</title></style><script>window.hacked=5</script>
[maxpool]
size=2
stride=2
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a file name that Windows does not allow: run it on Linux or macOS")
def test_html_hostile_text_runs_no_script(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=window.hacked=6><!--.cfg"
    path.write_text(HOSTILE)
    page = darkparse.draw(darkparse.compile(path)).render(tmp_path / "hostile.html")
    shown = Opened(browser, page)
    assert shown.page.title() == path.stem
    shown.row(0).click()
    assert "<script>window.hacked=2</script>" in shown.panel.inner_text()
    shown.page.fill("#query", "hacked")
    shown.page.keyboard.press("Enter")
    shown.page.wait_for_timeout(100)
    assert shown.page.evaluate("window.hacked") is None
    assert shown.page.locator("img").count() == 0
    assert shown.page.locator("#view svg").count() == 1
    assert [url for url in shown.requests if url != shown.url] == []
    assert shown.complaints == []
    shown.page.close()


def test_html_of_two_networks_names_each(browser: Browser, tmp_path: Path) -> None:
    diagram = darkparse.draw(darkparse.compile("yolov3-tiny"), darkparse.compile("yolov4-tiny"))
    shown = Opened(browser, diagram.render(tmp_path / "two.html"))
    shown.row(24).click()
    text = " ".join(shown.panel.inner_text().split())
    assert "L0 of yolov4-tiny conv 3×3 /2, 32" in text
    assert "yolov4-tiny.cfg, line" in text
    assert shown.complaints == []
    shown.page.close()


def test_html_overview_opens_the_layers_of_a_stage(opened: Opened) -> None:
    stages = darkparse.draw(compile_once("yolov3")).overviews[0].stages
    links = opened.page.locator("#overview a")
    assert links.count() == len(stages)
    opened.page.locator('#overview a[href="#L62"]').click()
    assert "L62 conv 3×3 /2, 1024" in " ".join(opened.panel.inner_text().split())
    assert opened.in_view(62)
    assert opened.complaints == []


def test_html_overview_is_the_first_view_of_a_phone(browser: Browser, written: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(written.as_uri())
    first, second, tools = (page.locator(name).bounding_box() for name in ("#overview", "#view", "header"))
    assert first is not None
    assert second is not None
    assert tools is not None
    assert tools["height"] < 60
    assert first["y"] < second["y"]
    assert first["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_html_finds_while_typing_with_a_count(opened: Opened) -> None:
    opened.page.fill("#query", "upsample")
    assert opened.page.locator("#found").inner_text() == "2 found"
    opened.page.fill("#query", "expanded")
    count = int(opened.page.locator("#found").inner_text().split()[0])
    assert 20 < count < 107
    opened.page.fill("#query", "no such layer")
    assert opened.page.locator("#found").inner_text() == "not found"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_html_follows_the_color_scheme_of_the_system(browser: Browser, written: Path, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(written.as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.close()


def test_html_frames_the_selected_row_above_its_cells(opened: Opened) -> None:
    opened.row(2).click()
    last = opened.row(2).locator(":scope > *").last
    assert last.get_attribute("class") == "select"
    assert last.evaluate("e => getComputedStyle(e).strokeWidth") == "2px"
    row, frame = opened.row(2).locator(".row").bounding_box(), last.bounding_box()
    assert row is not None
    assert frame is not None
    assert (frame["width"], frame["height"]) < (row["width"] + 1, row["height"] + 1)


def test_html_panel_stands_beside_diagram_and_tools_fit_a_phone(browser: Browser, written: Path) -> None:
    for width in (390, 1300):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(written.as_uri())
        page.evaluate("choose(54)")
        view, panel, theme = (page.locator(name).bounding_box() for name in ("#view", "#panel", "#theme"))
        assert view is not None
        assert panel is not None
        assert theme is not None
        assert theme["x"] + theme["width"] <= width
        if width > 760:
            assert view["x"] + view["width"] <= panel["x"]
            assert view["width"] > 510
        page.close()


def test_html_of_two_networks_has_the_overview_above_them(browser: Browser, tmp_path: Path) -> None:
    diagram = darkparse.draw(darkparse.compile("yolov3-tiny"), darkparse.compile("yolov4-tiny"))
    page = browser.new_page(viewport={"width": 1300, "height": 850})
    page.goto(diagram.render(tmp_path / "two.html").as_uri())
    page.evaluate("choose(30)")
    overview, view, panel = (page.locator(name).bounding_box() for name in ("#overview", "#view", "#panel"))
    assert overview is not None
    assert view is not None
    assert panel is not None
    assert overview["y"] + overview["height"] <= view["y"]
    assert view["x"] + view["width"] <= panel["x"]
    assert panel["y"] == overview["y"]
    page.evaluate(script("axe-core/axe.min.js"))
    assert [violation["help"] for violation in page.evaluate("axe.run()")["violations"]] == []
    page.close()
