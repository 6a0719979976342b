"""Designs of reference sites: an encyclopaedia, an atlas, a manual, a museum, a bare mirror.

And one whose pages are laid out by tables, as they were in 1999.
"""

from __future__ import annotations

import json
import random
import re
from html import escape

from gristmill.data.sample_web.page import (
    Page,
    Style,
    anchors,
    blocks_html,
    related_links,
)
from gristmill.data.sample_web.parts import LICENCE_URL, Site, date_of, head, menu, special

_WIKI = Style(bold_title=True, footnotes=True, entities=True, edit_links=True, mentions=True)


def wiki(site: Site, page: Page, r: random.Random) -> str:
    """Head bar, left column, tabs, table of contents, box of facts, references, categories."""
    w = site.words
    main = special(site, page, r)
    after = ""
    if main is None:
        crumbs = ""
        if page.shown_topic:
            crumbs = (
                f'<div class="breadcrumbs"><a href="/">{w["home"]}</a> &gt; '
                f'<a href="/topics">{escape(page.shown_topic)}</a> &gt; {escape(page.title)}</div>'
            )
        subtitle = ""
        if page.shown_description:
            subtitle = (
                f'<div class="shortdescription">{escape(page.shown_description, False)}</div>'
            )
        box = ""
        if r.random() < 0.6:
            row = ""
            if page.shown_topic:
                row = f"<tr><th>{w['topic']}</th><td>{escape(page.shown_topic)}</td></tr>"
            box = (
                f'<table class="infobox"><caption>{escape(page.title)}</caption>'
                f'<tr><td colspan="2"><img src="/media/{r.randint(1, 9999)}.jpg" alt="" '
                f'width="220"></td></tr>{row}</table>'
            )
        contents = ""
        if any(block.kind == "h2" for block in page.blocks):
            names = [block.text for block in page.blocks if block.kind == "h2"]
            items = anchors([(f"#s{i}", name) for i, name in enumerate(names, 1)])
            contents = f'<div id="toc" class="toc"><h2>{w["contents"]}</h2><ul>{items}</ul></div>'
        body = blocks_html(page, _WIKI, site.places, r)
        first, _, rest = body.partition("\n")
        main = (
            f'{crumbs}<h1 id="firstHeading">{escape(page.title, False)}</h1>{subtitle}\n'
            f'<div id="text" class="wiki-text">{box}\n{first}\n{contents}\n{rest}'
        )
        notes = sorted(set(map(int, re.findall(r'href="#cite-(\d+)"', body))))
        sources = "".join(
            f'<li id="cite-{i}">{escape(name)}, vol. {r.randint(1, 40)}, '
            f"p. {r.randint(1, 900)}.</li>"
            for i, name in zip(notes, r.sample(_SOURCES, len(_SOURCES)), strict=False)
        )
        if sources:
            after = f'<h2>{w["references"]}</h2><ol class="references">{sources}</ol>\n'
        if page.links:
            after += f'<h2>{w["links"]}</h2><ul class="external">{anchors(page.links)}</ul>\n'
        if page.related:
            after += f"<h2>{w['related']}</h2><ul>{anchors(related_links(page))}</ul>\n"
        after += "</div>\n"
        if page.shown_topic:
            after += (
                f'<div id="catlinks">{w["categories"]}: '
                f'<a href="/topics">{escape(page.shown_topic)}</a></div>'
            )
    tabs = anchors([("#talk", w["talk"]), (page.path, w["read"]), ("#edit", w["edit"])])
    style = "body{font:15px sans-serif}#side{float:left;width:11em}#content{margin-left:12em}"
    return f"""<!DOCTYPE html>
<html lang="{site.language}" class="client-nojs">
<head>
{head(site, page, style, 'document.documentElement.className="client-js";')}
<link rel="license" href="{LICENCE_URL}">
</head>
<body>
<div id="top"><a id="logo" href="/">{escape(site.name)}</a>
<form id="search" action="/search"><input name="q" placeholder="{w["search"]}"></form>
<ul class="personal"><li><a href="/special/login">{w["login"]}</a></li></ul></div>
<div id="side" role="navigation"><h3>{w["tools"]}</h3><ul>{menu(site)}</ul></div>
<div id="content" class="body"><ul class="tabs">{tabs}</ul>
{main}
{after}</div>
<div id="footer" role="contentinfo"><p>{w["updated"]} {date_of(r)}. {w["licence"]}.</p>
<ul><li>{w["privacy"]}</li><li>{w["about"]}</li><li>{w["contact"]}</li></ul></div>
</body>
</html>
"""


_SOURCES = (
    "A Dictionary of Common Things", "The New Reader's Companion", "Annals of the Eastmere Society",
    "Handbook for Schools", "Proceedings of the Mill Conference", "The Kingsferry Review",
    "A Short History in Twelve Parts", "Notes from the Reading Room", "The Atlas Year Book",
)  # fmt: skip


def semantic(site: Site, page: Page, r: random.Random) -> str:
    """HTML5 elements throughout, JSON-LD, a breadcrumb in nav, a lead under the title."""
    w = site.words
    main = special(site, page, r)
    extra = ""
    if main is None:
        crumbs = ""
        if page.shown_topic:
            crumbs = (
                f'<nav aria-label="Breadcrumb"><ol><li><a href="/">{w["home"]}</a></li>'
                f'<li><a href="/topics">{escape(page.shown_topic)}</a></li>'
                f'<li aria-current="page">{escape(page.title)}</li></ol></nav>'
            )
            steps = [
                {"@type": "ListItem", "position": i, "name": name}
                for i, name in enumerate((w["home"], page.shown_topic, page.title), 1)
            ]
            data = {"@type": "BreadcrumbList", "itemListElement": steps}
            extra = f'\n<script type="application/ld+json">{json.dumps(data)}</script>'
        lead = ""
        if page.shown_description:
            lead = f'<p class="subtitle">{escape(page.shown_description, False)}</p>'
        day = date_of(r)
        main = (
            f"{crumbs}<article><header><h1>{escape(page.title, False)}</h1>{lead}"
            f'<p class="meta"><time datetime="{day}">{day}</time></p></header>\n'
            f'<figure><img src="/maps/{r.randint(1, 999)}.png" alt="{escape(page.title)}">'
            f"<figcaption>{escape(page.title, False)}</figcaption></figure>\n"
            f"{blocks_html(page, Style(mentions=True), site.places, r)}\n"
            f'<footer><a rel="license" href="{LICENCE_URL}">{w["licence"]}</a></footer></article>'
        )
    return f"""<!doctype html>
<html lang="{page.language or site.language}">
<head>
{head(site, page, "main{max-width:44rem;margin:auto}aside{font-size:.9em}", extra=extra)}
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header role="banner"><p class="brand">{escape(site.name)}</p>
<nav><ul>{menu(site)}</ul></nav></header>
<main id="main">
{main}
</main>
<aside aria-label="{w["related"]}"><h2>{w["related"]}</h2>
<ul>{anchors(related_links(page))}</ul></aside>
<footer role="contentinfo"><p>{escape(site.name)} &copy; 2012-2024</p>
<ul><li><a href="/">{w["home"]}</a></li><li>{w["privacy"]}</li><li>{w["terms"]}</li></ul></footer>
<dialog class="cookies" hidden><p>{w["cookies"]}</p><button>{w["accept"]}</button>
<button>{w["refuse"]}</button></dialog>
</body>
</html>
"""


def manual(site: Site, page: Page, r: random.Random) -> str:
    """A documentation site: tree of chapters at the left, previous and next at the foot."""
    main = special(site, page, r)
    if main is None:
        crumbs = ""
        if page.shown_topic:
            crumbs = (
                '<ul class="wy-breadcrumbs"><li><a href="/">Docs</a> &raquo;</li>'
                f'<li><a href="/topics">{escape(page.shown_topic)}</a> &raquo;</li>'
                f"<li>{escape(page.title)}</li></ul>"
            )
        main = (
            f'{crumbs}<div role="main" class="document" itemscope><section id="s">'
            f'<h1>{escape(page.title, False)}<a class="headerlink" href="#s">¶</a></h1>\n'
            f"{blocks_html(page, Style(mentions=True), site.places, r)}\n</section></div>"
        )
    near = related_links(page)[:2]
    buttons = "".join(
        f'<a class="btn {side}" href="{escape(href)}">{label}: {escape(text)}</a>'
        for (href, text), side, label in zip(
            near, ("left", "right"), ("Previous", "Next"), strict=False
        )
    )
    return f"""<!DOCTYPE html>
<html class="writer-html5" lang="en">
<head>
{
        head(
            site,
            page,
            ".side{width:16rem}pre{background:#f4f4f4;padding:1em}",
            "var DOCUMENTATION_OPTIONS={VERSION:'4.2',HAS_SOURCE:true};",
        )
    }
</head>
<body class="wy-body-for-nav">
<nav class="side"><div class="search"><form action="/search"><input name="q"></form></div>
<p class="caption"><span>Chapters</span></p><ul>{menu(site)}</ul>
<p class="caption"><span>On the same shelf</span></p><ul>{anchors(related_links(page))}</ul></nav>
<div class="content">
{main}
<footer><div class="buttons">{buttons}</div><hr><div role="contentinfo">
<p>Revision {r.randrange(16**7):07x}. Built with a theme.</p></div></footer>
</div>
</body>
</html>
"""


def gallery(site: Site, page: Page, r: random.Random) -> str:
    """A museum: sections, hidden panels, opening hours in the sidebar, images with captions."""
    main = special(site, page, r)
    if main is None:
        path = ""
        if page.shown_topic:
            path = (
                '<div itemscope itemtype="https://schema.org/BreadcrumbList">'
                '<span itemprop="itemListElement"><a href="/">Museum</a></span> / '
                f'<span itemprop="itemListElement"><a href="/topics">{escape(page.shown_topic)}</a>'
                "</span></div>"
            )
        under = ""
        if page.shown_description:
            under = f'<h2 class="subtitle">{escape(page.shown_description, False)}</h2>'
        text = blocks_html(page, Style(), None, r)
        main = (
            f'{path}<section class="object"><h1>{escape(page.title, False)}</h1>{under}\n'
            f'<div class="object__text">{text}</div></section>\n'
            "<details><summary>Reuse this page</summary><p>You may share this text, as long as you "
            "name the source and keep the licence.</p></details>\n"
            f'<section class="more"><h2>More from the collection</h2><ul>'
            f"{anchors(related_links(page))}</ul></section>"
        )
    return f"""<!DOCTYPE html>
<html lang="{page.language or "en"}">
<head>
{
        head(
            site,
            page,
            ".overlay{display:none}.object__text{columns:1}",
            "(function(w){w.dataLayer=w.dataLayer||[];w.dataLayer.push({event:'view'});})(window);",
        )
    }
</head>
<body>
<div class="overlay" style="display:none" aria-hidden="true"><p>Would you like to become a friend of
the museum? Friends enter for free and get our magazine four times a year.</p>
<button>Close</button></div>
<header class="masthead"><div class="logo">{escape(site.name)}</div><ul class="nav">{
        menu(site)
    }</ul></header>
<div class="columns"><div class="col-main">
{main}
</div>
<div class="sidebar"><h3>Opening hours</h3><p>Tuesday to Sunday, 10 to 18. Closed on Mondays.</p>
<h3>Tickets</h3><p>Adults 9, children free.</p>
<a class="button" href="/">Plan your visit</a></div></div>
<footer class="colophon"><p>{escape(site.name)}. Supported by the friends of the museum.</p>
<p hidden>Page {r.randint(1, 99999)} generated for printing.</p></footer>
</body>
</html>
"""


def plain(site: Site, page: Page, r: random.Random) -> str:
    """An archive that keeps texts with almost nothing around them."""
    main = special(site, page, r)
    if main is None:
        main = (
            f"<h1>{escape(page.title, False)}</h1>\n{blocks_html(page, Style(), None, r)}\n"
            f'<hr><p><a href="/">Index</a> - text {r.randint(1, 99999)} of the archive</p>'
        )
    return (
        f"<html><head><title>{escape(page.title)}</title></head>\n<body>\n"
        f"<p>{menu(site, '[{}]')}</p>\n{main}\n</body></html>\n"
    )


def tables(site: Site, page: Page, r: random.Random) -> str:
    """Nested tables for layout, font elements, upper-case names, spacer images, no closing p."""
    main = special(site, page, r)
    if main is None:
        trail = ""
        if page.shown_topic:
            trail = (
                f'<FONT SIZE="1" CLASS="crumb"><A HREF="/">Home</A> &gt; '
                f'<A HREF="/topics">{escape(page.shown_topic)}</A> &gt; {escape(page.title)}</FONT>'
            )
        text = blocks_html(page, Style("<P><FONT FACE='Times'>{}</FONT>", "<H3>{}</H3>"), None, r)
        main = (
            f'{trail}<CENTER><H2><FONT COLOR="#003366">{escape(page.title, False)}</FONT></H2>'
            f"</CENTER>\n{text}\n"
        )
    more = anchors(related_links(page), "<FONT SIZE=1>&#149; {}</FONT><BR>")
    return f"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<HTML><HEAD><META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset={site.charset}">
<TITLE>{escape(page.title)} - {escape(site.name)}</TITLE></HEAD>
<BODY BGCOLOR="#FFFFFF" TEXT="#000000">
<TABLE WIDTH="760" BORDER="0" CELLPADDING="0"><TR><TD COLSPAN="3" BGCOLOR="#003366">
<FONT COLOR="white" SIZE="5">{escape(site.name)}</FONT></TD></TR>
<TR><TD WIDTH="140" VALIGN="top" BGCOLOR="#EEEEEE"><TABLE><TR><TD>
{menu(site, "<FONT SIZE=2>{}</FONT><BR>")}</TD></TR></TABLE></TD>
<TD VALIGN="top"><TABLE WIDTH="100%"><TR><TD>
{main}
</TD></TR></TABLE></TD>
<TD WIDTH="120" VALIGN="top"><IMG SRC="/spacer.gif" WIDTH=1 HEIGHT=8><BR>
<B>More pages</B><BR>{more}</TD></TR>
<TR><TD COLSPAN="3" ALIGN="center"><FONT SIZE="1">Best viewed at 800 by 600. You are visitor number
{r.randint(10000, 999999)}. Webmaster: see the front page.</FONT></TD></TR></TABLE>
</BODY></HTML>
"""
