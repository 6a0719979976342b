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

from gristmill.tokenizer.patterns import (
    BLANK_WORDS,
    CASED_WORDS,
    CHARACTERS,
    DIGITS,
    FREE_DIGITS,
    INDENTS,
    MOST_DIGITS,
    ONE_DIGIT,
    PLAIN_SPACES,
    SPACES,
    THREE_DIGITS,
    WHOLE,
    WORDS,
)
from gristmill.tokenizer.unicode_classes import (
    CASELESS,
    FIRST_SCRIPT,
    LETTER,
    MARK,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
)

APOSTROPHE, BLANK, _SLASH = 0x27, 0x20, 0x2F


def piece_end(text: Any, start: int, end: int, classes: Any, pattern: int) -> int:
    """Where the piece that begins at `start` ends; the document ends at `end`.

    Follows the regex's alternatives from left to right: the first that matches wins.
    """
    words = pattern & WORDS
    if words == WHOLE:
        return end
    kind, width = character(text, start, end, classes)
    after = start + width
    if words == CHARACTERS:
        return after
    digits = pattern & DIGITS
    spaces = pattern & SPACES
    lone_digits = words == BLANK_WORDS and digits == ONE_DIGIT
    first = text[start]
    following = NEWLINE
    if after < end:
        following, _ = character(text, after, end, classes)

    if words == CASED_WORDS:
        stop = _cased_end(text, start, after, kind, end, classes)
        if stop > 0:
            if stop < end and text[stop] == APOSTROPHE:
                contraction = _contraction(text, stop + 1, end, True)
                if contraction > 0:
                    return stop + 1 + contraction
            return stop
    elif first == APOSTROPHE:
        contraction = _contraction(text, after, end, words != BLANK_WORDS)
        if contraction > 0:
            return after + contraction

    if words == BLANK_WORDS:
        if lone_digits and kind == NUMBER:
            return after
        if first == BLANK and following < SPACE and not (lone_digits and following == NUMBER):
            kind = following
        if kind < SPACE:
            return run_end(text, after, end, classes, kind)
    elif kind == NUMBER:
        return _digits_end(text, after, end, classes, digits)
    elif FIRST_SCRIPT <= kind < SPACE:
        return run_end(text, after, end, classes, kind)
    else:
        if words != CASED_WORDS and (kind == LETTER or (kind != NEWLINE and following == LETTER)):
            return run_end(text, after, end, classes, LETTER)
        if kind == OTHER or (first == BLANK and following == OTHER):
            after = run_end(text, after, end, classes, OTHER)
            if words == CASED_WORDS:
                # Marks begin words, but here they are no letters.
                while after < end and character(text, after, end, classes)[0] == MARK:
                    after = run_end(text, after, end, classes, MARK)
                    after = run_end(text, after, end, classes, OTHER)
            while after < end and spaces != INDENTS:
                newline = text[after] == 0x0A or text[after] == 0x0D
                if not (newline or (words == CASED_WORDS and text[after] == _SLASH)):
                    break
                after += 1
            return after

    # White space. `\s*[\r\n]+` reaches to the last newline of the run; `\s+(?!\S)` leaves the
    # run's last character to the word behind it; `\s+` takes a run of one.
    at, last, newline_end = start, start, 0
    while at < end:
        kind, width = character(text, at, end, classes)
        if kind < SPACE:
            if lone_digits and kind == NUMBER:
                return at
            break
        last = at
        at += width
        if kind == NEWLINE:
            newline_end = at
    if newline_end > 0:
        if spaces == INDENTS:
            return at
        if spaces != PLAIN_SPACES:
            return newline_end
    if at == end or last == start:
        return at
    return last


def character(text: Any, at: int, end: int, classes: Any) -> Any:
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


def run_end(text: Any, at: int, end: int, classes: Any, wanted: int) -> int:
    """Where the run of characters of one class ends."""
    while at < end:
        kind, width = character(text, at, end, classes)
        if kind != wanted:
            break
        at += width
    return at


def _digits_end(text: Any, at: int, end: int, classes: Any, digits: int) -> int:
    """Where the piece of digits ends whose first one ends at `at`."""
    if digits == ONE_DIGIT:
        return at
    if digits == FREE_DIGITS:
        return run_end(text, at, end, classes, NUMBER)
    most = 3 if digits == THREE_DIGITS else MOST_DIGITS + 1
    one, two, three = at, at, at
    count = 1
    while at < end and count < most:
        kind, width = character(text, at, end, classes)
        if kind != NUMBER:
            break
        at += width
        count += 1
        if count == 2:
            two = at
        elif count == 3:
            three = at
    if digits == THREE_DIGITS:
        return at
    if count > MOST_DIGITS or count % 3 == 0:
        return three
    return one if count % 3 == 1 else two


def _cased_end(text: Any, start: int, after: int, kind: int, end: int, classes: Any) -> int:
    """Where the word at `start` ends where capitals count; 0 where none begins.

    Capitals, then small letters; letters without case and marks are both. One character that is
    neither letter, number nor line break may stand before it. `after`, `kind`: the first one's.
    """
    if kind in (NUMBER, NEWLINE):
        return 0
    at = after if kind in (OTHER, SPACE, MARK) else start
    body = at
    # Where the last character ended that may be the small letter which the first alternative needs.
    small = after if kind == MARK else 0
    found = False
    while at < end:
        kind_here, width = character(text, at, end, classes)
        if kind_here == LETTER:
            found = True
            break
        if kind_here != UPPER and kind_here != CASELESS and kind_here != MARK:
            break
        at += width
        if kind_here != UPPER:
            small = at
    if not found:
        # Without such a letter there are capitals alone: the second alternative.
        return small if small > 0 else (at if at > body else 0)
    while at < end:
        kind_here, width = character(text, at, end, classes)
        if kind_here != LETTER and kind_here != CASELESS and kind_here != MARK:
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


HELPERS = (character, run_end, _contraction, _digits_end, _cased_end)
"""What `piece_end` calls."""
