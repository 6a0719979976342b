"""Encodings, decided as browsers do."""

from __future__ import annotations

import codecs

import pytest

from gristmill.data.extract.encoding import decode_page, page_in_utf8
from gristmill.data.extract.page import ExtractedPage, extract_page

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


LATE = b"<head><script>var a = 1</script>" + b" " * 2000


@pytest.mark.parametrize(
    ("html", "encoding"),
    [
        (LATE + b"<meta charset=windows-1250>" + "\u017c\u00f3\u0142w".encode("cp1250"), "cp1250"),
        (LATE + b"<!-- <meta charset=big5> --><meta charset=koi8-r>\xd4\xd5\xd4", "koi8-r"),
        (LATE + b"<script>'<meta charset=big5>'</script><meta charset=koi8-r>\xd4", "koi8-r"),
        (b"<!-- <meta charset=big5> --><meta charset=koi8-r>\xd4\xd5\xd4", "koi8-r"),
        # Without an error browsers do not begin anew.
        (LATE + b"<body><meta charset=koi8-r>\xd4\xd5\xd4", "windows-1252"),
        (LATE + b"<!--" * 3000 + b"\xd4", "windows-1252"),
    ],
)
def test_a_meta_after_the_first_kilobyte(html: bytes, encoding: str) -> None:
    assert decode_page(html)[1] == encoding


JAPANESE = "東京は日本の首都であり、人口が最も多い都市です。その歴史は江戸時代にさかのぼります。"
UNSTATED = {
    "cp1251": "\u0420\u043e\u0441\u0441\u0438\u0439\u0441\u043a\u0438\u0435 "
    "\u0443\u0447\u0451\u043d\u044b\u0435 \u043d\u0430\u0448\u043b\u0438 "
    "\u043d\u043e\u0432\u044b\u0439 \u0441\u043f\u043e\u0441\u043e\u0431.",
    "cp932": JAPANESE,
    "euc_jp": JAPANESE,
    "iso2022_jp": JAPANESE,
    "gb18030": "北京是中国的首都，也是全国的政治中心。这个城市有很多人，他们说这是一个很大的地方。",
    "big5hkscs": "臺北是臺灣的首都，也是政治中心。這個城市有很多人，他們說這是一個大的地方。",
    "cp949": "서울은 대한민국의 수도이자 최대 도시이다. 한강을 중심으로 하는 도시로서 역사가 있다.",
    "cp1250": "Zażółć gęślą jaźń, powiedział minister. Dziś środa, są wśród żołnierzy.",
    "windows-1252": "Le président a déclaré que la société était prête à accepter ce défi en été.",
}


@pytest.mark.parametrize("encoding", UNSTATED)
def test_what_states_no_encoding_is_told_by_its_letters(encoding: str) -> None:
    text = UNSTATED[encoding]
    html = f"<html><title>x</title><body class=one><p>{text}</p></body></html>"
    found, name = decode_page(html.encode("cp1252" if encoding == "windows-1252" else encoding))
    assert name == encoding and text in found
    assert page_in_utf8(found.encode(encoding), None) == (found.encode(), encoding)


@pytest.mark.parametrize("before", range(16_380, 16_386))
@pytest.mark.parametrize("sign", ["é", "東", "\U0001f600"])
def test_utf8_that_nobody_states_is_found_sound_or_not(before: int, sign: str) -> None:
    html = b"-" * before + sign.encode() * 9_000
    assert page_in_utf8(html) == (html, "utf-8")
    for broken in (html[:-1] + b"-", b"\xff" + html, html[: before + 1] + b"-" + html[before:]):
        text, encoding = decode_page(broken)
        assert page_in_utf8(broken) == (text.encode(), encoding) and encoding != "utf-8"


def test_bytes_that_are_none_of_the_stated_utf8_are_read_as_the_replacement() -> None:
    body = b"The text of this page goes on for a while"
    for broken in (b"\xff", b"\xe2\x80", b"\xed\xa0\x80", b"\xc3"):
        html = b"<meta charset=utf-8><title>T</title><p>" + body + broken + b"<b>and</b> on, too."
        told = extract_page(html, "https://example.org/")
        replaced = decode_page(html)[0].encode()
        assert told == extract_page(replaced, "https://example.org/")
        assert isinstance(told, ExtractedPage) and "while\ufffd" in told.text
