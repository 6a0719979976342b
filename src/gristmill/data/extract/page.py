"""`extract_page`: from a page's bytes to its main text and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from selectolax.lexbor import LexborHTMLParser

from gristmill.core.records import host_of
from gristmill.data.extract import cues
from gristmill.data.extract.dom import flatten
from gristmill.data.extract.encoding import page_in_utf8
from gristmill.data.extract.guard import Limits, is_binary, parse, refuse
from gristmill.data.extract.kinds import ARTICLE, Signs, named_wrongly, read_signs, revise
from gristmill.data.extract.metadata import (
    absolute_links,
    page_date,
    page_description,
    page_licence,
    page_title,
    page_topic,
    read_head,
)
from gristmill.data.extract.opt_out import stated_opt_out
from gristmill.data.extract.record import Record
from gristmill.data.extract.rules import Verdict, choose, heaviest
from gristmill.data.extract.stated import stated_text, templates
from gristmill.data.extract.text import render
from gristmill.data.extract.tree import TooDeep, Tree

_LITTLE, _MUCH_MORE = 250, 10  # what a text is worth
_MOST_WRONG_NAMES = 6  # nested in one another, as far as they are looked into
_MOST_LOOKS = 3  # into boxes of one name, and boxes in them
_HTML_TYPES = ("text/html", "application/xhtml+xml", "application/xml", "text/xml")


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract and what to refuse."""

    markdown: bool = False
    comments: bool = False
    captions: bool = False
    respect_noindex: bool = True
    respect_opt_out: bool = True
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
    opt_out: str | None = None

    def fields(self) -> dict[str, Any]:
        """The columns of the document schema that the page itself tells."""
        return {
            "title": self.title,
            "description": self.description,
            "topic": self.topic,
            "language_attribute": self.language_attribute,
            "date": self.date,
            "licence": self.licence,
            "opt_out": self.opt_out,
            "links": self.links,
        }


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a page gives no document: 'not HTML', 'too large', 'too deep', 'too many attributes',
    'noindex', 'opt_out', 'empty', 'no main text'."""

    reason: str
    sample: str = ""


class FirstLook(Protocol):
    """Rules on a page's bytes, such as `gristmill.data.filters.cascade.Cascade`."""

    def verdict(self, utf8: bytes) -> tuple[str, str] | None:
        """Why the page is not to be extracted (reason, sample), or None."""
        ...


def extract_page(
    html: bytes,
    url: str,
    content_type: str | None = None,
    options: ExtractOptions | None = None,
    record: Record | None = None,
    headers: Sequence[tuple[str, str]] = (),
    reserved_by_host: bool | None = None,
    first: FirstLook | None = None,
) -> ExtractedPage | Rejected:
    """Main text and metadata of a page, or why there is none. Never raises for a bad page.

    html: the body as received, content encodings undone. content_type: the HTTP header.
    record: is told what was decided (`gristmill.data.extract.explain`).
    headers: of the HTTP response; those that opt out are read. reserved_by_host: by tdmrep.json.
    first: cheap rules that spare a page the rest.
    """
    options = options or ExtractOptions()
    if record is not None:
        record.bytes = len(html)
    if content_type:
        kind = content_type.split(";", 1)[0].strip().lower()
        if kind and kind not in _HTML_TYPES:
            return Rejected("not HTML", kind[:80])
    if not html or html.isspace():
        return Rejected("empty")
    refused = refuse(html, options.limits)
    if refused:
        return Rejected(refused)
    utf8, encoding = page_in_utf8(html, content_type)
    if encoding.startswith("utf-16"):
        # Its tags were hidden from the checks on bytes.
        refused = refuse(utf8, options.limits)
        if refused:
            return Rejected(refused)
    elif is_binary(html):
        return Rejected("not HTML", "binary")
    if first is not None and (refusal := first.verdict(utf8)) is not None:
        return Rejected(*refusal)
    parser = parse(utf8)
    head = read_head(parser)
    if options.respect_noindex and head.noindex:
        return Rejected("noindex")
    opt_out = stated_opt_out(head.robots, head.meta, headers, reserved_by_host)
    if options.respect_opt_out and opt_out:
        return Rejected("opt_out", opt_out)
    try:
        host = host_of(url)
        body = parser.body.attributes.get("class") if parser.body is not None else None
        signs = read_signs(head.meta, utf8, url, body or "")
        tree, verdict = _judge(parser, head.title, host, options, record, signs)
    except TooDeep:
        return Rejected("too deep")
    kept = verdict.kept()
    text = render(tree, kept, verdict.main, options.markdown, record)
    if verdict.worth < _LITTLE and not options.comments:
        text = _stated(utf8, parser, text, title=head.title, host=host, options=options)
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
        date=page_date(head, tree, utf8),
        licence=page_licence(head, parser, utf8),
        text=text,
        links=absolute_links(_main_links(tree, verdict), base),
        encoding=encoding,
        opt_out=opt_out,
    )


def _judge(
    parser: LexborHTMLParser,
    title: str,
    host: str,
    options: ExtractOptions,
    record: Record | None,
    signs: Signs,
) -> tuple[Tree, Verdict]:
    """Walks what is not named as navigation and the like, and judges it.

    A name is wrong where most of the page's text lies in it (`rules.choose`): what was left out
    and is worth more than all the rest is walked after all.
    """
    enter: set[int] = set()
    known: dict[int, float] = {}
    titled: set[int] | None = None
    looks, before = 0, enter
    while True:
        if record is not None:
            record.begin(len(enter))
        tree = flatten(
            parser,
            marks=options.markdown,
            skip=True,
            enter=enter,
            max_depth=options.limits.depth,
            record=record,
            titled=titled,
        )
        titled = tree.titled
        verdict = choose(
            tree,
            title=title,
            host=host,
            comments=options.comments,
            captions=options.captions,
            record=record,
        )
        if not options.comments and verdict.worth < _LITTLE:
            verdict = _only_comments(tree, verdict, title, host, options)
        wrong = heaviest(tree, verdict, known, options.limits.depth)
        if wrong is None or len(enter) >= _MOST_WRONG_NAMES:
            kind, revised = revise(tree, verdict, signs)
            together = named_wrongly(tree, revised) - enter if kind == ARTICLE else None
            if together and looks < _MOST_LOOKS:
                # They are walked for a look; what is no list of entries stays as it was.
                before = before if looks else set(enter)
                looks += 1
                enter |= together
                continue
            if looks and kind == ARTICLE and enter != before:
                enter, looks = before, _MOST_LOOKS
                continue
            verdict = revised
            if record is not None:
                record.note("kind of page", verdict.reasons)
                record.kind = kind
                record.tree, record.verdict = tree, verdict
            return tree, verdict
        enter.add(wrong)


def _only_comments(
    tree: Tree, verdict: Verdict, title: str, host: str, options: ExtractOptions
) -> Verdict:
    """The verdict with comments, where there is nearly nothing else: posts are named so too."""
    other = choose(tree, title=title, host=host, comments=True, captions=options.captions)
    return other if other.worth > _MUCH_MORE * max(verdict.worth, 20) else verdict


def _stated(
    page: bytes,
    parser: LexborHTMLParser,
    text: str,
    *,
    title: str,
    host: str,
    options: ExtractOptions,
) -> str:
    """`text`, or what a page that shows nearly none states for machines and scripts."""
    stated = stated_text(page.decode("utf-8", "replace"), len(text))
    if stated or text or not (held := templates(parser)):
        return stated or text
    try:
        tree = flatten(
            parse(held), marks=options.markdown, skip=True, max_depth=options.limits.depth
        )
    except TooDeep:
        return ""
    verdict = choose(tree, title=title, host=host, captions=options.captions)
    return render(tree, verdict.kept(), verdict.main, options.markdown)


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
