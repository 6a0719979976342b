"""What an element's tag means to the walk over a page, and the number that the parser gives it."""

from __future__ import annotations

from typing import Any

from selectolax.lexbor import LexborHTMLParser

SKIP, INLINE, BREAK, BLOCK, SPECIAL = range(5)
KINDS: dict[str, int] = {}
for _kind, _tags in {
    SKIP: """style template noscript iframe object embed svg canvas audio video select option
        button input textarea head link meta title frameset noframes map datalist progress meter
        applet dialog base source track param area amp-ad amp-analytics -comment -doctype""",
    INLINE: """a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark
        nobr q rp rt ruby s samp small span strike strong sub sup time tt u var rb rtc output
        slot center-inline math-renderer""",
    BREAK: "br wbr",
    SPECIAL: """script math m:math mml:math img pre hr mjx-container textarea listing xmp
        plaintext""",
}.items():
    for _tag in _tags.split():
        KINDS[_tag] = _kind
# Of all other tags, those that nearly all pages are made of.
_BLOCKS = """div p ul ol li dl dt dd table thead tbody tfoot tr td th caption h1 h2 h3 h4 h5 h6
    article section main header footer nav aside figure figcaption blockquote form fieldset address
    center details summary"""


def _numbers() -> tuple[int, dict[int, tuple[str, int]]]:
    """The number of text, and by their numbers the tags that the parser knows, with their kinds.

    A tag that it does not know has another number in each document: an address, far above these.
    """
    parser = LexborHTMLParser("<body>text<!-- -->")
    assert parser.body is not None
    text, comment = parser.body.iter(include_text=True)
    found = {comment.tag_id: ("-comment", SKIP)}
    for tag in (*KINDS, *_BLOCKS.split()):
        if tag[0] != "-":
            number = parser.create_node(tag).tag_id
            if number < 1 << 12:
                found[number] = tag, KINDS.get(tag, BLOCK)
    return text.tag_id, found


TEXT, KNOWN = _numbers()


def tag_and_kind(node: Any) -> tuple[str, int]:
    """The same as `KNOWN` for any node."""
    tag: str = node.tag
    return tag, KINDS.get(tag, BLOCK)
