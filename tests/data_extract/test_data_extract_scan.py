"""Words in bytes, four at a time: what `bytes.find` says."""

import random
import re

import pytest

from gristmill.data.extract import cues
from gristmill.data.extract.page import ExtractedPage, extract_page
from gristmill.data.extract.scan import holds, places

WORD = b"license"


def test_places_are_those_of_find_on_random_bytes() -> None:
    rng = random.Random(7)
    for _ in range(400):
        parts = [rng.choice((WORD, b"lice", b"ense", b"cens", b"x", b"licens")) for _ in range(12)]
        html = b"".join(parts)[rng.randrange(4) :]
        found = [match.start() for match in re.finditer(WORD, html)]
        assert sorted(places(html, WORD)) == found
        assert holds(html, WORD) == bool(found)


@pytest.mark.parametrize("before", range(8))
@pytest.mark.parametrize("after", range(4))
def test_a_word_is_found_wherever_it_begins_and_the_page_ends(before: int, after: int) -> None:
    html = b"-" * before + WORD + b"-" * after
    assert list(places(html, WORD)) == [before]
    assert not holds(html[:before] + WORD[:-1] + html[before + len(WORD) :], WORD)


@pytest.mark.parametrize("html", [b"", b"a", b"lic", b"lice", b"icense"])
def test_short_pages_hold_nothing(html: bytes) -> None:
    assert not holds(html, WORD)


def test_what_a_name_means_does_not_depend_on_the_pages_before() -> None:
    page = b"""<html><body><table><tr><td class="line-numbers">1 2</td><td>The text in this cell
        goes on for a while, so that it counts as one.</td></tr></table></body></html>"""
    cues.forget()
    first = extract_page(page, "https://example.org/a")
    extract_page(b'<div class="line-numbers">1</div><p>Text.</p>', "https://example.org/b")
    second = extract_page(page, "https://example.org/a")
    assert isinstance(first, ExtractedPage) and isinstance(second, ExtractedPage)
    assert first == second and "1 2" not in first.text
