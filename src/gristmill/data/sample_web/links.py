"""How the pages hang together: listings, related pages, links outward, redirects, robots, sitemaps.

Every page can be reached from the seeds, also the forbidden ones: that is what tempts a crawler.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from html import escape

from gristmill.data.sample_web.articles import Writer
from gristmill.data.sample_web.page import Page
from gristmill.data.sample_web.sites import (
    ADULT,
    BLOCKED,
    DIRECTORY,
    ENCYCLOPAEDIA,
    GOOD,
    RESERVED,
    RESERVED_OPEN,
    SPAMMERS,
)

SEEDS = [f"http://{ENCYCLOPAEDIA}/", f"http://{DIRECTORY}/"]
_PER_LISTING = 60

_ROBOTS = {
    ENCYCLOPAEDIA: "User-agent: BadBot\nDisallow: /\n\nUser-agent: *\nDisallow: /drafts/\n"
    "Allow: /drafts/published/\n",
    "oldscience.example": "User-agent: *\nDisallow: /cgi-bin/\n",
    "members.example": "# Members only\nUser-agent: *\nDisallow: /\n",
    "kiosk.example": "User-agent: *\nDisallow: /*?preview=\n",
    "textarchive.example": "User-agent: OldBot\nDisallow: /\n",
}
_WITH_SITEMAP = (
    ENCYCLOPAEDIA, "atlas.example", "lives.example", "coursebook.example", "kiosk.example",
    "encyclopedie.example",
)  # fmt: skip


def connect(writer: Writer, pages: Sequence[Page], redirects: int, dead: int) -> list[Page]:
    """All pages with their links, and the pages that only serve to connect them.

    redirects: how many addresses lead elsewhere. dead: how many links lead to nothing.
    """
    by_host: dict[str, list[Page]] = defaultdict(list)
    for page in sorted(pages, key=lambda page: page.url):
        by_host[page.host].append(page)
    r = writer.rng("links")
    for host in writer.sites:
        _relate(by_host[host], writer.rng("related", host))
    _link_outward(by_host, r)
    _link_spam(by_host, r)
    moved = _redirects(by_host, redirects, r)
    listings = [page for host in writer.sites for page in _listings(writer, host, by_host[host])]
    fronts = {page.host: page for page in listings if page.path == "/"}
    for page in moved:
        fronts[page.host].links.append((page.path, "old address"))
    for i in range(dead):
        host = GOOD[i % len(GOOD)]
        fronts[host].links.append((f"/lost/{i}.html", "an older page"))
    directory = fronts[DIRECTORY]
    directory.links += [
        (f"http://{site.host}/", site.name)
        for site in writer.sites.values()
        if site.host != DIRECTORY
    ]
    files = [_file(host) for host in GOOD[:6]]
    for page in files:
        fronts[page.host].links.append((page.path, "Year report (PDF)"))
    result = [*pages, *moved, *listings, *files]
    return [*result, *_robots(writer, by_host), _reservation()]


def _relate(pages: list[Page], r: random.Random) -> None:
    """Each page of a site gets a few others of its kind, of its topic where there are enough."""
    groups: dict[tuple[str, str], list[Page]] = defaultdict(list)
    for page in pages:
        if page.kind in ("article", "shop", "farm", "spam", "adult") and not page.forbidden:
            topic = page.article.topic if page.article else ""
            groups[page.kind, topic].append(page)
    for group in groups.values():
        for page in group:
            chosen = r.sample(group, min(len(group), r.randint(4, 8)))
            page.related = [other for other in chosen if other is not page]


def _link_outward(by_host: dict[str, list[Page]], r: random.Random) -> None:
    """The encyclopaedia links to three in four of the good pages elsewhere; a few links rot."""
    good = [
        page
        for host in GOOD
        if host != ENCYCLOPAEDIA
        for page in by_host[host]
        if page.kind == "article" and page.language == "en" and page.quality == "good"
    ]
    sources: dict[str, list[Page]] = defaultdict(list)
    everything = [p for p in by_host[ENCYCLOPAEDIA] if p.kind == "article" and not p.forbidden]
    for page in everything:
        assert page.article is not None
        sources[page.article.topic].append(page)
    for page in good:
        if r.random() < 0.75:
            assert page.article is not None
            near = sources[page.article.topic] or everything
            source = r.choice(near)
            source.links.append((page.url, f"{page.title} ({page.host})"))
            page.linked = True
    for page in everything:
        draw = r.random()
        if draw < 0.02:
            host = r.choice(GOOD[1:])
            page.links.append(
                (f"http://{host}/gone/{page.path.rsplit('/', 1)[1]}", "Archived note")
            )
        elif draw < 0.03 and by_host["click4facts.example"]:
            # Even editors fall for a list now and then.
            bad = r.choice(by_host["click4facts.example"])
            page.links.append((bad.url, bad.title))
    for host, pages in by_host.items():
        open_pages = [p for p in pages if p.kind == "article" and not p.forbidden]
        for page in pages:
            if page.forbidden and open_pages:
                r.choice(open_pages).links.append((page.path, f"Working copy: {page.title}"))
                assert host == page.host


def _link_spam(by_host: dict[str, list[Page]], r: random.Random) -> None:
    """Spam borrows standing from the encyclopaedia; comments on the forum advertise spam."""
    trusted = [p for p in by_host[ENCYCLOPAEDIA] if p.kind == "article" and not p.forbidden]
    for host in (*SPAMMERS, *ADULT, *BLOCKED):
        for page in by_host[host]:
            chosen = r.sample(trusted, min(3, len(trusted)))
            page.links += [(target.url, target.title) for target in chosen]
            other = r.choice(SPAMMERS)
            page.links.append((f"http://{other}/", "partner site"))
    for page in by_host["talk.example"]:
        if r.random() < 0.3:
            host = r.choice((*SPAMMERS, *ADULT, *BLOCKED))
            page.links.append((f"http://{host}/", "check this out"))


def _redirects(by_host: dict[str, list[Page]], count: int, r: random.Random) -> list[Page]:
    """Old addresses: relative, across hosts, in chains, in a loop, into what is closed."""

    def move(host: str, path: str, status: int, location: str) -> Page:
        return Page(
            host, path, "redirect", "Moved", status=status, location=location, language=None
        )

    targets = [p for p in by_host[ENCYCLOPAEDIA] if p.kind == "article"]
    open_targets = [p for p in targets if not p.forbidden]
    closed = [p for p in targets if p.forbidden]
    moved = []
    for i in range(max(count, 8)):
        target = r.choice(open_targets)
        status = (301, 302, 307, 308)[i % 4]
        if i % 8 == 5 and closed:
            moved.append(move(ENCYCLOPAEDIA, f"/old/{i}", status, r.choice(closed).url))
        elif i % 8 == 3:
            moved.append(move("museum.example", f"/go/{i}", status, target.url))
        elif i % 8 == 6:
            moved.append(move(ENCYCLOPAEDIA, f"/old/{i}", status, f"/older/{i}"))
            moved.append(move(ENCYCLOPAEDIA, f"/older/{i}", 301, target.path))
        else:
            moved.append(move(ENCYCLOPAEDIA, f"/old/{i}", status, target.path))
    moved.append(move("attic.example", "/round/1", 302, "/round/2"))
    moved.append(move("attic.example", "/round/2", 302, "/round/1"))
    moved.append(move("attic.example", "/away", 301, "http://not-there.example.invalid/"))
    return moved


def _listings(writer: Writer, host: str, pages: list[Page]) -> list[Page]:
    """A front page and numbered lists that name every page of the site."""
    site = writer.sites[host]

    def listing(path: str, title: str) -> Page:
        page = Page(host, path, "listing", title, language=None, quality="poor")
        page.forbidden = site.robots is None or host == "members.example"
        return page

    front = listing("/", site.name)
    entries = sorted(
        (page for page in pages if page.kind != "boilerplate"), key=lambda p: (p.title, p.path)
    )
    result = [front]
    w = site.words
    last = (len(entries) - 1) // _PER_LISTING
    for start in range(0, len(entries), _PER_LISTING):
        group = entries[start : start + _PER_LISTING]
        number = start // _PER_LISTING
        path = "/topics" if number == 0 else f"/topics?page={number + 1}"
        page = listing(path, f"{group[0].title[:24]} – {group[-1].title[:24]}")
        page.links = [(other.path, other.title) for other in group]
        if number < last:
            page.links.append((f"/topics?page={number + 2}", ">>"))
        front.links.append((path, page.title))
        result.append(page)
    site.menu = [("/", w["home"])]
    if entries:
        site.menu.append(("/topics", w["contents"]))
    others = [page for page in pages if page.kind == "boilerplate"]
    site.menu += [(page.path, page.title) for page in others[:4]]
    site.menu += [("#search", w["search"]), ("#contact", w["contact"])]
    front.links += [(page.path, page.title) for page in others]
    return result


def _file(host: str) -> Page:
    return Page(
        host, "/files/report.pdf", "file", "Year report", language=None,
        content_type="application/pdf", body=b"%PDF-1.4\n% not a page\n%%EOF\n",
    )  # fmt: skip


def _reservation() -> Page:
    """The file by which a host reserves its rights (TDM Reservation Protocol)."""
    rules = [
        {"location": "/", "tdm-reservation": 1},
        {"location": f"{RESERVED_OPEN}*", "tdm-reservation": 0},
    ]
    return Page(
        RESERVED, "/.well-known/tdmrep.json", "robots", "", language=None,
        content_type="application/json", body=json.dumps(rules).encode(),
    )  # fmt: skip


def _robots(writer: Writer, by_host: dict[str, list[Page]]) -> list[Page]:
    """robots.txt where a site has one, and sitemaps, which also name what robots.txt forbids."""
    result = []
    for host, site in writer.sites.items():
        rules = _ROBOTS.get(host)
        if site.robots is None:
            result.append(
                Page(host, "/robots.txt", "robots", "", status=503, language=None,
                     content_type="text/plain")
            )  # fmt: skip
            continue
        if host in _WITH_SITEMAP:
            rules = (
                rules or "User-agent: *\nDisallow:\n"
            ) + f"\nSitemap: http://{host}/sitemap.xml\n"
            urls = [page.url for page in by_host[host] if page.kind == "article"]
            lines = "\n".join(f"<url><loc>{escape(url)}</loc></url>" for url in urls)
            body = (
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
                f"{lines}\n</urlset>\n"
            )
            result.append(
                Page(host, "/sitemap.xml", "robots", "", language=None,
                     content_type="application/xml", body=body.encode())
            )  # fmt: skip
        if rules:
            result.append(
                Page(host, "/robots.txt", "robots", "", language=None,
                     content_type="text/plain; charset=utf-8", body=rules.encode())
            )  # fmt: skip
    return result
