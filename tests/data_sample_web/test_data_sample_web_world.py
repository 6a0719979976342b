"""The generated web: complete, connected, true to its texts, and the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urljoin

import pyarrow.parquet as pq
from protego import Protego
from selectolax.lexbor import LexborHTMLParser

from gristmill.core.canonical import read_json
from gristmill.data.sample_web.links import SEEDS
from gristmill.data.sample_web.world import Counts, World, build
from gristmill.data.sample_web.write import write_world
from gristmill.data.wheel import WIKI_SUMMARIES

KINDS = {"article", "listing", "boilerplate", "spam", "adult", "forum", "shop", "farm", "notice"}


def spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_same_seed_same_web(wheel_file: Path, world: World) -> None:
    again = build(wheel_file, 0.02, 7)
    assert [(p.url, p.body) for p in again.pages] == [(p.url, p.body) for p in world.pages]
    other = build(wheel_file, 0.02, 8)
    assert [(p.url, p.body) for p in other.pages] != [(p.url, p.body) for p in world.pages]


def test_every_kind_is_there_once_per_address(world: World) -> None:
    assert {page.kind for page in world.pages} >= KINDS
    assert max(Counter(page.url for page in world.pages).values()) == 1
    originals = [p for p in world.pages if p.kind == "article" and p.quality == "good"]
    english = [p for p in originals if p.language == "en"]
    assert len({p.near for p in english}) == len(english) == round(Counts().articles * 0.02)
    assert any(p.forbidden for p in world.pages)
    assert any(p.linked for p in world.pages) and any(p.personal for p in world.pages)


def test_the_words_of_the_main_text_stand_on_the_page(world: World) -> None:
    checked = 0
    for page in world.pages:
        if page.kind in ("article", "notice", "forum", "shop", "farm", "spam", "adult"):
            html = page.body.decode(next(s.charset for s in world.sites if s.host == page.host))
            tree = LexborHTMLParser(html)
            for mark in tree.css("sup.reference, .edit-section"):
                mark.decompose()
            assert tree.body is not None
            text = spaced(tree.body.text())
            for block in page.blocks:
                if block.kind == "table":
                    cells = block.text.replace("\t", "\n").split("\n")
                    assert all(cell in text for cell in cells), page.url
                else:
                    assert spaced(block.text) in text, page.url
                checked += 1
    assert checked > 400
    assert any(b"<a href" in p.body.split(b'id="text"')[-1][:3000] for p in world.pages)


def test_robots_say_what_truth_says(world: World) -> None:
    files = {p.host: p for p in world.pages if p.path == "/robots.txt"}
    rules = {h: Protego.parse(p.body.decode()) for h, p in files.items() if p.status == 200}
    unreachable = {host for host, page in files.items() if page.status >= 500}
    assert unreachable == {"maintenance.example"}
    for page in world.pages:
        if page.kind in KINDS:
            closed = page.host in unreachable or (
                page.host in rules and not rules[page.host].can_fetch(page.url, "gristmill")
            )
            assert closed == page.forbidden, page.url


def test_every_page_is_reached_through_allowed_pages(world: World) -> None:
    pages = {page.url: page for page in world.pages}
    seen = set(SEEDS)
    queue = list(SEEDS)
    while queue:
        page = pages.get(queue.pop())
        if page is None or page.forbidden:
            continue
        found = [page.location] if page.location else []
        if page.content_type.startswith("text/html"):
            tree = LexborHTMLParser(page.body.decode("latin-1"))
            found = [*found, *(node.attributes["href"] for node in tree.css("a[href]"))]
        for href in found:
            url = urljoin(page.url, href or "").partition("#")[0]
            if url not in seen:
                seen.add(url)
                queue.append(url)
    missing = [p.url for p in world.pages if p.kind in KINDS and p.url not in seen]
    assert missing == [u for u in missing if "maintenance" in u or "members" in u]
    assert all(pages[u].forbidden for u in missing)
    assert any(url not in pages for url in seen), "some links must lead nowhere"


def test_copies_are_what_truth_says(world: World, tmp_path: Path) -> None:
    write_world(world, tmp_path, WIKI_SUMMARIES)
    truth = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    groups = defaultdict(list)
    for row in truth:
        if row["main_text"]:
            groups[row["exact_group"]].append(row)
    for rows in groups.values():
        assert len({" ".join(row["main_text"].split()) for row in rows}) == 1
    by_url = {row["url"]: row for row in truth}
    exact = [row for row in truth if row["edit"] == "exact"]
    assert exact and all(len(groups[row["exact_group"]]) > 1 for row in exact)
    near = [row for row in truth if row["edit"] not in (None, "exact")]
    assert {row["edit"] for row in near} >= {"added", "dropped"}
    originals = {row["near_group"]: row for row in truth if row["quality"] == "good"}
    for row in near:
        words = set(row["main_text"].split())
        original = set(originals[row["near_group"]]["main_text"].split())
        assert words != original
        assert len(words & original) / len(words | original) > 0.4
    for row in truth:
        assert all(span["value"] in row["main_text"] for span in row["personal_data"])
    assert by_url["http://members.example/"]["forbidden"]
    web = read_json(tmp_path / "web.json")
    assert set(web["seeds"]) <= set(by_url)
    assert "CC BY-SA" in web["attribution"]["licence"]
    assert (tmp_path / "blocklist" / "gambling" / "domains").read_text().splitlines()
    assert len((tmp_path / "words.txt").read_text().split()) > 40


def test_what_a_page_shows_of_topic_and_description(world: World) -> None:
    shown = [p for p in world.pages if p.article and p.shown_topic]
    assert shown and not any(p.shown_topic == "Uncategorized" for p in shown)
    for page in world.pages:
        if page.kind == "article" and page.host == "kiosk.example" and page.shown_description:
            assert page.shown_description.encode() in page.body
    # The Home link of a breadcrumb is there only with a topic.
    bare = [p for p in world.pages if p.host == "encyclopaedia.example" and not p.shown_topic]
    assert not any(b'class="breadcrumbs"' in p.body for p in bare)
