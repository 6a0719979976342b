from __future__ import annotations

import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.patterns import REGEXES, pattern_code
from gristmill.tokenizer.splitter import split
from gristmill.tokenizer.unicode_classes import (
    LETTER,
    MARK,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
    class_table,
)

# The oracle's `regex` may know a later Unicode than the 16.0 of the table.
_NEWER = (regex.compile(r"[\p{L}\p{N}]"), regex.compile(r"[\p{Lu}\p{Lt}]"), regex.compile(r"\p{M}"))


def _known(text: str) -> bool:
    table, cased = class_table(), class_table(pattern_code("o200k"))
    return all(
        [bool(newer.match(c)) for newer in _NEWER]
        == [table[ord(c)] in (LETTER, NUMBER), cased[ord(c)] == UPPER, cased[ord(c)] == MARK]
        for c in text
    )


def _oracle(text: str, pattern: str) -> list[bytes]:
    return [found.group().encode() for found in regex.finditer(REGEXES[pattern], text)]


@pytest.mark.parametrize("pattern", sorted(REGEXES))
def test_pieces_equal_the_regex(pattern: str, texts: list[str], strange_texts: list[str]) -> None:
    compared = 0
    for text in [*texts, *strange_texts]:
        if _known(text):
            assert split(text.encode(), pattern) == _oracle(text, pattern), text
            compared += 1
    assert compared > 2000


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="'sStlLrReEvVmMdDſ \n\r\t\u00a0\x85a1½!é中🙂", max_size=20))
def test_pieces_equal_the_regex_where_alternatives_compete(text: str) -> None:
    for pattern in REGEXES:
        assert split(text.encode(), pattern) == _oracle(text, pattern)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_no_byte_is_lost_where_text_is_not_utf8(data: bytes) -> None:
    for pattern in REGEXES:
        pieces = split(data, pattern)
        assert b"".join(pieces) == data
        assert all(pieces)


def test_by_hand() -> None:
    assert split(b"It's 12345  cats!\n\n x") == [
        b"It", b"'s", b" ", b"123", b"45", b" ", b" cats", b"!\n\n", b" x",
    ]  # fmt: skip
    assert split(b"It's 12345  cats!", "gpt2") == [
        b"It", b"'s", b" 12345", b" ", b" cats", b"!",
    ]  # fmt: skip
    assert split(b"a 123", "qwen") == [b"a", b" ", b"1", b"2", b"3"]


def test_classes_agree_with_unicodedata() -> None:
    table = class_table().tolist()
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        expected = {"L": LETTER, "N": NUMBER}.get(category[0])
        if expected is not None:
            # A later Python may know letters that came after Unicode 16.0.
            newer = unicodedata.unidata_version > "16.0.0" and table[code] == OTHER
            assert newer or table[code] == expected, hex(code)
        elif category != "Cn":
            assert table[code] in (OTHER, SPACE, NEWLINE), hex(code)
    space = regex.compile(r"\s")
    white = [code for code in range(0x110000) if space.match(chr(code))]
    assert white == [code for code in range(0x110000) if table[code] in (SPACE, NEWLINE)]


def test_an_unknown_pattern_is_refused() -> None:
    with pytest.raises(GristmillError, match="gpt5"):
        pattern_code("gpt5")
