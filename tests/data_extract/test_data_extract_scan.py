"""Words in bytes, four at a time: what `bytes.find` says."""

import random
import re

import pytest

from gristmill.data.extract import cues
from gristmill.data.extract.guard import parse
from gristmill.data.extract.page import ExtractedPage, extract_page
from gristmill.data.extract.scan import holds, places
from gristmill.data.extract.tags import KNOWN, TEXT, tag_and_kind

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


@pytest.mark.parametrize("rare", range(14))
@pytest.mark.parametrize("before", range(8))
def test_the_rare_part_of_a_word_finds_all_of_it(rare: int, before: int) -> None:
    word = b"creativecommons.org/"
    html = b"creativecommons.net/"[:before] + word + b"commons.org/" + word
    found = [match.start() for match in re.finditer(re.escape(word), html)]
    assert sorted(places(html, word, rare)) == found
    assert not holds(html.replace(b"creativec", b"creative-c"), word, rare)


def test_a_tag_is_told_by_its_number_as_by_its_name() -> None:
    page = "<div><p>Text <b>more</b><!-- --><h2>Title</h2><my-box>x</my-box><svg></svg></div>"
    body = parse(page).body
    assert body is not None
    seen = list(body.traverse(include_text=True))
    assert {node.tag for node in seen if node.tag_id == TEXT} == {"-text"}
    known = [node for node in seen if node.tag_id in KNOWN]
    assert {node.tag for node in known} == {"div", "p", "b", "-comment", "h2", "svg"}
    assert all(KNOWN[node.tag_id] == tag_and_kind(node) for node in known)


def test_a_name_means_the_same_alone_and_among_others_seen_before() -> None:
    names = ["related", "post-body", "title", "code-block", "widget Blog x", "title related", " ad"]
    alone = []
    for name in names:
        cues.forget()
        alone.append(cues.told(name))
    for order in (names, names[::-1]):
        cues.forget()
        assert {name: cues.told(name) for name in order} == dict(zip(names, alone, strict=True))
