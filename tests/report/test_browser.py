"""The report in a browser: nothing is fetched, nothing complains, and people with and without sight can read it.

Accessibility is judged by axe-core (Deque), with all of its rules.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"
)

VIEWS = {"desktop": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, page_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page; `said` collects what the console says and what is fetched."""
    width, scheme = VIEWS[getattr(request, "param", "desktop")]
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda sent: page.said.append(sent.url) if sent.url != page_path.as_uri() else None)
    page.goto(page_path.as_uri())
    yield page
    context.close()


@pytest.mark.parametrize("opened", VIEWS, indirect=True)
def test_it_is_accessible_fits_its_screen_and_says_nothing(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = axe.Axe().run(opened).response["violations"]
    assert [
        (each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"]) for each in found
    ] == []
    assert opened.said == []


def test_hostile_text_does_nothing_in_a_browser(opened: Any) -> None:
    assert opened.evaluate("typeof window.hacked") == "undefined"
    assert opened.locator("img").count() == 0


def test_every_figure_is_drawn_with_something_in_it(opened: Any) -> None:
    sizes = opened.evaluate(
        "Array.from(document.querySelectorAll('figure svg.chart'), (svg) => {"
        " const box = svg.getBBox(); const shown = svg.getBoundingClientRect();"
        ' const marks = svg.querySelectorAll(\'path[style*="var(--s"], use, path[style*="var(--good"]\').length;'
        " return [box.width, box.height, shown.width, shown.height, marks]; })"
    )
    assert len(sizes) >= 10
    assert [each for each in sizes if min(each) <= 0] == []


def test_completions_are_found_by_words_and_by_outcome(opened: Any) -> None:
    opened.fill("#find", "19+0")
    assert opened.locator("#found").inner_text() == "1 of 20 problems shown"
    assert opened.locator(".sample:not([hidden])").first.get_attribute("open") is not None
    opened.fill("#find", "")
    opened.select_option("#kind", "lost")
    assert opened.locator("#found").inner_text() == "2 of 20 problems shown"


def test_everything_can_be_read_without_its_script(browser: Any, page_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_path.as_uri())
    assert page.locator(".sample").count() == 20
    assert not page.locator("#filter").is_visible()
    page.locator("#figure-accuracy summary").click()
    assert page.locator("#figure-accuracy table").is_visible()
    context.close()


def test_it_is_printed_in_dark_ink_without_what_is_for_screens(opened: Any) -> None:
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(17, 17, 17)"
    assert not opened.locator("nav").is_visible()
