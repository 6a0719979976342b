"""A page beside its text: every block once, in page order, with what was decided and why."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.extract.explain import Explanation, PageBlock, explain_html
from gristmill.data.extract.looking import PageAt, explain_pages, from_crawl, from_file, sample
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page
from gristmill.data.extract.record import Record
from gristmill.data.extract.stored import StoredPage
from gristmill.data.warc.writer import record_bytes

sys.path.insert(0, str(Path(__file__).parent))
import extract_bombs as bombs
from mutated_pages import article, mutated

URL = "http://a.example/page"
LONG = (
    "A sentence that is long enough to count as running text, and then somewhat longer than that."
)
PAGE = f"""<!doctype html><html lang="en"><head><title>On mills</title></head><body>
<nav class="top-menu"><ul><li><a href="/">Home</a></li><li><a href="/all">All pages</a></li>
</ul></nav><div id="page"><main><h1>On mills</h1><p class="byline">By a miller</p>
<p>{LONG} One.</p><p>{LONG} Two<sup><a href="#n1">[1]</a></sup>.</p>
<div class="newsletter-signup"><p>{LONG} Sign up.</p></div>
<ul><li>Wind</li><li>Water</li></ul>
<table><tr><th>Kind</th><th>Power</th></tr><tr><td>Tower</td><td>40</td></tr></table>
<pre>grind(
    grain)</pre>
<p style="display:none">{LONG} Hidden.</p>
<p>{LONG} Three.</p>
<p><a href="/x">Only a link and nothing else here</a></p>
<h2>See also</h2><ul><li><a href="/bread">Bread</a></li></ul></main>
<button>Press</button><script>var x = 1;</script></div>
<footer><p>Imprint and privacy</p></footer></body></html>""".encode()


def blocks(found: Explanation) -> dict[str, PageBlock]:
    return {block.text.split("\n")[0][-30:]: block for block in found.blocks}


def test_every_block_has_its_reason_in_page_order() -> None:
    found = explain_html(PAGE, URL)
    assert [(block.text[-12:], block.kept, block.kind) for block in found.blocks] == [
        ("Home", False, "navigation"),
        ("All pages", False, "navigation"),
        ("On mills", False, "title"),
        ("By a miller", False, "byline"),
        ("n that. One.", True, "paragraph"),
        ("n that. Two.", True, "paragraph"),
        ("[1]", False, "footnote mark"),
        ("at. Sign up.", False, "sign-up"),
        ("Wind", True, "list item"),
        ("Water", True, "list item"),
        ("Kind", True, "table cell"),
        ("Power", True, "table cell"),
        ("Tower", True, "table cell"),
        ("40", True, "table cell"),
        ("(\n    grain)", True, "code"),
        ("hat. Hidden.", False, "hidden"),
        ("that. Three.", True, "paragraph"),
        ("ng else here", False, "mostly links"),
        ("See also", False, "closing section"),
        ("Bread", False, "closing section"),
        ("Press", False, "control or picture"),
        (" and privacy", False, "furniture"),
    ]
    assert found.unread == {"script": 1} and found.main == "body > div[page] > main"


def test_a_reason_names_what_decided() -> None:
    found = blocks(explain_html(PAGE, URL))
    assert found["Home"].reason == 'navigation: <nav> named "top-menu"'
    assert found["Home"].path == "body > nav[top-menu] > ul > li"
    assert found["Bread"].reason == 'below the heading "See also"'
    link = found["y a link and nothing else here"]
    assert link.reason == "mostly a link: 33 of 33 characters"
    assert (link.characters, link.link_characters) == (33, 33)
    assert link.worth is not None and link.worth < 0 and link.piece == -1
    assert found["Press"].reason == "a control or a picture: <button>"


@pytest.mark.parametrize("markdown", [False, True])
def test_pieces_are_the_text_and_lead_back_to_blocks(markdown: bool) -> None:
    found = explain_html(PAGE, URL, options=ExtractOptions(markdown=markdown))
    extracted = extract_page(PAGE, URL, options=ExtractOptions(markdown=markdown))
    assert isinstance(extracted, ExtractedPage)
    assert "".join(found.pieces) == found.text == extracted.text
    for block in found.blocks:
        if block.kept:
            first = block.text.split("\n")[0]
            assert first in found.pieces[block.piece], block
    cells = [block.piece for block in found.blocks if block.kind == "table cell"]
    assert cells[0] == cells[1] < cells[2] == cells[3], "a row is one piece"


def test_asking_changes_nothing_and_explains_whatever_comes() -> None:
    pages = [("text/html", article(0)), *mutated(3, 120)]
    told = 0
    for content_type, body in pages:
        options = ExtractOptions(markdown=True)
        plain = extract_page(body, URL, content_type, options)
        assert extract_page(body, URL, content_type, options, Record()) == plain
        found = explain_html(body, URL, content_type, options)
        assert bool(found.rejected) == (not isinstance(plain, ExtractedPage))
        if isinstance(plain, ExtractedPage):
            told += 1
            assert "".join(found.pieces) == plain.text
            assert all(block.kind and block.reason and block.path for block in found.blocks)
            assert any(block.kept for block in found.blocks)
    assert told > 70


def test_rejected_pages_say_why() -> None:
    assert explain_html(bombs.deep(60_000), URL).rejected == "too deep"
    noindex = b"<meta name=robots content=noindex><p>" + LONG.encode()
    assert explain_html(noindex, URL).rejected == "noindex"
    menu = b"<nav><a href=/>Home</a></nav>"
    found = explain_html(menu, URL)
    assert found.rejected == "no main text"
    assert [(block.text, block.kind) for block in found.blocks] == [("Home", "navigation")]


def test_sums_by_reason_count_every_block_once() -> None:
    found = explain_html(PAGE, URL)
    rows = found.reasons()
    assert sum(row[2] for row in rows) == len(found.blocks)
    assert sum(row[3] for row in rows) == found.characters
    assert found.kept_share == found.kept_characters / found.characters
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    as_json = found.to_json()
    assert as_json["blocks"][0]["reason"] and as_json["kept_share"] == round(found.kept_share, 4)


def write_warc(path: Path, pages: list[tuple[str, bytes]]) -> list[StoredPage]:
    rows, offset = [], 0
    with open(path, "wb") as file:
        for url, body in pages:
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
            record = record_bytes("response", block, date="2026-01-02T03:04:05Z", target_uri=url)
            member = gzip.compress(record)
            file.write(member)
            rows.append(StoredPage(url, 200, "text/html", path.name, offset))
            offset += len(member)
    return rows


def explain_one(page: PageAt) -> Explanation:
    (found,) = explain_pages([page], ExtractOptions())
    return found


def test_pages_are_found_in_files_warcs_and_crawls(tmp_path: Path) -> None:
    rows = write_warc(
        tmp_path / "a.warc.gz", [(f"http://a.example/{i}", article(i)) for i in range(3)]
    )
    warc = tmp_path / "a.warc.gz"
    (tmp_path / "b.html.gz").write_bytes(gzip.compress(article(7)))
    (tmp_path / "c.html").write_bytes(article(8))
    found = [
        from_file(warc),
        from_file(warc, url="http://a.example/1"),
        from_file(warc, offset=rows[2].offset),
        from_crawl(rows, tmp_path, "http://a.example/1"),
        from_file(tmp_path / "b.html.gz"),
        from_file(tmp_path / "c.html"),
        PageAt("", body=article(9)),
    ]
    titles = [one.title for one in explain_pages(found, ExtractOptions())]
    assert titles == ["Page 0", "Page 1", "Page 2", "Page 1", "Page 7", "Page 8", "Page 9"]
    with pytest.raises(GristmillError, match=r"did you mean .http://a\.example/1"):
        from_crawl(rows[1:2], tmp_path, "http://a.example/l")
    with pytest.raises(GristmillError, match="holds no page"):
        from_file(warc, url="http://b.example/")
    (tmp_path / "d.warc.gz").write_bytes(warc.read_bytes()[:200])
    broken = PageAt(URL, tmp_path / "d.warc.gz", StoredPage(URL, 200, None, "d.warc.gz", 0))
    assert explain_one(broken).rejected == "damaged record"
    missing = PageAt(URL, tmp_path / "no.html")
    assert "cannot be read" in explain_one(missing).rejected


def test_a_page_that_hangs_is_told_and_not_waited_for() -> None:
    pages = [PageAt(URL, body=bombs.options(150_000)), PageAt(URL, body=article(1))]
    slow, sound = explain_pages(pages, ExtractOptions(), seconds=1.0)
    assert slow.rejected.startswith("time: over") and sound.title == "Page 1"


def test_a_sample_is_seeded_and_ranked(tmp_path: Path) -> None:
    short = b"<p>" + LONG.encode() + b"</p>"
    menus = b"<nav><a href=/>" + b"Home and more " * 8 + b"</a></nav>"
    pages = [(f"http://a.example/{i:02}", menus * i + short) for i in range(12)]
    pages.append(("http://a.example/empty", menus))
    rows = write_warc(tmp_path / "a.warc.gz", pages)

    def urls(**how: object) -> list[str]:
        found = sample(lambda: rows, tmp_path, 4, ExtractOptions(), **how)  # type: ignore[arg-type]
        return [one.url[-2:] for one in found]

    assert urls(seed=1) == urls(seed=1, workers=2)
    assert urls(seed=1) != urls(seed=2)
    assert urls(order="least") == ["11", "10", "09", "08"]
    assert urls(order="most", workers=2) == ["00", "01", "02", "03"]
