"""A page of the demo's web: what stands on it, what is true of it, and the HTML of its parts.

Main text is what a reader came for: the paragraphs, in-article headings, tables, code and formulae
of `blocks`. Title, subtitle, breadcrumb, by-line, captions, footnotes, comments and link lists are
not; title and subtitle are fields of their own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from gristmill.data.sample_web.personal import Span
from gristmill.data.sample_web.texts import Article, Mentions


@dataclass(frozen=True)
class Block:
    """A piece of main text. kind: 'p', 'h2', 'table', 'code' or 'formula'.

    A table's rows are lines of `text`, its cells separated by tabs.
    """

    kind: str
    text: str


@dataclass(repr=False)
class Page:
    """One URL. What follows `blocks` is what the page shows around them, then what is true."""

    host: str
    path: str
    kind: str
    title: str
    blocks: tuple[Block, ...] = ()
    language: str | None = "en"
    article: Article | None = None
    shown_topic: str | None = None
    shown_description: str | None = None
    related: list[Page] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    """(address, text) of further links: outward on articles, entries on listings."""
    comments: list[tuple[str, str]] = field(default_factory=list)
    subkind: str = ""
    status: int = 200
    location: str | None = None
    content_type: str = "text/html; charset=utf-8"
    body: bytes = b""
    near: str | None = None
    """The near-duplicate group: the key of the article that it was copied from."""
    edit: str = ""
    personal: list[Span] = field(default_factory=list)
    lookalike: bool = False
    forbidden: bool = False
    opt_out: str | None = None
    """What the page or its host says against use, as the documents' column does."""
    robots_meta: str | None = None
    robots_header: str | None = None
    linked: bool = False
    quality: str | None = None

    def __repr__(self) -> str:
        # Pages refer to each other in circles.
        return f"Page({self.url!r}, {self.kind!r})"

    @property
    def url(self) -> str:
        """The absolute address, without a port."""
        return f"http://{self.host}{self.path}"

    @property
    def main_text(self) -> str:
        """The true main text: blocks separated by newlines, cells of tables by spaces."""
        return "\n".join(block.text.replace("\t", " ") for block in self.blocks)

    def href(self, target: Page) -> str:
        """The address of another page as this one writes it."""
        return target.path if target.host == self.host else target.url


@dataclass(frozen=True)
class Style:
    """How a design writes the parts of the main text."""

    paragraph: str = "<p>{}</p>"
    heading: str = "<h2>{}</h2>"
    bold_title: bool = False
    footnotes: bool = False
    entities: bool = False
    edit_links: bool = False
    mentions: bool = False


def rich(
    text: str, page: Page, style: Style, places: Places | None, r: random.Random, first: bool
) -> str:
    """A paragraph's text as HTML: links on mentioned titles, the title in bold, footnote marks.

    The words stay as they are; a footnote mark is not part of the main text.
    """
    spans: list[tuple[int, int, str, str]] = []
    if style.mentions and places is not None:
        for start, end in places.mentions.find(text, page.title, 4):
            target = places.by_title.get(text[start:end])
            if target is not None:
                spans.append((start, end, f'<a href="{escape(target)}">', "</a>"))
    if first and style.bold_title:
        at = text.find(page.title)
        if 0 <= at < 60 and not any(s < at + len(page.title) and at < e for s, e, _, _ in spans):
            spans.append((at, at + len(page.title), "<b>", "</b>"))
            spans.sort()
    parts = []
    done = 0
    for start, end, before, after in spans:
        parts += [escape(text[done:start], False), before, escape(text[start:end], False), after]
        done = end
    parts.append(escape(text[done:], False))
    html = "".join(parts)
    if style.entities:
        html = html.replace("\xa0", "&nbsp;").replace("—", "&mdash;").replace("–", "&ndash;")
    if style.footnotes and r.random() < 0.5:
        number = r.randint(1, 9)
        html += f'<sup class="reference"><a href="#cite-{number}">[{number}]</a></sup>'
    return html


@dataclass(frozen=True)
class Places:
    """Where a site's articles are, for links in running text."""

    mentions: Mentions
    by_title: dict[str, str]


def blocks_html(page: Page, style: Style, places: Places | None, r: random.Random) -> str:
    """The main text in a design's way."""
    parts = []
    first = True
    for block in page.blocks:
        if block.kind == "p":
            inner = rich(block.text, page, style, places, r, first)
            parts.append(style.paragraph.format(inner))
            first = False
        elif block.kind == "h2":
            edit = '<span class="edit-section">[<a href="#edit">edit</a>]</span>'
            inner = escape(block.text, False) + (edit if style.edit_links else "")
            parts.append(style.heading.format(inner))
        elif block.kind == "table":
            parts.append(_table(block.text))
        elif block.kind == "code":
            parts.append(f"<pre><code>{escape(block.text, False)}</code></pre>")
        else:
            parts.append(f'<p class="formula">\\[ {escape(block.text, False)} \\]</p>')
    return "\n".join(parts)


def _table(text: str) -> str:
    head, *rows = (line.split("\t") for line in text.split("\n"))
    cells = "".join(f"<th>{escape(cell, False)}</th>" for cell in head)
    lines = [f'<table class="data"><thead><tr>{cells}</tr></thead><tbody>']
    for row in rows:
        cells = "".join(f"<td>{escape(cell, False)}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join(lines) + "</tbody></table>"


def anchors(links: Sequence[tuple[str, str]], item: str = "<li>{}</li>") -> str:
    """A link list."""
    return "\n".join(
        item.format(f'<a href="{escape(href)}">{escape(text, False)}</a>') for href, text in links
    )


def related_links(page: Page) -> list[tuple[str, str]]:
    """The related pages as (address, title)."""
    return [(page.href(other), other.title) for other in page.related]


def teaser(page: Page, words: int = 12) -> str:
    """The first words of a page's text with an ellipsis, as sidebars show them."""
    for block in page.blocks:
        if block.kind == "p":
            return " ".join(block.text.split()[:words]) + " …"
    return ""
