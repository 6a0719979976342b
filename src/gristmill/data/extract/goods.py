"""Pages of one thing that lines describe: a product, a recipe."""

from __future__ import annotations

import re

from gristmill.data.extract import cues
from gristmill.data.extract.boxes import (
    LONG_ARTICLE,
    TITLE_CHARS,
    Page,
    drop_empty,
    is_text,
    runs,
    same_lines,
    within,
)
from gristmill.data.extract.prune import HEADINGS
from gristmill.data.extract.tree import Element

_ENDS_IN_DATE = re.compile(r"\b(?:(?:19|20)\d\d|(?:19|20)?\d\d[-./]\d\d?[-./]\d\d?)\W*$")
_PRICE = re.compile(r"[€$£¥₽₹]\s?\d|\d\s?(?:[€$£¥₽₹円元]|eur\b|usd\b|zł)", re.IGNORECASE)
_BUYING = re.compile(
    r"price|stock|availab|deliver|shipping|cart|basket|buy|merchant|purchase|\btax|offer|quantity",
    re.IGNORECASE,
)
_RECIPE = ("ingredient", "zutat", "ingrédient")  # in names in lower case
_DIGIT = re.compile(r"\d")
_BEFORE = 12  # blocks
_ROWS = frozenset(("th", "td", "dt", "dd", "li"))


def product(page: Page) -> set[int]:
    """What is sold: its name, running text, rows of its specification, texts of its reviews."""
    if not page.product or page.old.worth > 4 * LONG_ARTICLE:
        return set()
    blocks = page.blocks
    name = next((i for i in page.headlines if not page.hard[i]), None)
    start = name if name is not None else page.old.first
    reviews = within((e for e in page.elements if e.cue == cues.COMMENTS), len(blocks))
    buying = within((e for e in page.elements if _sells(page, e)), len(blocks))
    same = same_lines(blocks, range(start, len(blocks)))
    rows = {
        i
        for e in page.elements
        if e.tag in _ROWS and e.end - e.start < 4
        for i in range(e.start, e.end)
    }
    keep = {name} if name is not None else set()
    for i in range(start, len(blocks)):
        block, reason = blocks[i], page.old.reasons[i]
        if page.hard[i] or buying[i] or page.byline[i] or i in same or not is_text(block):
            continue
        if len(block.text) < 60 and _ENDS_IN_DATE.search(block.text) and i not in rows:
            continue
        if reason == cues.RELATED and not reviews[i]:
            continue
        heads = (
            i + 1 < len(blocks)
            and block.tag in ("div", "p", "summary", "span")
            and len(block.text) < 40
            and not _DIGIT.search(block.text)
            and re.search(r"\w", block.text)
            and not block.links
            and runs(page, i + 1)
            and blocks[i + 1].tag not in HEADINGS
        )
        if (
            block.kind != "text"
            or _is_row(page, i, rows)
            or runs(page, i)
            or (block.tag in HEADINGS and not block.links)
            or heads
        ):
            keep.add(i)
    drop_empty(page, keep)
    return keep if len(keep) > 2 else set()


def _sells(page: Page, element: Element) -> bool:
    """Whether a box is about price, stock and delivery, by its name or as a row with a price."""
    if element.tag == "tr" and element.end - element.start < 4:
        span = page.blocks[element.start : element.end]
        return any(_PRICE.search(block.text) for block in span)
    named = bool(element.name) and _BUYING.search(element.name) is not None
    return named and page.value(element) < 0.2 * page.sums[-1]


def _is_row(page: Page, i: int, rows: set[int]) -> bool:
    """A line of a specification: short, in a cell or an item of a list."""
    return i in rows and len(page.blocks[i].text) < TITLE_CHARS


def _holds_recipe(name: str) -> bool:
    name = name.lower()
    return any(word in name for word in _RECIPE)


def recipe(page: Page) -> set[int]:
    """A recipe: all lines of the box that holds its ingredients and most of the text."""
    if page.old.worth > 4 * LONG_ARTICLE:
        return set()
    named = [e for e in page.elements if e.name and e.end > e.start and _holds_recipe(e.name)]
    lines = sum(e.end - e.start for e in named)
    if lines < 3:
        return set()
    kept = page.old.kept()
    first = min([e.start for e in named] + kept[:1])
    last = max([e.end - 1 for e in named] + kept[-1:])
    before = first
    # What the author says of it stands below the headline.
    first = min([i + 1 for i in page.headlines if first - _BEFORE < i < first] + [first])
    keep = {
        i
        for i in range(first, last + 1)
        if not page.hard[i]
        and page.blocks[i].links * 2 <= len(page.blocks[i].text)
        and not (i < before and not runs(page, i))
        and page.old.reasons[i] not in (cues.RELATED, cues.COMMENTS)
        and page.blocks[i].tag != "h1"
        and not page.blocks[i].text.isdigit()
    }
    return keep
