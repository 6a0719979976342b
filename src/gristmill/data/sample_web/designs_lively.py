"""Designs of livelier sites: blog, magazine, script-heavy application, answers, forum, shop, cheap
pages; and what breaks a page's HTML without losing a word of it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from html import escape

from gristmill.data.sample_web import designs_sober
from gristmill.data.sample_web.page import (
    Page,
    Style,
    anchors,
    blocks_html,
    related_links,
    teaser,
)
from gristmill.data.sample_web.parts import Site, date_of, head, menu, special
from gristmill.data.sample_web.personal import FIRST_NAMES, LAST_NAMES


def _comments(page: Page, r: random.Random, css: str = "comment") -> str:
    return "\n".join(
        f'<div class="{css}"><cite>{escape(name)}</cite> <span class="when">{date_of(r)}</span>'
        f"<p>{escape(text, False)}</p><a href='#reply'>Reply</a></div>"
        for name, text in page.comments
    )


def blog(site: Site, page: Page, r: random.Random) -> str:
    """By-line, share buttons, tags, comments, a newsletter box, recent posts in the sidebar."""
    main = special(site, page, r)
    if main is None:
        author = f"{r.choice(FIRST_NAMES)} {r.choice(LAST_NAMES)}"
        thread = ""
        if page.comments:
            thread = (
                f'<div id="comments"><h3>{len(page.comments)} thoughts on this post</h3>\n'
                f"{_comments(page, r)}\n"
                "<form><textarea></textarea><button>Post</button></form></div>"
            )
        main = (
            f'<div class="post hentry"><h1 class="entry-title">{escape(page.title, False)}</h1>'
            f'<div class="entry-meta">Posted by <a href="/about">{author}</a> '
            f"on {date_of(r)}</div>\n"
            f'<div class="entry-content">\n'
            f"{blocks_html(page, Style(bold_title=True), None, r)}\n</div>\n"
            '<div class="sharing"><a href="#">Tweet</a> <a href="#">Share</a> '
            '<a href="#">Pin it</a>'
            "</div></div>\n"
            '<div class="newsletter"><h4>Never miss a post</h4><p>Leave your address and get new '
            f"posts by mail.</p><input><button>Sign up</button></div>\n{thread}"
        )
    return f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
{
        head(
            site,
            page,
            "#sidebar{float:right;width:30%}.sharing a{padding:4px}",
            "var wpData={ajax:'/ajax',nonce:'" + f"{r.randrange(16**8):08x}" + "'};",
        )
    }
</head>
<body class="single">
<div id="page"><div id="header"><h2><a href="/">{escape(site.name)}</a></h2>
<p>Notes from the hedgerow since 2012</p></div>
<div id="menu"><ul>{menu(site)}</ul></div>
<div id="primary">
{main}
</div>
<div id="sidebar"><div class="widget"><h3>Recent posts</h3><ul>{
        anchors(related_links(page))
    }</ul></div>
<div class="widget"><h3>About me</h3><p>I walk, I look, I write it down. Everything here is free to
read.</p></div><div class="widget"><h3>Archive</h3><ul><li>2024 (31)</li>
<li>2023 (48)</li></ul></div></div>
<div id="footer">Proudly powered by a blog engine</div></div>
</body>
</html>
"""


def magazine(site: Site, page: Page, r: random.Random) -> str:
    """A news site: standfirst, advertisement slots between paragraphs, 'read also', most read."""
    main = special(site, page, r)
    if main is None:
        stand = ""
        if page.shown_description:
            stand = f'<p class="story__standfirst">{escape(page.shown_description, False)}</p>'
        style = Style('<p class="story__p">{}</p>', '<h2 class="story__h">{}</h2>')
        pieces = blocks_html(page, style, None, r).split("\n<p")
        if len(pieces) > 1:
            other = (
                f'<a href="{escape(page.related[0].path)}">'
                f"Read also: {escape(page.related[0].title)}</a>"
                if page.related
                else ""
            )
            pieces[0] += (
                f'\n<div class="ad-slot" data-id="{r.randint(1, 99)}">Advertisement</div>'
                f'<aside class="inline-related">{other}</aside>'
            )
        text = "\n<p".join(pieces)
        cards = "\n".join(
            f'<div class="card"><h3><a href="{escape(page.href(p))}">{escape(p.title)}</a></h3>'
            f"<p>{escape(teaser(p), False)}</p></div>"
            for p in page.related[:3]
        )
        main = (
            f'<div class="story"><h1 class="story__title">{escape(page.title, False)}</h1>{stand}'
            f'<div class="story__byline">By {r.choice(FIRST_NAMES)} {r.choice(LAST_NAMES)}, '
            f"{date_of(r)}, {r.randint(2, 4)} min read</div>\n"
            f'<div class="story__body">{text}</div>\n'
            f'<div class="story__links">{anchors(page.links, "{}")}</div></div>\n'
            f'<div class="cards"><h2>You may also like</h2>{cards}</div>'
        )
        if page.comments:
            main += (
                f'<section class="talkback"><h2>Comments</h2>{_comments(page, r, "talk")}</section>'
            )
    read = anchors(related_links(page), "<li>{}</li>")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
{
        head(
            site,
            page,
            ".ad-slot{min-height:90px}.cards{display:grid}",
            "window.ads=window.ads||{cmd:[]};ads.cmd.push(function(){ads.display('top');});",
        )
    }
<meta property="og:type" content="article"><meta property="og:title" content="{escape(page.title)}">
</head>
<body>
<div class="consent" role="dialog"><p>We and our 214 partners store information on your device, such
as unique identifiers, to show you content that fits.</p><button>Agree</button>
<button>Options</button></div>
<div class="topbar"><span class="logo">{escape(site.name)}</span><ul class="sections">{
        menu(site)
    }</ul></div>
<div class="layout"><div class="layout__main">
{main}
</div><div class="layout__rail"><h2>Most read</h2><ol>{read}</ol>
<div class="promo"><p>Three months for the price of one. Cancel at any time.</p>
<a href="/subscribe">Subscribe now</a></div></div></div>
<div class="bottom"><ul><li>Imprint</li><li>Advertise with us</li><li>Jobs</li></ul>
<p>All rights reserved where no licence is named.</p></div>
</body>
</html>
"""


def app(site: Site, page: Page, r: random.Random) -> str:
    """What a bundler leaves: divs with hashed classes, state as JSON, a hidden dialog."""
    main = special(site, page, r)

    def css(name: str) -> str:
        return f'class="css-{(hash_of(site.host + name)):06x}"'

    if main is None:
        under = ""
        if page.shown_description:
            lead = escape(page.shown_description, False)
            under = f"<div {css('sub')} data-testid='subtitle'>{lead}</div>"
        text = blocks_html(page, Style(f"<div {css('p')}>{{}}</div>", "<h3>{}</h3>"), None, r)
        main = (
            f"<div {css('head')}><h1 {css('h1')}>{escape(page.title, False)}</h1>{under}</div>"
            f"<div {css('body')}>{text}</div>"
            f"<div {css('row')}><button>Like</button><button>Save</button>"
            "<button>Share</button></div>"
        )
    tiles = "".join(
        f'<a {css("tile")} href="{escape(page.href(p))}"><div {css("t1")}>{escape(p.title)}</div>'
        f"<div {css('t2')}>{r.randint(2, 5)} min</div></a>"
        for p in page.related
    )
    state = json.dumps({"page": page.path, "title": page.title, "flags": {"dark": False}})
    state = state.replace("</", "<\\/")
    return f"""<!DOCTYPE html><html lang="en"><head>
{head(site, page, ".css-0{display:flex}")}
</head><body><div id="root"><div {css("app")}><div {css("bar")}><a href="/">{escape(site.name)}</a>
<div {css("links")}>{menu(site, "<span>{}</span>")}</div></div>
<div {css("main")}>{main}</div>
<div {css("grid")}><div {css("cap")}>Up next</div>{tiles}</div>
<div {css("foot")}><span>Help</span><span>Terms</span><span>Privacy</span><span>Status</span></div>
<div {css("modal")} style="display: none;"><div>Install our app to read offline and get a badge for
every ten pages that you finish.</div><button>Not now</button></div></div></div>
<script id="__STATE__" type="application/json">{state}</script>
<script>window.__START__=Date.now();</script><noscript>Please turn on JavaScript.</noscript>
</body></html>
"""


def hash_of(text: str) -> int:
    """A stable 24-bit number, as a bundler would make one."""
    value = 5381
    for character in text:
        value = (value * 33 + ord(character)) & 0xFFFFFF
    return value


def answers(site: Site, page: Page, r: random.Random) -> str:
    """A questions-and-answers site that copies texts: a question box, one answer, votes."""
    main = special(site, page, r)
    if main is None:
        text = blocks_html(page, Style(), None, r)
        main = (
            f'<div class="question"><h1>{escape(page.title, False)}</h1>'
            f'<div class="stats">{r.randint(1, 90)} votes, {r.randint(100, 9999)} views</div></div>'
            f'<div class="answer"><div class="vote"><a href="#">+</a> {r.randint(0, 50)} '
            f'<a href="#">-</a>'
            f'</div><div class="answer-text">{text}</div>'
            f'<div class="signature">answered {date_of(r)} by user{r.randint(100, 9999)}'
            "</div></div>"
        )
        if page.comments:
            main += f'<div class="remarks">{_comments(page, r, "remark")}</div>'
    return f"""<!DOCTYPE html>
<html>
<head>
{head(site, page, ".vote{float:left}")}
</head>
<body>
<div class="navbar"><a class="brand" href="/">{escape(site.name)}</a><ul>{menu(site)}</ul></div>
<div class="container"><div class="col-8">
{main}
</div><div class="col-4"><h4>Hot questions</h4><ul>{anchors(related_links(page))}</ul></div></div>
<div class="footer">{escape(site.name)} is made by its users. <a href="/">Start page</a></div>
</body>
</html>
"""


def forum(site: Site, page: Page, r: random.Random) -> str:
    """A bulletin board."""
    main = special(site, page, r)
    if main is None:
        main = f"<h1>{escape(page.title, False)}</h1>{blocks_html(page, Style(), None, r)}"
    return f"""<!DOCTYPE html>
<html>
<head>
{head(site, page, ".post{border:1px solid #ccc}.poster{float:left;width:9em}")}
</head>
<body>
<div id="wrap"><div class="board-head"><h2>{escape(site.name)}</h2>
<ul class="linklist">{menu(site)}</ul></div>
<p class="path"><a href="/">Board index</a> &raquo; General</p>
{main}
<div class="online">Users browsing this forum: {r.randint(1, 9)} guests</div>
<div class="replies">{anchors(page.links) if page.kind != "listing" else ""}</div>
<div class="copyright">Board software. All times are UTC.</div></div>
</body>
</html>
"""


def cheap(site: Site, page: Page, r: random.Random) -> str:
    """Shops and worse: banners, a thin header, text in plain divs, links to anything."""
    main = special(site, page, r)
    if main is None:
        text = blocks_html(page, Style("<div class='t'>{}</div>"), None, r)
        main = f"<h1>{escape(page.title, False)}</h1>\n{text}"
        if page.links:
            main += f'\n<div class="partners"><h4>Partners</h4>{anchors(page.links, "{} | ")}</div>'
    more = anchors(related_links(page), "<li>{}</li>")
    return f"""<!DOCTYPE html>
<html lang="en"><head>
{
        head(
            site,
            page,
            ".banner{background:#fe0;padding:1em}",
            "setTimeout(function(){document.title='(1) '+document.title},5000);",
        )
    }
</head><body>
<div class="banner">SALE ends tonight! Free shipping on everything.</div>
<div class="top"><a href="/">{escape(site.name)}</a> <ul>{menu(site)}</ul></div>
<div class="middle">{main}</div>
<div class="more"><h4>More like this</h4><ul>{more}</ul></div>
<div class="bottom">Payment | Shipping | Returns | {escape(site.name)}</div>
</body></html>
"""


def broken(html: str, r: random.Random) -> str:
    """Leaves out end tags, misnests, adds strays, forgets html and head; every word stays."""
    html = re.sub(
        r"</(?:p|li|td|tr|font|ol)>", lambda m: "" if r.random() < 0.5 else m.group(), html
    )
    html = re.sub(r"<p>", lambda m: "<p><i></p></i><p>" if r.random() < 0.1 else m.group(), html)
    html = re.sub(r'="([a-z0-9]+)"', lambda m: f"={m[1]}" if r.random() < 0.5 else m.group(), html)
    html = re.sub(r"</div>", lambda m: "</div></span>" if r.random() < 0.1 else m.group(), html)
    html = html.replace("</html>", "").replace("&amp;", "&").replace("</head>", "", 1)
    return html if r.random() < 0.7 else html[: html.rfind("</body>")] + "<div class=end <p"


DESIGNS: dict[str, Callable[[Site, Page, random.Random], str]] = {
    "wiki": designs_sober.wiki,
    "semantic": designs_sober.semantic,
    "manual": designs_sober.manual,
    "gallery": designs_sober.gallery,
    "plain": designs_sober.plain,
    "tables": designs_sober.tables,
    "blog": blog,
    "magazine": magazine,
    "app": app,
    "answers": answers,
    "forum": forum,
    "cheap": cheap,
}
