"""What a page says of itself: title, description, topic, date, language, licence, links."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser

from gristmill.data.extract.rules import MAX_SUBTITLE, Verdict
from gristmill.data.extract.scan import holds, places
from gristmill.data.extract.tags import KNOWN
from gristmill.data.extract.tree import Tree
from gristmill.data.licences import spdx_id

_META, _LINK, _TITLE, _BASE = (
    next(number for number, (tag, _) in KNOWN.items() if tag == name)
    for name in ("meta", "link", "title", "base")
)
_MAX_URL = 2000
_SEPARATORS = re.compile(r"\s+(?:[|–—·•»›:]|-|::)\s+")
_CRUMB_CUT = re.compile(r"\s*[›»>→/|•·\x1f⟩▸‣]+\s*")
_HOMES = frozenset(
    " ".join(name.split())
    for name in (
        "home|homepage|home page|start|startseite|hauptseite|main page|main|accueil|inicio|início|"
        "page d'accueil|página principal|pagina principal|portada|index|top|главная|ホーム|首页|"
        "you are here|docs|documentation"
    ).split("|")
)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_LD_DATE = re.compile(rb'"datePublished"\s*:\s*"([^"]{4,40})"')
_LICENCE_NAMES = ("dcterms.license", "dc.rights.license", "dc.rights", "dcterms.rights", "license")
_MAX_LD = 1 << 20
# Works that a page shows beside its own text.
_OTHER_WORKS = frozenset(("ImageObject", "VideoObject", "AudioObject", "MediaObject", "Dataset"))
_DATE_NAMES = (
    "article:published_time",
    "og:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dc.date.issued",
    "dcterms.created",
    "dcterms.date",
    "pubdate",
    "publishdate",
    "publish-date",
    "parsely-pub-date",
    "sailthru.date",
    "article.published",
)


@dataclass(slots=True)
class Head:
    """The `<head>`: meta values by lower-case name or property (the first counts), links."""

    title: str = ""
    language: str | None = None
    base: str | None = None
    licence: str | None = None
    meta: dict[str, str] = field(default_factory=dict)
    robots: list[str] = field(default_factory=list)

    @property
    def noindex(self) -> bool:
        """Whether a robots meta element asks not to be indexed."""
        robots = ",".join(self.robots).lower()
        return "noindex" in robots or "none" in re.split(r"[\s,]+", robots)


def read_head(parser: LexborHTMLParser) -> Head:
    """Visits the children of `<head>` once."""
    head = Head()
    root = parser.root
    if root is not None:
        lang = root.attributes.get("lang") or root.attributes.get("xml:lang")
        head.language = lang.strip()[:35] or None if lang else None
    found: Any = parser.head
    meta = head.meta
    for node in () if found is None else found.iter():
        number = node.tag_id
        if number == _META:
            attributes = node.attributes
            name = (
                attributes.get("name") or attributes.get("property") or attributes.get("itemprop")
            )
            content = attributes.get("content")
            if name and content:
                name = name.lower()
                meta.setdefault(name, content)
                if name == "robots":
                    head.robots.append(content)
        elif number == _LINK:
            rel = node.attrs.get("rel")
            if rel and "license" in rel.lower().split():
                head.licence = head.licence or node.attrs.get("href")
        elif number == _TITLE:
            head.title = head.title or _line(node.text())
        elif number == _BASE:
            head.base = head.base or node.attributes.get("href")
    return head


def page_title(head: Head, tree: Tree, host: str) -> str | None:
    """The headline that `<title>` or og:title repeats, else one of these without the site."""
    og = _line(head.meta.get("og:title", ""))
    site = _line(head.meta.get("og:site_name", "")).casefold()
    stated = [text.casefold() for text in (og, head.title) if text]
    headlines = [tree.blocks[i].text for i in tree.headlines]
    for h1 in headlines:
        folded = h1.casefold()
        if len(h1) < 300 and folded != site and any(folded in text for text in stated):
            return h1
    parts = [part for part in _SEPARATORS.split(og or head.title) if part]
    if len(parts) < 2:
        return og or head.title or (headlines[0] if headlines else None)
    # Which part is the page's and which the site's: a heading says so, else the usual order.
    named = {part.casefold(): part for part in parts}
    for block in tree.blocks:
        if block.tag in ("h1", "h2", "h3") and block.text.casefold() in named:
            return block.text
    if parts[0].casefold() == site or _is_site(parts[0], host):
        return parts[-1]
    return parts[0] if not og or parts[-1].casefold() == site else og


def page_description(head: Head, tree: Tree, verdict: Verdict, title: str | None) -> str | None:
    """The subtitle that is shown below the title, or the meta description where it is shown."""
    reasons = verdict.reasons
    if verdict.subtitle >= 0:
        element = tree.elements[verdict.subtitle]
        text = " ".join(block.text for block in tree.blocks[element.start : element.end])
        if text != title:
            return text
    meta = _line(head.meta.get("description") or head.meta.get("og:description") or "")
    if meta and len(meta) <= MAX_SUBTITLE and meta != title:
        folded = meta.casefold().rstrip(".")
        for i, block in enumerate(tree.blocks):
            # In the main text it is the first paragraph, and no description.
            text = block.text
            # Folding makes three signs of one at most.
            near = len(text) <= len(meta) + 1 and len(folded) <= 3 * len(text)
            if near and text.casefold().rstrip(".") == folded:
                return meta if reasons[i] else None
    return None


def page_topic(tree: Tree, title: str | None, host: str) -> str | None:
    """The last crumb of the breadcrumb that is neither the page's title nor the way home."""
    own = (title or "").casefold()
    for trail in tree.trails:
        crumbs = [_line(crumb).strip(":") for crumb in _CRUMB_CUT.split(trail)]
        crumbs = [crumb for crumb in crumbs if crumb]
        if crumbs and own and _same(crumbs[-1].casefold(), own):
            crumbs.pop()
        if crumbs and (crumbs[0].casefold() in _HOMES or _is_site(crumbs[0], host)):
            crumbs.pop(0)
        if crumbs and len(crumbs[-1]) <= 100:
            return crumbs[-1]
    return None


def page_date(head: Head, tree: Tree, html: bytes) -> str | None:
    """Date of publication as YYYY-MM-DD: meta elements, JSON-LD, the first `<time>`.

    html: the page in UTF-8.
    """
    for name in _DATE_NAMES:
        if found := _iso(head.meta.get(name)):
            return found
    at = min(places(html, b'"datePublished"', rare=2), default=-1)
    if at >= 0:
        match = _LD_DATE.search(html, at)
        if match and (found := _iso(match[1].decode("utf-8", "replace"))):
            return found
    for value in tree.times:
        if found := _iso(value):
            return found
    return None


def page_licence(head: Head, parser: LexborHTMLParser, html: bytes) -> str | None:
    """The SPDX id of the licence that the page states, else what it states, in one line.

    Read are rel=license, links to Creative Commons, schema.org in JSON-LD and microdata, Dublin
    Core. Footers, where licences stand, are not walked: the page is searched where it names one.
    html: the page in UTF-8.
    """
    stated = [head.licence or ""]
    named = ""
    if holds(html, b"creativecommons.org/", rare=11) or _names_licence(html):
        found = parser.css("a[rel~=license], [itemprop=license], a[href*='creativecommons.org/']")
        found.sort(key=lambda node: "license" not in (node.attributes.get("rel") or ""))
        for node in found:
            attributes = node.attributes
            stated.append(attributes.get("href") or attributes.get("content") or "")
        if b'"license"' in html and b"ld+json" in html:
            named = _json_ld_licence(parser)
            stated.append(named)
    stated += [head.meta.get(name, "") for name in _LICENCE_NAMES]
    for said in stated:
        if said and (known := spdx_id(said)):
            return known
    return next((_line(said)[:200] for said in stated if said.strip()), None)


def _names_licence(html: bytes) -> bool:
    """Whether `license` stands in an attribute that states one, or in JSON-LD."""
    for at in places(html, b"license"):
        before = html[max(0, at - 24) : at]
        if b"rel=" in before or b"itemprop=" in before:
            return True
        if html[at - 1 : at + 8] == b'"license"' and b"ld+json" in html:
            return True
    return False


def _json_ld_licence(parser: LexborHTMLParser) -> str:
    """The `license` of the page's own work in schema.org's JSON-LD; empty where none is stated."""
    for node in parser.css("script[type='application/ld+json']"):
        text = node.text()
        if '"license"' not in text or len(text) > _MAX_LD:
            continue
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            continue
        works = data if isinstance(data, list) else [data]
        works = [w for w in works if isinstance(w, dict)]
        works += [w for one in works for w in _listed(one.get("@graph")) if isinstance(w, dict)]
        for work in works:
            kinds = {str(kind) for kind in _listed(work.get("@type"))}
            licence = work.get("license")
            if isinstance(licence, dict):
                licence = licence.get("@id") or licence.get("url") or licence.get("name")
            if isinstance(licence, str) and licence.strip() and not kinds & _OTHER_WORKS:
                return licence
    return ""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def absolute_links(hrefs: list[str], base: str) -> list[str]:
    """http(s) URLs without fragments, each once, in order of appearance; `base` resolves them."""
    parts = urlsplit(base)
    scheme = f"{parts.scheme}:"
    origin = f"{parts.scheme}://{parts.netloc}"
    seen: dict[str, None] = {}
    for raw in hrefs:
        href = raw.strip()
        if not href or href[0] == "#" or len(href) > _MAX_URL:
            continue
        try:
            if href.startswith(("http://", "https://")):
                link = href
            elif href.startswith("//"):
                link = scheme + href
            elif href[0] == "/" and "/." not in href:
                link = origin + href
            else:
                link = urljoin(base, href)
        except ValueError:
            continue
        if not link.startswith(("http://", "https://")):
            continue
        cut = link.find("#")
        if cut >= 0:
            link = link[:cut]
        if link.isprintable() and " " not in link:
            seen[link] = None
    return list(seen)


def _iso(value: str | None) -> str | None:
    match = _DATE.match(value.strip()) if value else None
    if match and 1990 <= int(match[1]) <= 2100 and 1 <= int(match[2]) <= 12:
        return match[0] if 1 <= int(match[3]) <= 31 else None
    return None


def _same(crumb: str, title: str) -> bool:
    # Trails cut long titles short.
    short = crumb.rstrip(".… ")
    return crumb == title or (len(short) > 3 and title.startswith(short))


def _is_site(crumb: str, host: str) -> bool:
    name = re.sub(r"[^a-z0-9]", "", crumb.casefold())
    return bool(name) and name in host.replace(".", "").replace("-", "")


def _line(text: str) -> str:
    return " ".join(text.split())
