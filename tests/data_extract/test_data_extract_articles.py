"""Articles in designs whose names mislead, and what stands around an article's text."""

from __future__ import annotations

import json

import pytest

from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page

URL = "https://www.daily.example/news/harbour"
PARAGRAPHS = [
    "The harbour of the old town was closed on Monday, after a storm had torn three boats from "
    "their moorings and thrown them against the pier.",
    "Nobody was hurt, said the harbour master, who had watched the waves from his tower since "
    "four in the morning and had called the fire brigade.",
    "The council wants to decide next week whether the wall will be made higher, a plan that was "
    "put off twice because there was no money for it.",
]
TEXT = "\n\n".join(PARAGRAPHS)
BODY = "".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS)
MENU = "".join(f'<li><a href="/m{i}">Entry {i} of the menu</a></li>' for i in range(9))


def extract(body: str, head: str = "", **options: object) -> ExtractedPage:
    html = f"<html><head><title>Storm - Daily</title>{head}</head><body>{body}</body></html>"
    found = extract_page(html.encode(), URL, None, ExtractOptions(**options))  # type: ignore[arg-type]
    assert isinstance(found, ExtractedPage), found
    return found


@pytest.mark.parametrize(
    "outer",
    [
        '<div class="row no-gutters">',
        '<div class="col gutter-x-30"><div class="section__gutter">',
        '<div class="container sidebar-right">',
        '<div class="layout-right-rail"><div class="row row-offcanvas">',
        '<div class="content-sidebar-wrap">',
        '<div class="widget Blog" id="Blog1">',
        '<div class="article-with-paywall-container paywall">',
        '<div class="print-only modal-enabled">',
        '<div id="a1fb" class="fb-col-12">',
    ],
)
def test_names_of_layouts_hide_no_article(outer: str) -> None:
    page = extract(
        f"<nav><ul>{MENU}</ul></nav>{outer}<h1>Storm</h1><div>{BODY}</div></div>"
        f'<div class="sidebar"><p>{"Who we are and what we do, at some length. " * 3}</p></div>'
    )
    assert page.text == TEXT


def test_a_text_goes_on_after_links_to_related_pages() -> None:
    first, *rest = (f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS)
    page = extract(
        f"<article><h1>Storm</h1>{first}<h2>Related</h2><ul>{MENU}</ul>{''.join(rest)}</article>"
    )
    assert page.text == TEXT
    closing = extract(
        f"<article><h1>Storm</h1>{BODY}<h2>Related</h2><ul>{MENU}</ul>"
        "<div><p>Another story of which this is the beginning, so that you may go and read it."
        "</p></div></article>"
    )
    assert closing.text == TEXT


@pytest.mark.parametrize(
    "farewell",
    [
        'Follow Ann Reed on Twitter <a href="https://twitter.com/annreed">@annreed</a>.',
        'Do you want more? <a href="/letter">Sign up for our daily newsletter</a> and read on.',
        '<a href="/nl">Abonnieren</a> Sie jetzt, was die Redaktion jeden Morgen schreibt.',
        'Pour ne rien manquer, <a href="/nl">abonnez-vous</a> aux lettres de la rédaction.',
        "Suscríbete a todo lo que escribimos: lectores@daily.example, cada día.",
        '<a href="/tg">Подписывайтесь</a> на наш канал, чтобы ничего не пропустить.',
    ],
)
def test_what_asks_readers_to_follow_is_no_part_of_the_text(farewell: str) -> None:
    assert extract(f"<article>{BODY}<p>{farewell}</p></article>").text == TEXT


def test_an_appeal_within_the_text_or_without_a_link_stays() -> None:
    told = "He asked the crews to subscribe to the warnings of the weather service from now on."
    page = extract(f"<article>{BODY}<p>{told}</p></article>")
    assert page.text == f"{TEXT}\n\n{told}"


def test_links_to_other_sites_are_text_and_those_to_the_own_site_are_not() -> None:
    abroad = '<li><a href="https://shop.example/a">A rope of 20 metres</a></li>'
    own = '<li><a href="https://daily.example/b">Ten storms in pictures</a></li>'
    page = extract(f"<article>{BODY}<ul>{abroad * 1}{own}{own}{own}</ul></article>")
    assert "A rope of 20 metres" in page.text and "Ten storms" not in page.text


def test_people_that_pop_up_are_no_part_of_a_sentence() -> None:
    bubble = '<span class="rollover-people-block">Ann Reed was born in 1970 and</span>'
    page = extract(f"<article>{BODY.replace('the harbour master', f'Ann {bubble} Reed', 1)}")
    assert page.text == TEXT.replace("the harbour master", "Ann Reed", 1)


def test_a_body_that_is_only_stated_for_machines() -> None:
    stated = json.dumps({"@type": "NewsArticle", "articleBody": TEXT.replace("\n\n", "\n")})
    page = extract(
        f'<div id="app">Loading</div><script type="application/ld+json">{stated}</script>'
    )
    assert page.text == TEXT
    # What a page shows counts more, however much it states.
    shown = extract(
        f"<article>{BODY}</article><script type='application/ld+json'>"
        f"{stated.replace('storm', 'breeze')}</script>"
    )
    assert shown.text == TEXT


def test_a_body_in_a_template() -> None:
    page = extract(f"<div></div><script type='text/template'><div>{BODY}</div></script>")
    assert page.text == TEXT
    deep = "<div>" * 9000
    found = extract_page(
        f"<body><script type='text/template'>{deep}x</script></body>".encode(), URL
    )
    assert not isinstance(found, ExtractedPage)


def test_comments_are_read_where_there_is_nothing_else() -> None:
    posts = "".join(f'<div class="comment"><p>{paragraph}</p></div>' for paragraph in PARAGRAPHS)
    assert PARAGRAPHS[1] in extract(f'<div class="comments">{posts}</div>').text
    page = extract(f'<article>{BODY}</article><div class="comments">{posts}</div>')
    assert page.text == TEXT


def test_long_comments_in_styles_are_no_attributes() -> None:
    style = "<style><!-- /* " + "a word or two " * 2000 + "*/ --></style>"
    assert extract(f"{style}<article>{BODY}</article>").text == TEXT
