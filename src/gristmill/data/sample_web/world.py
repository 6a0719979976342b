"""The whole web: pages of every kind in their numbers, the links between them, and their HTML."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.core.progress import progress
from gristmill.core.seeds import derive_seed
from gristmill.data.sample_web import invented, links, personal, poor
from gristmill.data.sample_web.articles import Writer, add_paragraph, add_personal
from gristmill.data.sample_web.designs_lively import DESIGNS, broken
from gristmill.data.sample_web.page import Page, Places
from gristmill.data.sample_web.parts import Site
from gristmill.data.sample_web.sites import (
    BLOCKED,
    COPYISTS,
    ENCYCLOPAEDIA,
    GOOD,
    MIRRORS,
    OPTED_OUT,
    RESERVED,
    RESERVED_OPEN,
    SITES,
)
from gristmill.data.sample_web.texts import Article, Mentions, load_articles, sentences


@dataclass(frozen=True)
class Counts:
    """How many pages of each kind at scale 1; `articles` is an upper bound."""

    articles: int = 10_033
    exact_copies: int = 600
    near_copies: int = 800
    french: int = 500
    spanish: int = 500
    personal_data: int = 180
    near_misses: int = 250
    honest_mentions: int = 40
    notices: int = 160
    spam: int = 400
    boilerplate: int = 250
    adult: int = 120
    forbidden: int = 300
    threads: int = 250
    goods: int = 250
    lists: int = 200
    blocklisted: int = 130
    opted_out: int = 120
    redirects: int = 150
    dead: int = 100

    def scaled(self, scale: float) -> Counts:
        """Every number times `scale`, at least 4."""
        values = {name: max(4, round(value * scale)) for name, value in vars(self).items()}
        return replace(self, **values)


@dataclass(frozen=True)
class World:
    """Everything there is: sites, pages with their HTML, in the order of their addresses."""

    sites: list[Site]
    pages: list[Page]
    seeds: list[str]


def build(wheel_file: Path, scale: float, seed: int) -> World:
    """The web at `scale` (1 is about 14,500 pages), the same for the same seed."""
    counts = Counts().scaled(scale)
    sites = [replace(site, menu=[]) for site in SITES]
    writer = Writer(sites, seed)
    english = _choose(load_articles(wheel_file, "en", seed), counts.articles, 1, writer)
    french = _choose(load_articles(wheel_file, "fr", seed), counts.french, 25, writer)
    spanish = _choose(load_articles(wheel_file, "es", seed), counts.spanish, 25, writer)
    originals = [writer.original(article) for article in english]
    foreign = [writer.original(article) for article in french + spanish]
    plain = _annotate(originals, counts, writer)
    exact, near = _copies(plain, counts, writer)
    forbidden = _forbidden(plain, counts, writer)
    invented_pages = _invented(english, counts, writer)
    pages = [*originals, *foreign, *exact, *near, *forbidden, *invented_pages]
    pages += _blocklisted(plain, english, counts, writer)
    pages += _opted_out(plain, counts, writer)
    mentions = Mentions(english)
    for site in sites:
        mine = [p for p in pages if p.host == site.host and p.article and not p.forbidden]
        site.places = Places(mentions, {page.title: page.path for page in mine})
    pages = links.connect(writer, pages, counts.redirects, counts.dead)
    for page in pages:
        # The host's file speaks of its lists as well.
        if page.host == RESERVED and not page.path.startswith(RESERVED_OPEN):
            page.opt_out = "tdm-reservation"
    _render(writer, pages)
    pages.sort(key=lambda page: (page.host, page.path))
    return World(sites, pages, links.SEEDS)


def _choose(articles: list[Article], count: int, words: int, writer: Writer) -> list[Article]:
    """`count` articles of at least so many words, in the order of their titles."""
    enough = [article for article in articles if article.words >= words]
    if count >= len(enough):
        return enough
    r = writer.rng("choose", enough[0].language)
    return [enough[i] for i in sorted(r.sample(range(len(enough)), count))]


def _annotate(originals: Sequence[Page], counts: Counts, writer: Writer) -> list[Page]:
    """Adds sentences to some of the pages; returns those that were left alone."""
    order = list(originals)
    r = writer.rng("annotate")
    r.shuffle(order)
    # Look-alikes first, so that enough of the honest mentions stand on medical pages.
    mentions = sorted(order, key=lambda page: not page.lookalike)[: counts.honest_mentions]
    for page in mentions:
        add_paragraph(page, invented.honest_mention(r))
        page.lookalike = True
    chosen = {page.url for page in mentions}
    rest = [page for page in order if page.url not in chosen]
    first, second = counts.personal_data, counts.near_misses
    for page in rest[:first]:
        add_personal(page, r)
    for page in rest[first : first + second]:
        add_paragraph(page, personal.near_miss(r))
    return rest[first + second :]


def _copies(
    sources: Sequence[Page], counts: Counts, writer: Writer
) -> tuple[list[Page], list[Page]]:
    r = writer.rng("copies")
    exact = [
        writer.copy(page, MIRRORS[i % len(MIRRORS)])
        for i, page in enumerate(_sample(sources, counts.exact_copies * 5 // 6, r))
    ]
    magazine = [page for page in sources if page.host == "lives.example"]
    for page in _sample(magazine, counts.exact_copies // 6, r):
        print_version = writer.copy(page, page.host, "/print/story/{slug}.html")
        page.links.append((print_version.path, "Print version"))
        exact.append(print_version)
    # In a very short text one changed sentence leaves no near copy.
    long = [page for page in sources if len(page.main_text.split()) >= 70 and _sentences(page) >= 4]
    near = [
        writer.near_copy(page, COPYISTS[i % len(COPYISTS)])
        for i, page in enumerate(_sample(long, counts.near_copies * 9 // 10, r))
    ]
    # Some texts are copied again and again.
    near += [
        writer.near_copy(page, COPYISTS[(i + 1) % len(COPYISTS)], "/again/{slug}")
        for i, page in enumerate(_sample(long, counts.near_copies // 10, r))
    ]
    return exact, near


def _sentences(page: Page) -> int:
    return sum(len(sentences(block.text)) for block in page.blocks if block.kind == "p")


def _sample(pages: Sequence[Page], count: int, r: random.Random) -> list[Page]:
    return r.sample(list(pages), min(count, len(pages)))


def _forbidden(sources: Sequence[Page], counts: Counts, writer: Writer) -> list[Page]:
    """Near copies in places that robots.txt forbids."""
    r = writer.rng("forbidden")
    places = (
        [(ENCYCLOPAEDIA, "/drafts/{slug}")] * 5
        + [("oldscience.example", "/cgi-bin/show?id={slug}")] * 2
        + [("members.example", "/area/{slug}")] * 2
        + [("kiosk.example", "/read/{slug}?preview=1")] * 1
    )
    pages = []
    for i, source in enumerate(_sample(sources, counts.forbidden * 19 // 20, r)):
        host, pattern = places[i % len(places)]
        pages.append(writer.near_copy(source, host, pattern))
    for source in _sample(sources, counts.forbidden // 20 + 1, r):
        pages.append(writer.near_copy(source, "maintenance.example", "/{slug}"))
    for page in pages:
        page.forbidden = True
    return pages


def _invented(english: Sequence[Article], counts: Counts, writer: Writer) -> list[Page]:
    titles = [article.title for article in english if len(article.title) < 30]
    vocabulary = [
        word
        for article in english[:200]
        for word in article.paragraphs[0].split()
        if len(word) > 4 and word.isalpha()
    ]
    hosts = [
        *GOOD,
        "wikimirror.example",
        "freeanswers.example",
        "talk.example",
        "postershop.example",
    ]
    return [
        *poor.threads(writer, counts.threads, titles),
        *poor.goods(writer, counts.goods, titles),
        *poor.lists(writer, counts.lists, "click4facts.example", titles),
        *poor.spam(writer, counts.spam, vocabulary),
        *poor.adult(writer, counts.adult),
        *poor.boilerplate(writer, counts.boilerplate, hosts),
        *poor.notices(writer, counts.notices),
    ]


def _blocklisted(
    sources: Sequence[Page], english: Sequence[Article], counts: Counts, writer: Writer
) -> list[Page]:
    """Pages that only their host gives away: half of them hold honest text."""
    r = writer.rng("blocklisted")
    titles = [article.title for article in english if len(article.title) < 30]
    half = counts.blocklisted // 2
    pages = [
        writer.near_copy(page, BLOCKED[1 + i % 2])
        for i, page in enumerate(_sample(sources, half, r))
    ]
    pages += poor.lists(writer, counts.blocklisted - half, BLOCKED[0], titles)
    return pages


def _opted_out(sources: Sequence[Page], counts: Counts, writer: Writer) -> list[Page]:
    """Near copies that are not to be trained on: the page says so, its answer's header, or its
    host; a few that the host leaves open."""
    # Copies of what the encyclopaedia has, of which it is the original that is learnt from.
    r = writer.rng("opted out")
    known = [page for page in sources if page.host == ENCYCLOPAEDIA]
    pages = []
    for i, source in enumerate(_sample(known, counts.opted_out, r)):
        way = i % 4
        if way < 2:
            page = writer.near_copy(source, OPTED_OUT)
            page.opt_out = "noai, noimageai" if i % 8 < 4 else "noai"
            if way:
                page.robots_header = page.opt_out
            else:
                page.robots_meta = page.opt_out
        elif way == 2 or i % 12 > 3:
            page = writer.near_copy(source, RESERVED)
        else:
            page = writer.near_copy(source, RESERVED, RESERVED_OPEN + "{slug}")
        pages.append(page)
    return pages


def _render(writer: Writer, pages: Sequence[Page]) -> None:
    bar = progress("writing pages", len(pages), "pages")
    designs: dict[str, Callable[[Site, Page, random.Random], str]] = DESIGNS
    for page in _with_progress(pages, bar.advance):
        if page.status != 200 or page.body or page.kind == "robots":
            continue
        site = writer.sites[page.host]
        r = random.Random(derive_seed(writer.seed, "html", page.url))
        html = designs[site.design](site, page, r)
        if page.robots_meta:
            meta = f'<meta name="robots" content="{page.robots_meta}">'
            html = html.replace("<head>", f"<head>{meta}", 1)
        if site.broken or (site.host == "kiosk.example" and r.random() < 0.03):
            html = broken(html, r)
        page.body = html.encode(site.charset, "xmlcharrefreplace")
        if site.charset != "utf-8":
            # Only the page itself says how it is encoded.
            page.content_type = "text/html"
    bar.close()


def _with_progress(pages: Sequence[Page], advance: Callable[[float], None]) -> Iterator[Page]:
    for number, page in enumerate(pages):
        yield page
        if number % 200 == 199:
            advance(200)
    advance(len(pages) % 200)
