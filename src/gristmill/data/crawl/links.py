"""The links of a page, found by one linear scan of its tags.

No tree is built: a tree of 100,000 nested elements or a tag of a million attributes costs a DOM
parser seconds to minutes, and the crawler reads every page inside its own process. Comments,
scripts, styles and the like are stepped over as the HTML standard's tokeniser does.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from gristmill.data.crawl.urls import BadUrl, normalise

HTML_TYPES = frozenset(("text/html", "application/xhtml+xml"))
MAX_LINKS = 5000
_MAX_ATTRIBUTES = 200

_START = re.compile(
    r"<(?:(!--)|(script|style|textarea|title|xmp|iframe|noembed|noframes)(?=[\s/>])"
    r"|(a|area|link|base|meta)(?=[\s/>]))",
    re.IGNORECASE,
)
# An anchor whole, up to its '>', as most are written; any other goes attribute by attribute.
# Possessive throughout, so that it reads a tag once or not at all.
_VALUE = r"(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s>\"'][^\s>]*+))?+"
_PLAIN_ANCHOR = re.compile(
    rf"(?:\s++(?!(?:href|rel)[\s=>/])[^\s/>=\"']++{_VALUE}){{0,20}}+"
    r"\s++href=(?:\"([^\"]*+)\"|'([^']*+)')"
    rf"(?:\s++(?!rel[\s=>/])[^\s/>=\"']++{_VALUE}){{0,20}}+\s*+/?+>",
    re.IGNORECASE,
)
_END_OF = {
    name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE)
    for name in "script style textarea title xmp iframe noembed noframes".split()
}
_ATTRIBUTE = re.compile(
    r"[\s/]*([^\s/>=][^\s/>=]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]*)))?"
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)
_SPLIT = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class PageLinks:
    """What a page says about where to go next.

    links: normalised URLs in order, each once; canonical among them. robots: the words of the
    page's robots metas ('noindex', 'nofollow', 'noai', ...), sorted.
    """

    links: tuple[str, ...]
    canonical: str | None
    robots: tuple[str, ...]


def page_links(
    text: str,
    url: str,
    *,
    skip_nofollow: bool = False,
    agent: str = "gristmill",
    canonical: str | None = None,
) -> PageLinks:
    """Links of the HTML `text` fetched from `url`: a and area hrefs, and the canonical link.

    skip_nofollow leaves out links marked rel=nofollow (also sponsored and ugc). canonical: the one
    that a header named, which comes first. At most 5,000 links of a page are taken.
    """
    base = url
    base_seen = False
    search, plain_anchor = _START.search, _PLAIN_ANCHOR.match
    found: dict[str, None] = {canonical: None} if canonical else {}
    robots: set[str] = set()
    position = 0
    while match := search(text, position):
        position = match.end()
        name = match[3]
        if (name == "a" or name == "A") and (plain := plain_anchor(text, position)):
            position = plain.end()
            if len(found) < MAX_LINKS:
                link = _resolve(plain[1] or plain[2] or "", base)
                if link is not None:
                    found[link] = None
        elif match[1]:
            position = text.find("-->", position)
            if position < 0:
                break
        elif match[2]:
            end = _END_OF[match[2].lower()].search(text, position)
            if not end:
                break
            position = end.end()
        else:
            attributes, position = _attributes(text, position)
            name = name.lower()
            if name == "meta":
                if attributes.get("name", "").lower() in ("robots", agent):
                    robots.update(_words(attributes.get("content", "")))
                continue
            href = attributes.get("href")
            if href is None or len(found) >= MAX_LINKS:
                continue
            if name == "base":
                if not base_seen:
                    base, base_seen = _resolve(href, url) or url, True
                continue
            rel = attributes.get("rel")
            rels = rel.lower().split() if rel else ()
            if name == "link" and "canonical" not in rels:
                continue
            if skip_nofollow and ("nofollow" in rels or "sponsored" in rels or "ugc" in rels):
                continue
            link = _resolve(href, base)
            if link is None:
                continue
            found[link] = None
            if name == "link" and canonical is None:
                canonical = link
    return PageLinks(tuple(found), canonical, tuple(sorted(robots)))


def robots_words(headers: list[str]) -> tuple[str, ...]:
    """The words of X-Robots-Tag headers that concern every robot."""
    words: set[str] = set()
    for value in headers:
        # 'otherbot: noindex' is for another; a bare list is for all.
        if ":" not in value or value.lower().startswith("unavailable_after"):
            words.update(_words(value))
    return tuple(sorted(words))


def canonical_header(headers: list[str], url: str) -> str | None:
    """The first canonical address in Link headers (RFC 8288, RFC 6596) of the page `url`."""
    for value in headers:
        for part in value[:8000].split("<")[1:50]:
            target, _, parameters = part.partition(">")
            rel = _REL.search(parameters)
            if rel and "canonical" in (rel[1] or rel[2]).lower().split():
                return _resolve(target, url)
    return None


def _words(text: str) -> list[str]:
    return [word for word in _SPLIT.split(text.lower()[:500]) if word]


def _attributes(text: str, position: int) -> tuple[dict[str, str], int]:
    """Attributes from `position` up to the tag's '>', the first of a name winning."""
    attributes: dict[str, str] = {}
    for _ in range(_MAX_ATTRIBUTES):
        match = _ATTRIBUTE.match(text, position)
        if not match:
            break
        position = match.end()
        value = match[2] or match[3] or match[4] or ""
        attributes.setdefault(match[1].lower(), value)
    end = text.find(">", position)
    return attributes, end + 1 if end >= 0 else len(text)


def _resolve(href: str, base: str) -> str | None:
    href = href.strip()
    if href.startswith("#"):
        return None
    if "&" in href:
        href = _ENTITY.sub(lambda match: html.unescape(match[0]), href)
    # The base matters only for relative references, and only its origin for absolute paths;
    # a shorter key lets the cache of normalise() serve a site's menu from any of its pages.
    if href.startswith(("http://", "https://")):
        base = ""
    elif href.startswith("/") and not href.startswith("//"):
        base = base[: base.find("/", 8) + 1] or base
    try:
        return normalise(href, base)
    except BadUrl:
        return None
