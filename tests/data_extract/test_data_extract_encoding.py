"""Encodings, decided as browsers do."""

from __future__ import annotations

import codecs

import pytest

from gristmill.data.extract.encoding import decode_page

RUSSIAN = "Привет, мир"


@pytest.mark.parametrize(
    ("html", "content_type", "encoding", "contains"),
    [
        (codecs.BOM_UTF8 + "é".encode(), "text/html; charset=latin1", "utf-8", "é"),
        (codecs.BOM_UTF16_LE + "é".encode("utf-16-le"), None, "utf-16-le", "é"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), None, "utf-16-be", "é"),
        (RUSSIAN.encode("cp1251"), "text/html; charset=windows-1251", "cp1251", RUSSIAN),
        (b"<meta charset='koi8-r'>" + RUSSIAN.encode("koi8-r"), None, "koi8-r", RUSSIAN),
        (
            b'<META http-equiv=Content-Type content="text/html; charset=windows-1251">'
            + RUSSIAN.encode("cp1251"),
            None,
            "cp1251",
            RUSSIAN,
        ),
        # The header wins over the page, and ISO 8859-1 means windows-1252 on the web.
        (b"<meta charset=utf-8>\x93x\x94", "text/html;charset=ISO-8859-1", "windows-1252", "“x”"),
        ("<p>é".encode(), None, "utf-8", "é"),
        ("<p>é".encode("latin-1"), None, "windows-1252", "é"),
        ("<p>東京".encode("shift_jis"), "text/html; charset=Shift_JIS", "cp932", "東京"),
        (b"<meta charset=utf-16><p>\xc3\xa9", None, "utf-8", "é"),
        (b"<meta charset=rot13><p>\xc3\xa9", None, "utf-8", "é"),
        (b"<meta charset=nonsense><p>\xe9", None, "windows-1252", "é"),
        (b"\x81\x93", "text/html; charset=windows-1252", "windows-1252", "\x81“"),
        (b"a\xff", "text/html; charset=utf-8", "utf-8", "a\ufffd"),
    ],
)
def test_encoding(html: bytes, content_type: str | None, encoding: str, contains: str) -> None:
    text, found = decode_page(html, content_type)
    assert found == encoding
    assert contains in text


def test_a_page_cut_off_inside_a_character_is_utf8() -> None:
    text, encoding = decode_page("Zürich é".encode()[:-1])
    assert encoding == "utf-8" and text == "Zürich \ufffd"
