"""Where a pretoken ends, by rules that are written once and run twice: as they stand here, and
compiled (`splitter.py`). For a line or two of text the compiler's own start takes longer than the
work.

A pattern is known to the outside by its regex (`patterns.REGEXES`, what `tokenizer.json`
carries); the rules here give the same pieces on UTF-8 bytes. The regexes look ahead,
`\\s+(?!\\S)`, which no linear-time engine offers. Bytes that are not valid UTF-8 count as
punctuation, one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.unicode_classes import LETTER, NEWLINE, NUMBER, OTHER, SPACE

_GPT2, _QWEN, _CHARACTERS, _SMOLLM = map(pattern_code, ("gpt2", "qwen", "characters", "smollm"))
_APOSTROPHE, _BLANK = 0x27, 0x20


def piece_end(text: Any, start: int, end: int, classes: Any, pattern: int) -> int:
    """Where the piece that begins at `start` ends; the document ends at `end`.

    Follows the regex's alternatives from left to right: the first that matches wins.
    """
    kind, width = _character(text, start, end, classes)
    after = start + width
    if pattern == _CHARACTERS:
        return after
    like_gpt2 = pattern in (_GPT2, _SMOLLM)
    if pattern == _SMOLLM and kind == NUMBER:
        return after
    first = text[start]
    if first == _APOSTROPHE:
        contraction = _contraction(text, after, end, not like_gpt2)
        if contraction > 0:
            return after + contraction
    following = NEWLINE
    if after < end:
        following, _ = _character(text, after, end, classes)

    if like_gpt2:
        if (
            first == _BLANK
            and following < SPACE
            and not (pattern == _SMOLLM and following == NUMBER)
        ):
            kind = following
        if kind < SPACE:
            return _run_end(text, after, end, classes, kind)
    else:
        if kind == LETTER or (kind != NEWLINE and kind != NUMBER and following == LETTER):
            return _run_end(text, after, end, classes, LETTER)
        if kind == NUMBER:
            digits = 1 if pattern == _QWEN else 3
            while digits > 1 and after < end:
                kind, width = _character(text, after, end, classes)
                if kind != NUMBER:
                    break
                after += width
                digits -= 1
            return after
        if kind == OTHER or (first == _BLANK and following == OTHER):
            after = _run_end(text, after, end, classes, OTHER)
            while after < end and (text[after] == 0x0A or text[after] == 0x0D):
                after += 1
            return after

    # White space. `\s*[\r\n]+` reaches to the last newline of the run; `\s+(?!\S)` leaves the
    # run's last character to the word behind it; `\s+` takes a run of one.
    at, last, newline = start, start, 0
    while at < end:
        kind, width = _character(text, at, end, classes)
        if kind < SPACE:
            if pattern == _SMOLLM and kind == NUMBER:
                return at
            break
        last = at
        at += width
        if kind == NEWLINE:
            newline = at
    if not like_gpt2 and newline > 0:
        return newline
    if at == end or last == start:
        return at
    return last


def _character(text: Any, at: int, end: int, classes: Any) -> Any:
    """Class and width in bytes of the character at `at`."""
    lead = np.int64(text[at])
    if lead < 0x80:
        return np.int64(classes[lead]), 1
    width = 2
    code = lead & 0x1F
    if lead >= 0xF0:
        width, code = 4, lead & 0x07
    elif lead >= 0xE0:
        width, code = 3, lead & 0x0F
    if lead < 0xC2 or lead > 0xF4 or at + width > end:
        return OTHER, 1
    for offset in range(1, width):
        byte = np.int64(text[at + offset])
        if byte & 0xC0 != 0x80:
            return OTHER, 1
        code = code << 6 | byte & 0x3F
    if code > 0x10FFFF:
        return OTHER, 1
    return np.int64(classes[code]), width


def _run_end(text: Any, at: int, end: int, classes: Any, wanted: int) -> int:
    """Where the run of characters of one class ends."""
    while at < end:
        kind, width = _character(text, at, end, classes)
        if kind != wanted:
            break
        at += width
    return at


def _contraction(text: Any, at: int, end: int, any_case: bool) -> int:
    """Bytes behind an apostrophe that belong to 's, 't, 're, 've, 'm, 'll or 'd; 0 where none."""
    if at >= end:
        return 0
    first = np.int64(text[at])
    # The long s folds to s, as Unicode's simple case folding has it (C5 BF in UTF-8).
    if any_case and first == 0xC5 and at + 1 < end and text[at + 1] == 0xBF:
        return 2
    if any_case and 0x41 <= first <= 0x5A:
        first += 0x20
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:
        return 1
    if at + 1 >= end:
        return 0
    second = np.int64(text[at + 1])
    if any_case and 0x41 <= second <= 0x5A:
        second += 0x20
    if (first == 0x72 or first == 0x76) and second == 0x65:
        return 2
    if first == 0x6C and second == 0x6C:
        return 2
    return 0


HELPERS = (_character, _run_end, _contraction)
"""What `piece_end` calls."""
