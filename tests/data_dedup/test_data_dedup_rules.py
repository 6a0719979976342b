"""Exact groups, which copy is kept, lines that a site repeats, and who links to whom."""

from __future__ import annotations

import numpy as np

from gristmill.data.dedup.exact import first_with, keep_order, kept_of_group, text_digest
from gristmill.data.dedup.lines import SiteLines, remove_lines
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


def site_lines(pages: list[tuple[str, str]], share: float = 0.5, min_pages: int = 3):  # type: ignore[no-untyped-def]
    counts = SiteLines()
    for host, text in pages:
        counts.add(host, text_digest(text), text)
    return counts.repeated(share=share, min_pages=min_pages)


def test_lines_on_many_pages_of_one_site_are_found() -> None:
    footer = "All rights reserved by nobody"
    pages = [("a.example", f"Story {'abcdefgh'[i]} in full\n}}\n{footer}") for i in range(6)]
    pages += [("b.example", f"{footer}\nOther {'stuvwxyz'[i]} story") for i in range(2)]
    pages += [("", f"{footer}\nImported text {'ijklmnop'[i]}") for i in range(8)]
    found = site_lines(pages)
    # b has too few pages, imported files have no site, a brace has no letters.
    assert set(found) == {"a.example"} and len(found["a.example"]) == 1
    gone: list[str] = []
    text = remove_lines(pages[0][1] + "  \n\nend", found["a.example"], gone.append)
    assert gone == [footer]
    assert text == "Story a in full\n}\n\nend"
    assert remove_lines("nothing of the kind", found["a.example"]) is None
    assert remove_lines(footer, found["a.example"]) == ""


def test_one_page_under_many_addresses_keeps_its_lines() -> None:
    same = [("a.example", "The very same page\nwith two long lines")] * 20
    other = [("a.example", f"Another page, number {'klmnopqr'[i]}") for i in range(8)]
    assert site_lines([*same, *other]) == {}


def test_blank_lines_do_not_pile_up() -> None:
    found = site_lines([("a.example", f"x {i}\nShare this article") for i in "abcdef"])
    text = "first\n\nShare this article\n\nsecond\n\n\nthird"
    assert remove_lines(text, found["a.example"]) == "first\n\nsecond\n\n\nthird"
