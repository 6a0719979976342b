"""Pages that were damaged or made to hurt, from a seed: what the extraction must survive."""

from __future__ import annotations

import random
from collections.abc import Callable

PARAGRAPH = "Words that make up paragraph {} of a page, long enough to count as running text, {}."
ARTICLE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Page {n}</title>
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body>
<nav class="menu"><ul><li><a href="/">Home</a></li><li><a href="/a">About</a></li></ul></nav>
<main><h1>Page {n}</h1><p class="byline">By somebody, 2024-02-03</p>
{paragraphs}
<h2>A list and a table</h2><ol><li>One &amp; two<li>Three<ul><li>four</li></ul></ol>
<table><tr><th>a<th>b<tr><td>1<td>2</table>
<pre><code class="language-python">if x &lt; 1:
    y = 2</code></pre>
<p>Where <math><mi>x</mi><mo>=</mo><mn>1</mn></math> and <script type="math/tex">y^2</script>.</p>
<form><input name=q><button>Go</button><select><option>1<option>2</select></form>
<h2>References</h2><p><a href="http://x.example/">A reference</a></p></main>
<footer>Contact <a href="/imprint">imprint</a></footer></body></html>"""
_TAGS = (
    "div p a b i table tr td th ul li ol dl dt dd form select option button svg math mi pre code "
    "script style template noscript textarea title h1 h6 span font frameset body html head br img "
    "iframe object math annotation-xml foreignObject mtext plaintext xmp listing ruby rt caption"
).split()
_NESTS = ("<div>", "<table><tr><td>", "<ul><li>", "<form><div>", "<b><i>", "<blockquote>",
          "<svg><td>", "<font color=a>", "<a href=x><div>", "<select><option>", "<dl><dd>",
          "<math><mi>")  # fmt: skip
_ENTITIES = (
    "&amp;",
    "&#0;",
    "&#x110000;",
    "&lt;script&gt;",
    "&" + "a" * 300,
    "&#" + "9" * 40,
    "&nGt;",
)
_ODD = (
    "\u202e",
    "\u2066",
    "\u200b",
    "\x1b[31m",
    "\x07",
    "\x85",
    "\ufeff",
    "\ufffe",
    "\U0010ffff",
    "\x00",
)
_CHARSETS = ("utf-7", "utf-16", "utf-16-be", "utf-32", "cp037", "hz", "iso-2022-kr", "shift_jis",
             "rot13", "x-user-defined", "unicode_escape", "\u00e9", "a" * 2000, "")  # fmt: skip


def article(number: int) -> bytes:
    """A sound page."""
    paragraphs = "\n".join(f"<p>{PARAGRAPH.format(i, number)}</p>" for i in range(6))
    return ARTICLE.format(n=number, paragraphs=paragraphs).encode()


def mutated(seed: int, count: int) -> list[tuple[str, bytes]]:
    """`count` (content type, body), each kind of damage in turn."""
    pages = []
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        kind = _KINDS[number % len(_KINDS)]
        content_type = "text/html"
        if draw.random() < 0.3:
            content_type += f"; charset={draw.choice(_CHARSETS)}"
        pages.append((content_type, kind(draw, article(number))))
    return pages


def _flipped(draw: random.Random, page: bytes) -> bytes:
    damaged = bytearray(page)
    for _ in range(draw.randint(1, 200)):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def _spliced(draw: random.Random, page: bytes) -> bytes:
    for _ in range(draw.randint(1, 30)):
        a, b, c = sorted(draw.randrange(len(page) + 1) for _ in range(3))
        page = page[:a] + page[b:c] + page[a:b] + page[c:]
    return page


def _truncated(draw: random.Random, page: bytes) -> bytes:
    return page[: draw.randrange(len(page))]


def _nul_bytes(draw: random.Random, page: bytes) -> bytes:
    return b"\0".join(page[i : i + draw.randint(1, 40)] for i in range(0, len(page), 40))


def _soup(draw: random.Random, page: bytes) -> bytes:
    out = []
    for _ in range(draw.randint(10, 3000)):
        tag = draw.choice(_TAGS)
        out.append(
            draw.choice([f"<{tag}>", f"</{tag}>", f"<{tag} ", f"<{tag} class='nav a'>", " text. "])
        )
    return "".join(out).encode() + page


def _nested(draw: random.Random, page: bytes) -> bytes:
    return draw.choice(_NESTS).encode() * draw.randint(50, 6000) + page


def _unclosed(draw: random.Random, page: bytes) -> bytes:
    opened = [b"<!--", b"<script>", b"<style>", b"<textarea>", b"<title>", b"<![CDATA[",
              b"<a href='", b"<plaintext>", b"<xmp>", b"<noscript>", b"<svg><![CDATA[",
              b"<template>"]  # fmt: skip
    at = draw.randrange(len(page))
    return page[:at] + draw.choice(opened) + page[at:]


def _attributes(draw: random.Random, page: bytes) -> bytes:
    kind = draw.randrange(3)
    if kind == 0:
        tag = b"<div class='" + b"nav menu x" * draw.randint(1, 20_000) + b"'>"
    elif kind == 1:
        tag = b"<div " + b" ".join(b"a%d=1" % i for i in range(draw.randint(1, 5000))) + b">"
    else:
        tag = b"<img alt='" + b"\\frac{1}" * draw.randint(1, 20_000) + b"' src=x>"
    return page.replace(b"<main>", b"<main>" + tag)


def _entities(draw: random.Random, page: bytes) -> bytes:
    bomb = "".join(draw.choice(_ENTITIES) for _ in range(draw.randint(1, 5000)))
    return page.replace(b"</h1>", b"</h1><p>" + bomb.encode() + b"</p>")


def _odd_characters(draw: random.Random, page: bytes) -> bytes:
    text = page.decode()
    for _ in range(draw.randint(1, 60)):
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice(_ODD) + text[at:]
    return text.encode("utf-8", "surrogatepass")


def _encoded(draw: random.Random, page: bytes) -> bytes:
    name = draw.choice(
        ["utf-7", "utf-16-le", "utf-16-be", "utf-16", "utf-32", "cp037", "utf-8-sig"]
    )
    return page.decode().encode(name)


def _noise(draw: random.Random, page: bytes) -> bytes:
    return draw.randbytes(draw.randint(0, 5000))


_KINDS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flipped, _spliced, _truncated, _nul_bytes, _soup, _nested, _unclosed, _attributes, _entities,
    _odd_characters, _encoded, _noise,
)  # fmt: skip
