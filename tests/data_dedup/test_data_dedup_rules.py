"""Exact groups, lines and paragraphs that a site repeats, and who links to whom."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from gristmill.data.dedup.columns import Column, groups_of
from gristmill.data.dedup.exact import address_numbers, site_numbers, text_digest
from gristmill.data.dedup.line_counts import page_lines
from gristmill.data.dedup.lines import RepeatedLines, Unit, line_keys, remove_lines
from gristmill.data.links import LinkingSites, linked_pages, same_page


def test_layout_does_not_count_and_words_do() -> None:
    assert text_digest("a  b\n\nc") == text_digest(" a b c ")
    assert text_digest("caf\u00e9") == text_digest("cafe\u0301")
    assert text_digest("a b c") != text_digest("a b C")
    assert text_digest("a b") != text_digest("ab")
    assert text_digest("a  b", "none") != text_digest("a b", "none")


def test_groups_are_of_equal_keys_and_named_by_the_smallest_id(tmp_path: Path) -> None:
    r = np.random.default_rng(3)
    high, low = r.integers(0, 40, 900, np.uint64) << np.uint64(56), r.integers(0, 3, 900, np.uint64)
    ids, skip = r.permutation(900).astype(np.uint64), r.random(900) < 0.1
    columns = [Column(tmp_path / str(number), "<u8") for number in range(3)]
    for column, values in zip(columns, (high, low, ids), strict=True):
        for piece in (values[:1], values[1:1], values[1:]):
            column.append(piece)
    wanted = list(range(900))
    for i in np.flatnonzero(~skip):
        same = np.flatnonzero((high == high[i]) & (low == low[i]) & ~skip)
        wanted[i] = int(same[np.argmin(ids[same])])
    # In one piece and in many.
    for piece in (1 << 20, 50):
        assert groups_of(columns[:2], columns[2], skip, piece).tolist() == wanted
    assert columns[2].take(np.array([5, 2])).tolist() == [ids[5], ids[2]]
    columns[2].write(3, np.array([7, 8], np.uint64))
    assert columns[2].read(2, 4).tolist() == [ids[2], 7, 8, ids[5]]


def test_addresses_of_one_page_are_one() -> None:
    numbers = address_numbers(["http://a.example/x#1", "https://www.a.example/x/", "x", "mailto:a"])
    assert numbers[0] == numbers[1] > 0 and numbers[2:].tolist() == [0, 0]
    assert address_numbers(["http://a.example/x?q=1"])[0] != numbers[0]


def test_links_from_the_same_site_do_not_count() -> None:
    sites = LinkingSites({"a.example/x"})
    sites.add("b.example", ["http://a.example/x/", "https://www.a.example/x#part"])
    sites.add("www.b.example", ["http://a.example/x"])
    sites.add("c.example", ["http://a.example/x", "http://a.example/other", "http://[bad"])
    sites.add("a.example", ["http://a.example/x"])
    sites.add("d.example", None)
    assert sites.count("a.example/x") == 2
    assert sites.count("a.example/other") == 0


def test_pages_meet_their_links() -> None:
    assert same_page("https://www.A.example/Path/#x") == "a.example/Path"
    assert same_page("http://a.example/p?q=1") == "a.example/p?q=1"
    assert same_page("mailto:x@a.example") == same_page("#top") == same_page("http://[") == ""
    found = linked_pages(
        ["ref.example", "spam.example", "www.ref.example"],
        [
            ["http://good.example/1", "http://ref.example/own", "http://www.ref.example/2"],
            ["http://bad.example/"],
            ["http://good.example/2/", "mailto:a@b.example"],
        ],
        ["ref.example"],
    )
    assert found == {"good.example/1", "good.example/2"}


def site_lines(
    pages: list[tuple[str, str]], share: float = 0.5, min_pages: int = 3, unit: Unit = "line"
) -> RepeatedLines:
    """As `repeated_lines` counts them over the parts of documents."""
    hosts, texts = zip(*[page for page in pages if page[0]], strict=True)
    numbers = site_numbers(hosts)
    keys, counts = page_lines(texts, numbers, 8, unit)
    sites, total = np.unique(numbers, return_counts=True)
    many, enough = counts >= min_pages, total >= min_pages
    needed = np.maximum(min_pages, share * total[enough])
    return RepeatedLines(keys[many], counts[many], sites[enough], needed, 8, unit)


def without(
    found: RepeatedLines, host: str, text: str, removed: list[str] | None = None
) -> str | None:
    marks, starts = found.marks(site_numbers(["other.example", host]), ["", text])
    told = None if removed is None else removed.append
    return remove_lines(text, marks[starts[1] :].tolist(), told)


def test_lines_on_many_pages_of_one_site_are_found() -> None:
    footer = "All rights reserved by nobody"
    pages = [("a.example", f"Story {'abcdefgh'[i]} in full\n}}\n{footer}") for i in range(6)]
    pages += [("b.example", f"{footer}\nOther {'stuvwxyz'[i]} story") for i in range(2)]
    pages += [("", f"{footer}\nImported text {'ijklmnop'[i]}") for i in range(8)]
    found = site_lines(pages)
    # b has too few pages, imported files have no site, a brace has no letters.
    gone: list[str] = []
    text = pages[0][1] + "  \n\nend"
    assert without(found, "a.example", text, gone) == "Story a in full\n}\n\nend"
    assert gone == [footer] and len(found.keys) == 1
    for host in ("b.example", "", "unknown.example"):
        assert without(found, host, text) is None
    assert without(found, "a.example", "nothing of the kind") is None
    assert without(found, "a.example", footer) == ""


def test_a_share_of_the_pages_is_needed_too() -> None:
    pages = [("a.example", f"Unlike page {k * 'x'}\nA line on some pages") for k in range(4)]
    pages += [("a.example", f"Unlike page {k * 'x'}") for k in range(4, 10)]
    text = "A line on some pages"
    assert without(site_lines(pages, share=0.4), "a.example", text) == ""
    assert without(site_lines(pages, share=0.41), "a.example", text) is None


def test_a_paragraph_is_one_whatever_its_lines() -> None:
    notice = "Come in and find out\nwhat we have for you"
    pages = [("a.example", f"A page of {k * 'x'}\n\n{notice}\n\nEnd") for k in range(6)]
    found = site_lines(pages, unit="paragraph")
    gone: list[str] = []
    # Other line breaks are the same paragraph; a part of it is another one.
    text = "First\n \n  Come in and find\tout what\nwe have for you \n\nwhat we have for you\nEnd"
    assert without(found, "a.example", text, gone) == "First\n \nwhat we have for you\nEnd"
    assert gone == ["Come in and find\tout what", "we have for you"]
    assert len(found.keys) == 1
    assert without(found, "b.example", text) is None
    # As lines they are found too, and the other paragraph loses one.
    assert len(site_lines(pages).keys) == 2


def test_blank_lines_do_not_pile_up() -> None:
    found = site_lines([("a.example", f"x {i}\nShare this article") for i in "abcdef"])
    text = "first\n\nShare this article\n\nsecond\n\n\nthird"
    assert without(found, "a.example", text) == "first\n\nsecond\n\n\nthird"


ODD = "ab \u00a0\u3000\u0085\u001f\u2009é字１\U0001d400\U0001f600\n\n\t-"


def test_keys_of_lines_equal_the_plain_twin() -> None:
    r = random.Random(4)
    texts = ["", "\n", "ab", *("".join(r.choices(ODD, k=r.randrange(60))) for _ in range(400))]
    sites = [r.randrange(1, 4) for _ in texts]
    keys, starts = line_keys(texts, np.array(sites, np.uint64), 3)
    seen: dict[tuple[int, str], int] = {}
    for row, (text, site) in enumerate(zip(texts, sites, strict=True)):
        lines = [line.strip() for line in text.split("\n")]
        found = keys[starts[row] : starts[row + 1]].tolist()
        assert len(found) == len(lines)
        for line, key in zip(lines, found, strict=True):
            assert (key == 0) == (sum(map(str.isalpha, line)) < 3)
            if key:
                assert seen.setdefault((site, line), key) == key
    assert len(set(seen.values())) == len(seen) > 300
    assert len({line for _, line in seen}) < len(seen)


def test_keys_of_paragraphs_equal_the_plain_twin() -> None:
    r = random.Random(5)
    texts = ["", "\n", "abc", "\nabc", "a\n\nbc\n", " abc \n\t\n"]
    texts += ["".join(r.choices(ODD + "\n\n", k=r.randrange(60))) for _ in range(400)]
    # Few letters, so that many paragraphs are alike but for their layout.
    texts += ["".join(r.choices("ab \n", k=r.randrange(12))) for _ in range(400)]
    sites = r.choices([r.getrandbits(64) for _ in range(3)], k=len(texts))
    keys, starts = line_keys(texts, np.array(sites, np.uint64), 3, "paragraph")
    seen: dict[tuple[int, str], int] = {}
    for row, (text, site) in enumerate(zip(texts, sites, strict=True)):
        lines = text.split("\n")
        found = keys[starts[row] : starts[row + 1]].tolist()
        assert len(found) == len(lines)
        wanted: list[str] = []
        paragraph: list[str] = []
        for line in [*lines, ""]:
            if line.strip():
                paragraph.append(line)
            else:
                wanted += [" ".join(" ".join(paragraph).split())] * len(paragraph) + [""]
                paragraph = []
        for one, key in zip(wanted[:-1], found, strict=True):
            assert (key == 0) == (sum(map(str.isalpha, one)) < 3)
            if key:
                assert seen.setdefault((site, one), key) == key
    assert len(set(seen.values())) == len(seen) > 300
