"""URLs: one spelling per page, and no way to hide a host; links of a page."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from gristmill.core.errors import GristmillError
from gristmill.data.crawl.links import page_links, robots_words
from gristmill.data.crawl.resolver import is_public
from gristmill.data.crawl.scope import Scope
from gristmill.data.crawl.urls import BadUrl, host_of, normalise, split_origin

BASE = "http://site.example/a/b?q=1"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("HTTP://Site.Example:80", "http://site.example/"),
        ("https://site.example:443/x#top", "https://site.example/x"),
        ("https://site.example:8443/x", "https://site.example:8443/x"),
        ("c", "http://site.example/a/c"),
        ("/c/./d/../e", "http://site.example/c/e"),
        ("../../../c", "http://site.example/c"),
        ("?r=2", "http://site.example/a/b?r=2"),
        ("//other.example/x", "http://other.example/x"),
        ("\\\\other.example\\x", "http://other.example/x"),
        ("http:/\\other.example/x", "http://other.example/x"),
        ("http:c", "http://site.example/a/c"),
        (" \thttp://site.example/ x\n ", "http://site.example/%20x"),
        ("http://site.example/%7euser/%c3%a9%2f", "http://site.example/~user/%C3%A9%2F"),
        ("http://site.example/é?ü=%zz", "http://site.example/%C3%A9?%C3%BC=%25zz"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://site.example/?utm_source=x&a=1&gclid=2&b", "http://site.example/?a=1&b"),
        ("http://site.example/?", "http://site.example/"),
        ("http://site.example/x;jsessionid=1A?y=1", "http://site.example/x?y=1"),
        ("http://site.example./x", "http://site.example/x"),
        ("http://user:pass@site.example/x", "http://site.example/x"),
        ("", "http://site.example/a/b?q=1"),
    ],
)
def test_normalise(url: str, wanted: str) -> None:
    assert normalise(url, BASE) == wanted
    assert normalise(wanted) == wanted


@pytest.mark.parametrize(
    "url",
    ["mailto:a@b.example", "javascript:alert(1)", "ftp://site.example/", "data:text/html,x",
     "http://", "http://a b/", "http://site.example:99999/", "http://site.example:x/",
     "http://[::1", "http://" + "a" * 300 + ".example/", "http://site.example/" + "a" * 3000,
     "http://256.1.1.1/", "http://1.2.3.4.5/", "http://08.1.1.1/", "http://a..example/",
     "http://site.example%00.evil.example/", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_page_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        normalise(url)


HIDDEN = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "0", "0.0.0.0", "10.0.0.1", "10.1", "167772161", "172.16.0.1", "192.168.1.1", "0xc0a80101",
    "169.254.169.254", "2852039166", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:ffff:10.0.0.1]",
    "[fe80::1%25eth0]", "[fc00::1]", "[fd12::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:7f00:1::]", "[ff02::1]", "public.example@127.0.0.1", "a:b@[::1]", "127.0.0.1:80",
    "１２７.0.0.1", "%31%32%37.0.0.1", "127.0.0.1.", "192.88.99.1", "198.18.0.1", "[fec0::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", HIDDEN)
def test_every_spelling_of_a_private_address_is_seen_as_one(host: str) -> None:
    try:
        seen = host_of(normalise(f"http://{host}/"))
    except BadUrl:
        return
    assert not is_public(seen), seen


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", BASE]))
def test_normalise_is_idempotent_and_raises_nothing_else(text: str, base: str) -> None:
    for url in (text, f"http://{text}", f"http://site.example/{text}"):
        try:
            found = normalise(url, base)
        except BadUrl:
            continue
        assert normalise(found) == found
        assert found.isascii() and " " not in found
        assert split_origin(found)[1] == host_of(found)


def test_scope() -> None:
    scope = Scope(["a.example", "*.b.example"], include=[r"\.html|/$"], exclude=["/private/"])
    assert scope.refusal("http://a.example/x.html") is None
    assert scope.refusal("http://b.example/") is None
    assert scope.refusal("http://x.y.b.example:8080/") is None
    assert scope.refusal("http://notb.example/") == "host"
    assert scope.refusal("http://sub.a.example/") == "host"
    assert scope.refusal("http://a.example:22/") == "port"
    assert scope.refusal("http://a.example/private/x.html") == "excluded"
    assert scope.refusal("http://a.example/x.pdf") == "not_included"
    assert scope.refusal("http://a.example/" + "x/y/" * 9) == "trap"
    query = "&".join(f"a{i}=1" for i in range(20))
    assert scope.refusal(f"http://a.example/x.html?{query}") == "trap"
    with pytest.raises(GristmillError, match="no regular expression"):
        Scope(["a.example"], include=["("])


PAGE = """<!doctype html><head><base href="/dir/"><link rel="canonical" href="/canon">
<link rel="stylesheet" href="style.css"><meta name="Robots" content="NoIndex, noai">
<script>document.write('<a href="/script">')</script><title><a href="/title"></title></head>
<!-- <a href="/comment"> --><body><a HREF=one>1</a><a class=x href='two?a=1&amp;b=2'>2</a>
<area href="/three"><a rel="nofollow noopener" href="/four">4</a><a href="#here">5</a>
<a href="mailto:x@y.example">6</a><a name=x>7</a><abbr href="/no">8</abbr>
<a title="a > b" href="/five">9</a><a href="/q?x=1&copy=2">10</a><img src="/no.png">
<textarea><a href="/textarea"></textarea><a href="http://other.example">11</a><a href=one>12</a>"""


def test_links_of_a_page() -> None:
    found = page_links(PAGE, "http://site.example/page")
    assert [link.removeprefix("http://site.example") for link in found.links] == [
        "/canon", "/dir/one", "/dir/two?a=1&b=2", "/three", "/four", "/five", "/q?x=1&copy=2",
        "http://other.example/",
    ]  # fmt: skip
    assert found.canonical == "http://site.example/canon"
    assert found.robots == ("noai", "noindex")
    assert "http://site.example/four" not in page_links(PAGE, BASE, skip_nofollow=True).links


def test_links_agree_with_a_dom() -> None:
    random_ = random.Random(3)
    parts = ["<p>", "</p>", "<!-- x -->", "<b>", "</b>", "text & more", "<a>", "<br/>",
             "<script>if (a<b) '<a href=/no>'</script>", "<style>a{}</style>", "<i x='>'>",
             "<a href=/{}>l</a>", '<a href="/{}">l</a>', "<a class='x'  href = '/{}' >l</a>",
             "<area href=/{} />", "< a href=/no>", "</a href=/no>", "<div\nid=x>"]  # fmt: skip
    for _ in range(200):
        page = "".join(random_.choice(parts).replace("{}", str(i)) for i in range(40))
        nodes = LexborHTMLParser(page).css("a[href],area[href]")
        wanted = [f"http://site.example{node.attributes['href']}" for node in nodes]
        assert list(page_links(page, BASE).links) == [normalise(url) for url in wanted], page


@pytest.mark.parametrize(
    "page",
    ["<div>" * 100_000, "<a " + "x=1 " * 300_000 + ">", "<a href='" * 50_000, "<!--" * 100_000,
     "<script>" * 50_000, "<a" * 200_000, "<a href=" + " " * 300_000, "<a =" * 100_000,
     "&#" * 100_000, '<a href="&' + "a" * 100_000 + '">', "<a x" + "/" * 300_000],
)  # fmt: skip
def test_hostile_pages_cost_little(page: str, cpu_seconds: Any) -> None:
    with cpu_seconds(20):
        found = page_links(page + "<a href=/end>", BASE)
    assert len(found.links) <= 5000


def test_a_page_of_links_is_cut() -> None:
    page = "".join(f"<a href=/{i}>" for i in range(9000))
    assert len(page_links(page, BASE).links) == 5000


def test_robots_header() -> None:
    assert robots_words(["noindex, nofollow", "otherbot: noarchive"]) == ("nofollow", "noindex")
