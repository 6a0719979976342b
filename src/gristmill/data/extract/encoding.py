"""The encoding of a page, decided as browsers do.

WHATWG Encoding and HTML standards: a byte-order mark wins over the HTTP header, that over a
`<meta>` in the first 1,024 bytes. Without any of them: UTF-8 where the bytes are valid UTF-8, else
a later `<meta>` in the head (at which browsers begin anew), else what the bytes look like
(`gristmill.data.extract.looks`), else windows-1252, the browsers' fallback for western locales.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

from gristmill.data.extract.looks import escapes_to_japanese, looks_like

PRESCAN_BYTES = 1024
_FALLBACK = "windows-1252"
# Byte-order marks.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_BYTE_ORDER_MARKS = tuple(mark for mark, _ in _MARKS)
# <meta charset=x> and <meta http-equiv=content-type content="text/html; charset=x">.
_META = re.compile(rb"<meta\s[^>]{0,400}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,40})", re.I)
_OPENS = re.compile(rb"<(!--|script\b|style\b|meta\b|body\b)", re.I)
_CLOSES = {b"!--": b"-->", b"script": b"</", b"style": b"</"}
_HEAD_BYTES = 1 << 18
_PIECE = 1 << 14  # bytes
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]{1,40})", re.I)

# Labels for which the WHATWG standard decodes something else than Python's codec of that name.
_LABELS = {
    "iso-8859-1": "windows-1252",
    "iso8859-1": "windows-1252",
    "iso_8859-1": "windows-1252",
    "latin1": "windows-1252",
    "latin-1": "windows-1252",
    "l1": "windows-1252",
    "ascii": "windows-1252",
    "us-ascii": "windows-1252",
    "ansi_x3.4-1968": "windows-1252",
    "x-cp1252": "windows-1252",
    "iso-8859-9": "windows-1254",
    "latin5": "windows-1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "utf8": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "utf-16": "utf-16-le",
}
# The encodings of the WHATWG standard by Python's names. What is not there (UTF-7, UTF-32, EBCDIC,
# HZ) is read by no browser, and would hide tags from checks on bytes.
_KNOWN = frozenset(
    """utf-8 utf-16-le utf-16-be cp866 cp874 cp932 cp949 koi8-r koi8-u mac-roman mac-cyrillic
    gb18030 big5hkscs euc_jp iso2022_jp""".split()
    + [f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)]
    + [f"cp{page}" for page in range(1250, 1259)]
)
# What a <meta> cannot mean: it was read as single bytes (HTML standard, "prescan").
_META_IS_UTF8 = {"utf-16", "utf-16-le", "utf-16-be", "utf-16le", "utf-16be"}


def page_in_utf8(html: bytes, content_type: str | None = None) -> tuple[bytes, str]:
    """The page in UTF-8 and the encoding that it was read in, as `decode_page` reads it.

    Most pages say that they are UTF-8: they are given back as they came. Where bytes in them are
    none, the parser keeps these, and they become U+FFFD when a text is read from it.
    """
    if not html.startswith(_BYTE_ORDER_MARKS):
        known = _told(content_type) or _stated(_meta(html, PRESCAN_BYTES, prescan=True))
        if known == "utf-8":
            return html, known
        if known is None and _is_utf8(html) and not escapes_to_japanese(html):
            return html, "utf-8"
    text, encoding = decode_page(html, content_type)
    return text.encode("utf-8", "replace"), encoding


def _is_utf8(html: bytes) -> bool:
    # In pieces that stay in the processor's cache: nearly twice as fast as all at once.
    if html.isascii():
        return True
    view, at = memoryview(html), 0
    try:
        while at < len(html):
            end = at + _PIECE
            at += codecs.utf_8_decode(view[at:end], "strict", end >= len(html))[1]
    except UnicodeDecodeError:
        return False
    return True


def decode_page(html: bytes, content_type: str | None = None) -> tuple[str, str]:
    """The page's text and the encoding that it was read in; bytes that do not fit become U+FFFD."""
    for mark, encoding in _MARKS:
        if html.startswith(mark):
            return html[len(mark) :].decode(encoding, "replace"), encoding
    known = _told(content_type) or _stated(_meta(html, PRESCAN_BYTES, prescan=True))
    if known is None:
        try:
            text = html.decode("utf-8")
            if not (html.isascii() and escapes_to_japanese(html)):
                return text, "utf-8"
            known = "iso2022_jp"
        except UnicodeDecodeError as error:
            # A page that was cut off within a character is still UTF-8, where it held others.
            if error.reason == "unexpected end of data" and not html[: error.start].isascii():
                known = "utf-8"
    if known is None:
        known = _stated(_meta(html, _HEAD_BYTES, prescan=False)) or looks_like(html) or _FALLBACK
    if known == _FALLBACK:
        return _decode_windows_1252(html), known
    return html.decode(known, "replace"), known


def _told(content_type: str | None) -> str | None:
    match = _HEADER.search(content_type) if content_type else None
    return _codec(match[1].lower()) if match else None


def _stated(meta: re.Match[bytes] | None) -> str | None:
    if meta is None:
        return None
    label = meta[1].decode("ascii").lower()
    return "utf-8" if label in _META_IS_UTF8 else _codec(label)


def _meta(html: bytes, limit: int, *, prescan: bool) -> re.Match[bytes] | None:
    """The first `<meta>` of the head that states an encoding, outside of comments and scripts.

    prescan: scripts are looked into too, as the HTML standard's prescan does.
    """
    position, end = 0, min(len(html), limit)
    while opening := _OPENS.search(html, position, end):
        what = opening[1].lower()
        if what == b"meta":
            found = _META.match(html, opening.start(), end)
            if found:
                return found
        elif what == b"body" and not prescan:
            return None
        if what in (b"meta", b"body") or (prescan and what != b"!--"):
            position = opening.end()
            continue
        close = html.find(_CLOSES[what], opening.end(), end)
        if close < 0:
            return None
        position = close
    return None


@lru_cache(maxsize=512)
def _codec(label: str) -> str | None:
    label = _LABELS.get(label, label)
    try:
        codec = codecs.lookup(label)
    except (LookupError, ValueError):
        return None
    if codec.name in ("cp1252", "iso8859-1", "ascii"):
        return _FALLBACK
    return codec.name if codec.name in _KNOWN else None


def _decode_windows_1252(body: bytes) -> str:
    # The five bytes that Python leaves undefined are C1 controls in the WHATWG table.
    try:
        return body.decode("cp1252")
    except UnicodeDecodeError:
        return body.decode("latin-1").translate(_C1)


_C1 = {
    byte: bytes([byte]).decode("cp1252")
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
