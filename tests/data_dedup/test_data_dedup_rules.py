"""Exact groups, which copy is kept, lines that a site repeats, and who links to whom."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from gristmill.data.dedup.exact import first_with, keep_order, kept_of_group, text_digest
from gristmill.data.dedup.lines import RepeatedLines, SiteLines, line_keys, remove_lines
from gristmill.data.links import LinkingSites, linked_pages, same_page


def test_layout_does_not_count_and_words_do() -> None:
    assert text_digest("a  b\n\nc") == text_digest(" a b c ")
    assert text_digest("caf\u00e9") == text_digest("cafe\u0301")
    assert text_digest("a b c") != text_digest("a b C")
    assert text_digest("a b") != text_digest("ab")
    assert text_digest("a  b", "none") != text_digest("a b", "none")
    assert first_with([b"x", b"y", b"x", b"z", b"y"]).tolist() == [0, 1, 0, 3, 1]


def test_the_keep_rule_in_its_order() -> None:
    hosts = ["m.example", "ref.example", "m.example", "o.example", "o.example"]
    urls = ["http://m/long/path", "http://ref/x", "http://m/a", "http://o/b", "http://o/a"]
    ranks = keep_order(hosts, [0, 0, 3, 0, 0], [900, 10, 20, 30, 30], urls, ["ref.example"])
    # The preferred host, then the page that others link to, then length, then the smaller URL.
    assert np.argsort(ranks).tolist() == [1, 2, 0, 4, 3]
    groups = np.array([0, 0, 2, 3, 3])
    assert kept_of_group(groups, ranks).tolist() == [1, 1, 2, 4, 4]


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
    folder: Path, pages: list[tuple[str, str]], share: float = 0.5, min_pages: int = 3
) -> RepeatedLines:
    counts = SiteLines(folder)
    # In two parts: what a part holds is added up.
    for half in (pages[: len(pages) // 3], [], pages[len(pages) // 3 :]):
        hosts, texts = [host for host, _ in half], [text for _, text in half]
        counts.add(hosts, [text_digest(text) for text in texts], texts)
    return counts.repeated(share=share, min_pages=min_pages)


def without(
    found: RepeatedLines, host: str, text: str, removed: list[str] | None = None
) -> str | None:
    marks, starts = found.marks(["other.example", host], ["", text])
    told = None if removed is None else removed.append
    return remove_lines(text, marks[starts[1] :].tolist(), told)


def test_lines_on_many_pages_of_one_site_are_found(tmp_path: Path) -> None:
    footer = "All rights reserved by nobody"
    pages = [("a.example", f"Story {'abcdefgh'[i]} in full\n}}\n{footer}") for i in range(6)]
    pages += [("b.example", f"{footer}\nOther {'stuvwxyz'[i]} story") for i in range(2)]
    pages += [("", f"{footer}\nImported text {'ijklmnop'[i]}") for i in range(8)]
    found = site_lines(tmp_path, pages)
    # b has too few pages, imported files have no site, a brace has no letters.
    gone: list[str] = []
    text = pages[0][1] + "  \n\nend"
    assert without(found, "a.example", text, gone) == "Story a in full\n}\n\nend"
    assert gone == [footer] and len(found.keys) == 1
    for host in ("b.example", "", "unknown.example"):
        assert without(found, host, text) is None
    assert without(found, "a.example", "nothing of the kind") is None
    assert without(found, "a.example", footer) == ""


def test_a_share_of_the_pages_is_needed_too(tmp_path: Path) -> None:
    pages = [("a.example", f"Unlike page {k * 'x'}\nA line on some pages") for k in range(4)]
    pages += [("a.example", f"Unlike page {k * 'x'}") for k in range(4, 10)]
    text = "A line on some pages"
    assert without(site_lines(tmp_path / "1", pages, share=0.4), "a.example", text) == ""
    assert without(site_lines(tmp_path / "2", pages, share=0.41), "a.example", text) is None


def test_one_page_under_many_addresses_keeps_its_lines(tmp_path: Path) -> None:
    same = [("a.example", "The very same page\nwith two long lines")] * 20
    other = [("a.example", f"Another page, number {'klmnopqr'[i]}") for i in range(8)]
    assert not site_lines(tmp_path, [*same, *other])


def test_blank_lines_do_not_pile_up(tmp_path: Path) -> None:
    found = site_lines(tmp_path, [("a.example", f"x {i}\nShare this article") for i in "abcdef"])
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
