"""Every pre-tokenizer against the regex by which other tools know it, on 10,000 odd texts."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import regex
from tokenizers import Regex, pre_tokenizers

from gristmill.tokenizer import pieces
from gristmill.tokenizer.patterns import MOST_DIGITS, PATTERNS, REGEXES, pattern_code, pattern_name
from gristmill.tokenizer.splitter import split
from gristmill.tokenizer.unicode_classes import (
    CASELESS,
    LETTER,
    MARK,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
    class_table,
)

# As other tools spell them, by hand: a change of the table must not change these.
_KNOWN = {
    "gpt4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "smollm": r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?=\p{N})|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "characters": r"[\s\S]",
    "none": r"[\s\S]+",
}
# What alternatives compete for: capitals, letters of no case, title case, marks, scripts without
# spaces, digits of several kinds, white space of all kinds, contractions in any case.
_POOL = [
    *"'sStlLrReEvVmMdDſ \n\r\t\u00a0\x85\u3000aAé中🙂Éßǅʰªกัาไひカー々〇/_\u0301\u0e31Zz.,()=!",
    *"0123456789½٣Ⅷ", "    ", "123", "4567", "'ll", "'S", "\r\n", "mill", "Grist", "ພາສາ", "ភាសា",
]  # fmt: skip


@pytest.fixture(scope="module")
def odd_texts(texts: list[str], strange_texts: list[str]) -> list[str]:
    rng = random.Random(5)
    drawn = ["".join(rng.choices(_POOL, k=rng.randint(0, 24))) for _ in range(6_400)]
    digits = ["".join(rng.choices("0123456789٣", k=rng.randint(0, 300))) for _ in range(60)]
    lines: list[str] = []
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-d]*.py"))[:24]:
        lines += file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[:30]
    found = [t for t in [*texts, *strange_texts, *drawn, *digits, *lines] if _known(t)]
    assert len(found) >= 10_000
    return found


# The oracle `regex` knows a later Unicode than the 16.0 of the tables: texts with letters that it
# classes otherwise are left out here. That the tables are 16.0's is tested by itself, below.
_CLASSES = {
    UPPER: regex.compile(r"[\p{Lu}\p{Lt}]"),
    LETTER: regex.compile(r"\p{Ll}"),
    CASELESS: regex.compile(r"[\p{Lm}\p{Lo}]"),
    MARK: regex.compile(r"\p{M}"),
    NUMBER: regex.compile(r"\p{N}"),
    OTHER: regex.compile(r"[^\p{L}\p{M}\p{N}\s]"),
}
_SEEN: dict[str, bool] = {}


def _known(text: str) -> bool:
    table = class_table(pattern_code("o200k"))
    for letter in text:
        if letter not in _SEEN:
            wanted = _CLASSES.get(int(table[ord(letter)]))
            _SEEN[letter] = wanted is None or wanted.match(letter) is not None
    return all(_SEEN[letter] for letter in text)


@pytest.mark.parametrize(
    ("name", "kinds", "cased"),
    [
        (r"\p{L}", {LETTER}, False),
        (r"\p{N}", {NUMBER}, False),
        (r"[\p{Lu}\p{Lt}]", {UPPER}, True),
        (r"\p{Ll}", {LETTER}, True),
        (r"[\p{Lm}\p{Lo}]", {CASELESS}, True),
        (r"\p{M}", {MARK}, True),
        (r"\s", {SPACE, NEWLINE}, True),
    ],
)
def test_every_code_point_is_what_the_tokenizers_library_takes_it_for(
    name: str, kinds: set[int], cased: bool
) -> None:
    # Of the planes in which nothing is or will be assigned soon, every 64th.
    sparse = [*range(0x40000, 0xE0000, 64), *range(0xF0000, 0x110000, 64)]
    codes = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000), *sparse]
    text = "".join(map(chr, codes))
    found = pre_tokenizers.Split(Regex(f"{name}+"), "removed").pre_tokenize_str(text)
    left = {letter for piece, _ in found for letter in piece}
    table = class_table(pattern_code("o200k" if cased else "gpt4")).tolist()
    wrong = [hex(c) for c in codes if (chr(c) not in left) != (table[c] in kinds)]
    assert wrong == []


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_pieces_equal_the_regex_on_ten_thousand_texts(pattern: str, odd_texts: list[str]) -> None:
    oracle = regex.compile(REGEXES[pattern])
    # All in one text too: what stands at a text's end elsewhere stands in the middle here.
    for text in [*odd_texts, "".join(odd_texts)]:
        expected = [found.encode() for found in oracle.findall(text)]
        assert split(text.encode(), pattern) == expected, text


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_the_rules_without_a_compiler_are_the_same(pattern: str, odd_texts: list[str]) -> None:
    code = pattern_code(pattern)
    for text in [*odd_texts[::25], "7" * 700, "A" * 90 + "b"]:
        data, at, found = text.encode(), 0, []
        while at < len(data):
            stop = pieces.piece_end(data, at, len(data), class_table(code), code)
            found.append(data[at:stop])
            at = stop
        assert found == split(data, pattern), text


def test_regexes_are_spelled_as_elsewhere() -> None:
    assert {name: REGEXES[name] for name in _KNOWN} == _KNOWN
    assert pattern_name("llama3") == pattern_name("cl100k") == "gpt4"


def test_digits_by_hand() -> None:
    number = b"x 1234567"
    assert split(number, "gpt4")[2:] == [b"123", b"456", b"7"]
    assert split(number, "digits-right")[2:] == [b"1", b"234", b"567"]
    assert split(number, "digits-free")[2:] == [b"1234567"]
    assert split(number, "qwen")[2:] == [bytes([digit]) for digit in b"1234567"]
    assert split(number, "gpt2") == [b"x", b" 1234567"]
    # Of a run that is too long the front goes from the left, and the last so many from the right.
    lengths = [len(piece) for piece in split(b"7" * (MOST_DIGITS + 2), "digits-right")]
    assert lengths == [3, 2, *[3] * (MOST_DIGITS // 3 - 1)]


def test_code_capitals_and_scripts_by_hand() -> None:
    assert split(b"if x:\n        return 1\n\n\n    y", "code") == [
        b"if", b" x", b":", b"\n        ", b"return", b" ", b"1", b"\n\n\n    ", b"y",
    ]  # fmt: skip
    assert split("HTTPServer's aB ÉCOLE École".encode(), "o200k") == [
        p.encode() for p in ("HTTPServer's", " a", "B", " ÉCOLE", " École")
    ]
    mixed = "用Python写。ภาษาไทย abc ひらカナ漢字"
    assert [p.decode() for p in split(mixed.encode(), "scripts")] == [
        "用", "Python", "写", "。", "ภาษาไทย", " abc", " ", "ひら", "カナ", "漢字",
    ]  # fmt: skip
    assert split(b"all of it\n", "none") == [b"all of it\n"]


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_megabyte_of_anything_is_linear(pattern: str, cpu_seconds: Any) -> None:
    split(b"compiles what it needs", pattern)
    for unit in ("7", "A", "中A", "Ab", "\u0301", "!", " ", "\n", " \n", "ก", "'"):
        text = unit.encode() * (300_000 // len(unit.encode()))
        with cpu_seconds(20):
            assert b"".join(split(text, pattern)) == text
