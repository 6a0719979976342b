"""The page that shows a page beside its text, in a real browser: inert, linked, on a phone too."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gristmill.data.extract.explain import Explanation, explain_html
from gristmill.data.extract.page import ExtractOptions
from gristmill.report.explained import inert, page_beside_text, pages_beside_text

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, LocatorAssertions, Page

MILLISECONDS = 120_000
ATTACK = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>"
ESCAPED = ATTACK.replace("<", "&lt;")
LONG = "A sentence that is long enough to count as running text for the rules, and then longer."
HOSTILE = f"""<html><head><title>{ESCAPED} title</title></head><body>
<nav class="&lt;/style>&lt;script>window.pwned=1&lt;/script> menu">{ESCAPED} Home</nav>
<main><h1>Head</h1><p>{LONG} {ESCAPED}</p><p>{LONG} \u202e override</p>
<pre>&lt;/pre>{ESCAPED}</pre><p style="position:fixed;top:0">{LONG}</p>
<table><tr><td>{ESCAPED}</td><td>{"wide" * 60}</td></tr></table></main>
<footer><p>One</p><p>Two</p><p>Three</p><p>Four</p><p>Five</p></footer></body></html>"""


def explained(number: int = 0) -> Explanation:
    body = HOSTILE.replace("Head", f"Head {number}").encode()
    found = explain_html(body, f"http://a.example/{number}", options=ExtractOptions(markdown=True))
    assert not found.rejected
    return found


def test_text_is_never_markup() -> None:
    for page in (page_beside_text(explained()), pages_beside_text([explained()] * 2, ATTACK)):
        assert "<script" not in page and "<img" not in page and "</style>" in page
        assert page.count("</style>") == 1
        assert "default-src 'none'" in page and "http-equiv" in page
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    assert inert("a\x1b[31m\x00<b>") == "a\u241b[31m\u2400&lt;b&gt;"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("no Chrome or Chromium on this machine: the page was not looked at in one")
    from playwright.sync_api import sync_playwright

    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"] if root else [], timeout=MILLISECONDS
        )
        yield started
        started.close()


def opened(browser: Browser, path: Path, html: str, width: int, asked: list[str]) -> Page:
    path.write_text(html, encoding="utf-8")
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(MILLISECONDS)
    page.goto(path.as_uri())
    return page


def seen(what: Locator) -> LocatorAssertions:
    """Assertions that wait until the browser has done what they say."""
    from playwright.sync_api import expect

    expect.set_options(timeout=MILLISECONDS)
    return expect(what)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1100, 390])
def test_a_hostile_page_does_nothing(browser: Browser, tmp_path: Path, width: int) -> None:
    asked: list[str] = []
    page = opened(browser, tmp_path / "a.html", page_beside_text(explained()), width, asked)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("window.pwned") is None
    assert asked == [(tmp_path / "a.html").as_uri()], "nothing else was asked for"
    assert page.locator("script, img, iframe, link, form").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert ATTACK in page.locator("h1").inner_text()
    assert ATTACK in page.locator(".row.out").first.inner_text()


@pytest.mark.browser
def test_a_block_and_its_text_light_up_together(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, tmp_path / "a.html", page_beside_text(explained()), 1100, [])
    row = page.locator(".row:not(.out)").nth(1)
    assert "override" in row.locator(".said").inner_text()
    assert "override" in row.locator(".got").inner_text()
    before = row.evaluate("one => getComputedStyle(one).backgroundColor")
    row.hover()
    seen(row).not_to_have_css("background-color", before)
    page.locator(".row").last.focus()
    page.mouse.move(0, 0)
    seen(row).to_have_css("background-color", before)
    folded = page.locator("details", has_text="5 blocks dropped: furniture")
    assert not folded.locator("text=Three").is_visible()
    folded.locator("summary").click()
    seen(folded.locator("text=Three")).to_be_visible()


@pytest.mark.browser
def test_one_page_at_a_time_to_leaf_through(browser: Browser, tmp_path: Path) -> None:
    html = pages_beside_text([explained(number) for number in range(3)], "Three pages.")
    page = opened(browser, tmp_path / "a.html", html, 390, [])
    shown = page.locator(".leaf:visible")
    assert shown.count() == 1 and "page 1 of 3" in shown.inner_text()
    shown.locator("text=next").click()
    seen(shown).to_contain_text("page 2 of 3")
    assert shown.count() == 1
    page.locator("#pages a").nth(2).click()
    seen(shown).to_contain_text("page 3 of 3")
    assert shown.count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
