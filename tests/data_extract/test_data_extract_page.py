"""Main text and metadata of whole pages, in designs that differ."""

from __future__ import annotations

import random

import pytest

from gristmill.data.extract.guard import Limits
from gristmill.data.extract.page import ExtractedPage, ExtractOptions, Rejected, extract_page

URL = "http://site.example/physics/quark.html"
PARAGRAPHS = [
    "A quark is a type of elementary particle and a fundamental constituent of matter. Quarks "
    "combine to form composite particles called hadrons.",
    "The most stable of these are protons and neutrons, the components of atomic nuclei. All "
    "commonly observable matter is composed of up quarks, down quarks and electrons.",
    "Owing to a phenomenon known as colour confinement, quarks are never found in isolation; "
    "they can be found only within hadrons, or in quark-gluon plasmas.",
]
TEXT = "\n\n".join(PARAGRAPHS)
BODY = "".join(f"<p>{paragraph}</p>\n" for paragraph in PARAGRAPHS)
MENU = "".join(f'<li><a href="/m{i}">Entry {i} of the menu</a></li>' for i in range(12))
HEAD = '<meta charset="utf-8"><title>Quark - The Site</title>'


def extract(html: str, **options: object) -> ExtractedPage:
    found = extract_page(html.encode(), URL, None, ExtractOptions(**options))  # type: ignore[arg-type]
    assert isinstance(found, ExtractedPage), found
    return found


DESIGNS = {
    "semantic": f"<header><h1>The Site</h1></header><nav><ul>{MENU}</ul></nav><main><article>"
    f"<h1>Quark</h1>{BODY}</article></main><aside><h2>Popular</h2><ul>{MENU}</ul></aside>"
    "<footer><p>Copyright 2020. All rights are reserved, of course, as always.</p></footer>",
    "classes": f'<div class="top-menu"><ul>{MENU}</ul></div><div class="page with-sidebar">'
    f'<div class="entry-content">{BODY}<div class="share-bar">Share this on Facebook</div>'
    '<div class="newsletter-box"><p>Do subscribe to our newsletter. It comes every week.</p></div>'
    f'</div><div class="sidebar"><p>{"About us and what we do here, at length. " * 4}</p></div>'
    '</div><div class="comments"><p>First! I have always wanted to comment here, so I do it now.'
    "</p></div>",
    "layout table": f"<table width=100%><tr><td><ul>{MENU}</ul></td><td>{BODY}</td></tr></table>",
    "no classes": f"<div><div>{MENU}</div><div><div>{BODY}</div></div><div>{MENU}</div></div>",
    "bare breaks": "<div><a href=/>Home</a> <a href=/b>Back</a></div><div>"
    + "<br><br>".join(PARAGRAPHS)
    + "</div><div><a href=/c>Contact</a></div>",
    "misnamed": f'<div class="sidebar-wrap"><div class="widget">{BODY}</div></div><nav>{MENU}'
    "</nav>",
    "closing sections": f'<div><h2>Quark</h2>{BODY}<h2>References[<a href="#e">edit</a>]</h2><ol>'
    "<li>The Book of Quarks, vol. 2, p. 3.</li></ol><h2>See also</h2><ul><li>Lepton</li></ul>"
    "</div>",
    "teasers": f"<div><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p>"
    + "".join(
        f'<div class="c"><h3><a href="/{i}">Another title {i}</a></h3><p>Some words of another '
        f"text that number {i} has.</p></div>"
        for i in range(4)
    )
    + f"<p>{PARAGRAPHS[2]}</p></div>",
    "footnotes and marks": '<article><h1>Quark<a class="headerlink" href="#q">¶</a></h1>'
    + BODY.replace("matter.", 'matter.<sup class="reference"><a href="#cite-1">[1]</a></sup>', 1)
    + "</article>",
    "scraps at the edges": f"<div>The Site<br>2020-01-02</div><div>{BODY}</div><div>Page 12 of the "
    "archive</div>",
    "cookie first": '<div id="cookie-consent"><p>We use cookies to improve your experience. By '
    f"continuing to browse the site you agree to our use of cookies.</p></div><div>{BODY}</div>",
    "unclosed": f"<nav><ul>{MENU}</ul></nav><div class=text><p>"
    + "<p>".join(PARAGRAPHS)
    + f"<div class=footer><ul>{MENU}",
}


@pytest.mark.parametrize("design", DESIGNS)
def test_main_text_is_found_and_nothing_else(design: str) -> None:
    page = extract(f"<html><head>{HEAD}</head><body>{DESIGNS[design]}</body></html>")
    assert page.text == TEXT


def test_metadata() -> None:
    page = extract(
        f'<html lang="en-GB"><head>{HEAD}<meta property="article:published_time" '
        'content="2021-03-04T05:06:07Z"><link rel="license" '
        'href="https://creativecommons.org/licenses/by-sa/4.0/"></head><body>'
        '<nav class="breadcrumb"><a href="/">Home</a> › <a href="/p">Physics</a> › Quark</nav>'
        '<nav><a href="/elsewhere">Elsewhere</a></nav>'
        '<article><h1>Quark</h1><p class="subtitle">Elementary particle</p>'
        f'{BODY}<p>Read on <a href="../chem/atom.html#top">about atoms</a> and at '
        '<a href="https://other.example/x">another place</a>, or <a href="mailto:a@b.c">write</a>.'
        "</p></article></body></html>"
    )
    assert page.title == "Quark"
    assert page.description == "Elementary particle"
    assert page.topic == "Physics"
    assert page.language_attribute == "en-GB"
    assert page.date == "2021-03-04"
    assert page.licence == "CC-BY-SA-4.0"
    assert page.host == "site.example"
    assert page.links == ["http://site.example/chem/atom.html", "https://other.example/x"]
    assert "Elementary particle" not in page.text and "Home" not in page.text


@pytest.mark.parametrize(
    ("footer", "licence"),
    [
        ('<a href="https://creativecommons.org/licenses/by/3.0/de/">CC</a>', "CC-BY-3.0"),
        ('<a href="http://creativecommons.org/publicdomain/zero/1.0/">0</a>', "CC0-1.0"),
        ('<a rel="license" href="/licence.html">Ours</a>', "/licence.html"),
        ('<a href="/license">About licences</a>', None),
    ],
)
def test_licence_in_the_footer(footer: str, licence: str | None) -> None:
    page = extract(f"<html><body><div>{BODY}</div><footer>{footer}</footer></body></html>")
    assert page.licence == licence and page.text == TEXT


def test_what_a_page_does_not_say_is_none() -> None:
    page = extract(f"<html><body><div>{BODY}</div></body></html>")
    told = (page.title, page.description, page.topic, page.date, page.licence)
    assert told == (None,) * 5 and page.language_attribute is None and page.links == []


@pytest.mark.parametrize(
    "trail",
    [
        "<a>Home</a> &gt; <a>Science</a> &gt; <a>Physics</a> &gt; <b>Quark</b>",
        "<ol><li><a>Site</a></li><li><a>Physics</a></li></ol>",
        "You are here: <a>Start</a> / <a>Physics</a>",
    ],
)
def test_topic_is_the_last_crumb_but_the_title(trail: str) -> None:
    page = extract(
        f'<html><head>{HEAD}</head><body><div class="breadcrumbs">{trail}</div><h1>Quark</h1>'
        f"<div>{BODY}</div></body></html>"
    )
    assert page.topic == "Physics"


def test_a_trail_may_be_named_by_its_label_alone() -> None:
    page = extract(
        f'<html><head>{HEAD}</head><body><nav aria-label="Breadcrumb"><ol><li><a>Home</a></li>'
        f"<li><a>Physics</a></li><li>Quark</li></ol></nav><h1>Quark</h1><div>{BODY}</div></body>"
    )
    assert page.topic == "Physics"


def test_comments_and_captions_are_an_option() -> None:
    html = (
        f'<html><body><div id="all">{BODY}<figure><img><figcaption>Six flavours of quarks, drawn '
        'by hand.</figcaption></figure><div class="comments"><p>What a fine and helpful page this '
        "is, thank you very much for it.</p></div></div></body></html>"
    )
    assert extract(html).text == TEXT
    assert "Six flavours" in extract(html, captions=True).text
    assert "thank you" in extract(html, comments=True).text


def test_a_list_of_links_inside_the_text_goes_but_its_links_are_kept() -> None:
    page = extract(f"<html><body><article>{BODY}<ul>{MENU}</ul></article></body></html>")
    assert page.text == TEXT
    assert len(page.links) == 12


@pytest.mark.parametrize(
    ("html", "content_type", "reason"),
    [
        (b"", None, "empty"),
        (b"%PDF-1.4 ...", "application/pdf", "not HTML"),
        (b"<html><body><nav><a href=/>Home</a></nav></body></html>", None, "no main text"),
        (
            b'<html><head><meta name="robots" content="NoIndex, follow"></head><body><p>'
            b"Text that is long enough to be a main text.</p></body></html>",
            None,
            "noindex",
        ),
        (b"<p>" + b"x" * 5000, None, "too large"),
        (b"<div>" * 100_000 + b"text", None, "too deep"),
        (
            b"<p " + b" ".join(b"a%d=1" % i for i in range(100_000)) + b">",
            None,
            "too many attributes",
        ),
        (b"<p " + b"/".join(b"a%d" % i for i in range(100_000)), None, "too many attributes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_rejected(html: bytes, content_type: str | None, reason: str) -> None:
    limits = Limits(bytes=4000) if reason == "too large" else Limits()
    found = extract_page(html, URL, content_type, ExtractOptions(limits=limits))
    assert isinstance(found, Rejected) and found.reason == reason


def test_a_deep_page_below_the_limit_is_read() -> None:
    html = b"<div>" * 3000 + TEXT.encode() + b"</div>" * 3000
    found = extract_page(html, URL)
    assert isinstance(found, ExtractedPage) and found.text == " ".join(PARAGRAPHS)


def test_long_attributes_and_scripts_are_no_attack() -> None:
    data = (
        b'<img src="data:'
        + b"A b=" * 50_000
        + b'"><script>var x = "'
        + b"a b " * 50_000
        + b'"</script>'
    )
    found = extract_page(b"<html><body>" + data + BODY.encode() + b"</body></html>", URL)
    assert isinstance(found, ExtractedPage) and found.text == TEXT


def test_broken_pages_never_raise() -> None:
    whole = f"<html><head>{HEAD}</head><body>{''.join(DESIGNS.values())}</body></html>".encode()
    pieces = [b"<", b">", b"</p>", b"<table>", b"<p", b"\xff", b"<math>", b"<pre>", b"&#x0;", b'"']
    r = random.Random(0)
    for _ in range(200):
        page = bytearray(whole)
        for _ in range(r.randint(1, 60)):
            at = r.randrange(len(page))
            page[at : at + r.randint(0, 40)] = r.choice(pieces) * r.randint(0, 3)
        options = ExtractOptions(markdown=r.random() < 0.5)
        found = extract_page(bytes(page[: r.randrange(len(page))]), URL, None, options)
        if isinstance(found, ExtractedPage):
            found.text.encode()


def test_same_bytes_same_page() -> None:
    html = f"<html><head>{HEAD}</head><body>{DESIGNS['misnamed']}</body></html>".encode()
    assert extract_page(html, URL) == extract_page(html, URL)
