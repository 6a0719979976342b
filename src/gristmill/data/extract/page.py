"""`extract_page`: from a page's bytes to its main text and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from gristmill.core.records import host_of
from gristmill.data.extract import cues
from gristmill.data.extract.dom import TooDeep, Tree, flatten
from gristmill.data.extract.encoding import decode_page
from gristmill.data.extract.guard import Limits, refuse
from gristmill.data.extract.metadata import (
    absolute_links,
    page_date,
    page_description,
    page_licence,
    page_title,
    page_topic,
    read_head,
)
from gristmill.data.extract.rules import Verdict, choose, heaviest
from gristmill.data.extract.text import render

_MOST_WRONG_NAMES = 6  # nested in one another, as far as they are looked into
_HTML_TYPES = ("text/html", "application/xhtml+xml", "application/xml", "text/xml")


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract and what to refuse."""

    markdown: bool = False
    comments: bool = False
    captions: bool = False
    respect_noindex: bool = True
    min_chars: int = 1
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """A page's main text and metadata; `links` are those of the main part, absolute."""

    url: str
    host: str
    title: str | None
    description: str | None
    topic: str | None
    language_attribute: str | None
    date: str | None
    licence: str | None
    text: str
    links: list[str]
    encoding: str

    def fields(self) -> dict[str, Any]:
        """The columns of the document schema that the page itself tells."""
        return {
            "title": self.title,
            "description": self.description,
            "topic": self.topic,
            "language_attribute": self.language_attribute,
            "date": self.date,
            "licence": self.licence,
            "links": self.links,
        }


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a page gives no document: 'not HTML', 'too large', 'too deep', 'too many attributes',
    'noindex', 'empty', 'no main text'."""

    reason: str
    sample: str = ""


def extract_page(
    html: bytes,
    url: str,
    content_type: str | None = None,
    options: ExtractOptions | None = None,
) -> ExtractedPage | Rejected:
    """Main text and metadata of a page, or why there is none. Never raises for a bad page.

    html: the body as received, content encodings undone. content_type: the HTTP header.
    """
    options = options or ExtractOptions()
    if content_type:
        kind = content_type.split(";", 1)[0].strip().lower()
        if kind and kind not in _HTML_TYPES:
            return Rejected("not HTML", kind[:80])
    if not html.strip():
        return Rejected("empty")
    refused = refuse(html, options.limits)
    if refused:
        return Rejected(refused)
    source, encoding = decode_page(html, content_type)
    parser = LexborHTMLParser(source, scripting=True)
    head = read_head(parser)
    if options.respect_noindex and head.noindex:
        return Rejected("noindex")
    try:
        tree, verdict = _judge(parser, head.title, options)
    except TooDeep:
        return Rejected("too deep")
    kept = verdict.kept()
    text = render(tree, kept, verdict.main, options.markdown)
    host = host_of(url)
    title = page_title(head, tree, host)
    if len(text) < options.min_chars:
        return Rejected("no main text", title or "")
    base = absolute_links([head.base], url)[0] if head.base and _resolves(head.base, url) else url
    return ExtractedPage(
        url=url,
        host=host,
        title=title,
        description=page_description(head, tree, verdict, title),
        topic=page_topic(tree, title, host),
        language_attribute=head.language,
        date=page_date(head, tree, source),
        licence=page_licence(head, parser, source),
        text=text,
        links=absolute_links(_main_links(tree, verdict), base),
        encoding=encoding,
    )


def _judge(parser: LexborHTMLParser, title: str, options: ExtractOptions) -> tuple[Tree, Verdict]:
    """Walks what is not named as navigation and the like, and judges it.

    A name is wrong where most of the page's text lies in it (`rules.choose`): what was left out
    and is worth more than all the rest is walked after all.
    """
    enter: set[int] = set()
    known: dict[int, float] = {}
    while True:
        tree = flatten(
            parser, marks=options.markdown, skip=True, enter=enter, max_depth=options.limits.depth
        )
        verdict = choose(tree, title=title, comments=options.comments, captions=options.captions)
        wrong = heaviest(tree, verdict.whole, known, options.limits.depth)
        if wrong is None or len(enter) == _MOST_WRONG_NAMES:
            return tree, verdict
        enter.add(wrong)


def _resolves(href: str, url: str) -> bool:
    return bool(absolute_links([href], url))


def _main_links(tree: Tree, verdict: Verdict) -> list[str]:
    """Links in the main element, lists of links too; none from menus, adverts and the like."""
    reasons = verdict.reasons
    allowed = (0, cues.RELATED, cues.CAPTION, cues.TITLE)
    return [
        href
        for href, block in tree.anchors
        if verdict.first <= block < verdict.end and reasons[block] in allowed
    ]
