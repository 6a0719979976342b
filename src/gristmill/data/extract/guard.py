"""Cheap checks on bytes, before a parser sees a page that was made to hurt.

They are linear and need no memory of the page's size. What passes them and is still too slow is
the business of the time limit of the worker that runs the extraction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import re2
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9-]{0,20})")
_PARTS = b" \t\n\r\f\v/"  # one from another, the attributes of a tag
_QUOTED = re.compile(rb"\"[^\"]*\"|'[^']*'")
# By re2 in a fifteenth of the time: it jumps from one & to the next.
_GROWS = re2.compile(rb"&n[GL]t;")
_GREATER, _LESS = "\u226b\u20d2".encode(), "\u226a\u20d2".encode()
_OPENS = ord("<")
_SNIFFED = 4096
# But for tab, line feed, form feed, carriage return, and escape (ISO-2022-JP).
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\t\n\f\r\x1b")
_VOID = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li dt dd "
    b"option tr td th thead tbody tfoot".split()
)


@dataclass(frozen=True)
class Limits:
    """What a page may be at most. Real pages stay far below all of them."""

    bytes: int = 8 << 20
    # Browsers stop nesting at 512; a page that leaves its tags open can be much deeper.
    depth: int = 4000
    # Of one element: duplicates are searched among all earlier ones, which is quadratic.
    attributes: int = 2000


def refuse(html: bytes, limits: Limits) -> str | None:
    """Why a page must not be parsed ('too large', 'too deep', 'too many attributes'), or None."""
    if len(html) > limits.bytes:
        return "too large"
    # A tree of fewer elements is walked in a moment, however deep; the walk has the same limit.
    if _tags(html) > 5 * limits.depth and _depth(html, limits.depth) > limits.depth:
        return "too deep"
    if _attributes(html, limits.attributes):
        return "too many attributes"
    return None


def is_binary(html: bytes) -> bool:
    """Whether bytes are no text in any encoding that keeps ASCII: a picture, an archive, UTF-16
    that does not say so. More than one in 25 of the first 4,096 is a control character."""
    head = html[:_SNIFFED]
    return 25 * (len(head) - len(head.translate(None, _CONTROLS))) > len(head)


def parse(page: str | bytes) -> LexborHTMLParser:
    """The tree of a page, text or UTF-8, as a browser with scripts would see it.

    The parser (lexbor 2 in selectolax 1.0.2) makes room for as many bytes as a character reference
    has, and writes past its end where the text is longer. Of all 2,231 names those are two, 5 bytes
    that stand for 6; they are put in by us. Raises MemoryError: it refuses a page only for that.
    """
    utf8 = page.encode("utf-8", "replace") if isinstance(page, str) else page
    if _GROWS.search(utf8):
        utf8 = utf8.replace(b"&nGt;", _GREATER).replace(b"&nLt;", _LESS)
    try:
        return LexborHTMLParser(utf8, scripting=True)
    except SelectolaxError as error:
        raise MemoryError(str(error)) from error


def _tags(html: bytes) -> int:
    # Five times as fast as `bytes.count`, for a single byte.
    return int(np.count_nonzero(np.frombuffer(html, np.uint8) == _OPENS))


def _depth(html: bytes, cap: int) -> int:
    # An upper bound without closing rules: elements that need no end tag are left out.
    depth = deepest = 0
    for match in _TAG.finditer(html):
        if match[2].lower() in _VOID:
            continue
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > deepest:
            deepest = depth
            if deepest > cap:
                break
    return deepest


def _attributes(html: bytes, cap: int) -> bool:
    # A tag with more attributes is at least twice as many bytes long, and so is what lies between
    # two '>'. One that begins with it covers its middle.
    position, last, window = 0, len(html) - cap, 2 * cap
    while position < last:
        found = html.rfind(b">", position, position + window)
        if found >= 0:
            position = found + 1
            continue
        position += cap
        start = html.rfind(b"<", 0, position + 1)
        end = html.find(b">", position)
        end = len(html) if end < 0 else end
        # Comments and CDATA, in which scripts and styles stand, have no attributes.
        opens = start >= 0 and html[start + 1 : start + 2].strip(b"!?") != b""
        if opens and end - start > window and html.find(b">", start, position) < 0:
            tag = html[start:end]
            if len(tag) - len(tag.translate(None, _PARTS)) >= cap:
                tag = _QUOTED.sub(b"q", tag)
                if len(tag.replace(b"/", b" ").split()) > cap:
                    return True
        position = end + 1
    return False
