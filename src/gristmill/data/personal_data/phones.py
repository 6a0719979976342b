"""Telephone numbers: international ones by the number plans, national ones by how they are written.

Every pattern is linear in the text: its repeats are bounded and possessive, and each begins at a
digit, a sign or a word like 'tel'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gristmill.data.personal_data.numbers import national_length

_SEPARATOR: Final = r"[ .\-/()\u00a0\u202f]{0,2}"
_INTERNATIONAL: Final = re.compile(rf"(?<![\w+])\+[0-9](?:{_SEPARATOR}[0-9]){{6,17}}+")
_NORTH_AMERICAN: Final = re.compile(
    r"(?<![\w\-.+])(?:1[ .\-])?(?:\([2-9][0-9]{2}\)[ \-]?|[2-9][0-9]{2}[.\-])"
    r"[2-9][0-9]{2}[ .\-][0-9]{4}(?![\w\-])"
)
_TRUNK: Final = re.compile(
    r"(?<![\w\-.+/])(?<![0-9] )(?:\(0[0-9]{1,4}\)|0(?!00)[0-9]{1,4})"
    r"(?:[ \-/\u00a0\u202f][0-9]{2,8}){1,5}+(?![\w\-])"
)
_FRENCH_DOTS: Final = re.compile(r"0(?<![\w.]0)[1-9](?:\.[0-9][0-9]){4}(?![\w.][0-9])")
_RUN: Final = re.compile(rf"[0-9](?:{_SEPARATOR}[0-9]){{6,14}}+(?!\w)")
# Between the word and the first sign of its number there are no other digits.
_WORD_BEFORE: Final = re.compile(
    r"\b(?:tel|tél|phone|telephone|téléphone|teléfono|telefon|call|mobile|cell|fax|ring|whatsapp"
    r"|dial|sms|hotline|handy)\b[^0-9+\n]{0,25}[0-9+]$",
    re.IGNORECASE,
)
_WORD_REACH: Final = 36
# What every number of a form has, found many times faster than the form itself.
_NORTH_AMERICAN_END: Final = re.compile(r"[2-9][0-9]{2}[ .\-][0-9]{4}")
_TRUNK_BEGINNING: Final = re.compile(r"0[0-9]{1,4}\)?[ \-/\u00a0\u202f][0-9]{2}")
_YEARS: Final = re.compile(
    r"[0-9]{4}[-/ ][0-9]{4}|[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}|[0-9]{4}-[0-9][0-9]-[0-9][0-9]"
)


def phones(text: str) -> Iterator[tuple[int, int, float]]:
    """(start, end, score); two forms may give overlapping ones, the surer first."""
    if "+" in text:
        for match in _INTERNATIONAL.finditer(text):
            end = _international_end(text, match.start(), match.end())
            if end:
                yield match.start(), end, 0.95
    if _NORTH_AMERICAN_END.search(text):
        for match in _NORTH_AMERICAN.finditer(text):
            yield *match.span(), 0.8
    if _TRUNK_BEGINNING.search(text):
        for match in _TRUNK.finditer(text):
            end = _trunk_end(text, match.start(), match.end())
            if end:
                yield match.start(), end, 0.7
    if "." in text:
        for match in _FRENCH_DOTS.finditer(text):
            yield *match.span(), 0.8
    for match in _RUN.finditer(text):
        start, end = match.span()
        if start and text[start - 1] == "+":
            start -= 1
        if _WORD_BEFORE.search(text, max(0, start - _WORD_REACH), start + 1) and not _YEARS.match(
            text, start
        ):
            yield *_with_bracket(text, start, end), 0.9


def _with_bracket(text: str, start: int, end: int) -> tuple[int, int]:
    """Takes in the bracket before an area code, as in '(11) 4444-5555'."""
    first = text.find(")", start, end)
    if first >= 0 and text.find("(", start, first) < 0 and text[start - 1] == "(":
        return start - 1, end
    return start, end


def _international_end(text: str, start: int, end: int) -> int:
    """Where the number ends that the run of digits text[start:end] begins with; 0 for none.

    The run may go on into the next number of a sentence, so the number plan decides, and only
    ends of groups count.
    """
    ends = _group_ends(text, start, end)
    digits = [(at, count) for at, count in ends if not (at < len(text) and text[at].isdigit())]
    code, lengths = national_length("".join(c for c in text[start : start + 6] if c.isdigit()))
    counts = {count: at for at, count in digits}
    # '+44 (0)20 ...' has a zero that is not dialled.
    zero = 1 if "(0)" in text[start:end] else 0
    return next((counts[code + n + zero] for n in lengths if code + n + zero in counts), 0)


def _trunk_end(text: str, start: int, end: int) -> int:
    """As `_international_end`, for national numbers that begin with 0: 9 to 11 digits."""
    ends = [(at, count) for at, count in _group_ends(text, start, end) if 9 <= count <= 11]
    return max((at for at, _ in ends), default=0)


def _group_ends(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """(position after each group of digits, digits up to there)."""
    found: list[tuple[int, int]] = []
    count = 0
    for at in range(start, end):
        if text[at].isdigit():
            count += 1
            if at + 1 == end or not text[at + 1].isdigit():
                found.append((at + 1, count))
    return found
