"""What is counted of a word that is not plain: marks, letters, whether it ends a sentence; and what
personal data it may belong to.

Compiled into `kernel.read_texts`, whose cache does not notice an edit here: after one, the files
*.nbi in `__pycache__` have to go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.data.filters.characters import (
    ALNUM,
    ALPHA,
    CLOSING,
    DIGIT,
    SENTENCE_END,
    UPPER,
    WORDLIKE,
)
from gristmill.data.filters.word_bytes import END, decode
from gristmill.data.personal_data.hints import (
    HINT_AT,
    HINT_COLONS,
    HINT_DIGITS,
    HINT_DOTTED,
    HINT_IBAN,
)
from gristmill.tokenizer.eight_bytes import kernel

_BYTE, _ONE = np.uint64(0xFF), np.uint64(1)

# What is counted of a word that is not plain; the numbers' places.
W_LENGTH, W_HASHES, W_ELLIPSES, W_DIGITS, W_UPPERS, W_CURLY, W_ALPHAS, W_WORDLIKE = range(8)
W_CORE_START, W_CORE_STOP, W_ENDS, WORD_NUMBERS = range(8, 12)
# In a tally a byte each: so many of a word's ASCII characters, at most 255.
_TALLIED = (ALNUM, UPPER, DIGIT, ALPHA, WORDLIKE)


def byte_tallies(classes: Any) -> Any:
    """uint64 [256]: what each ASCII character adds to a word's tally."""
    tallies = np.zeros(256, np.uint64)
    for code in range(128):
        counted = [bool(classes[code] & bit) for bit in _TALLIED]
        counted += [code == ord("#"), code == ord("{"), code == ord(".")]
        tallies[code] = sum(int(one) << (8 * place) for place, one in enumerate(counted))
    return tallies


@kernel
def take_tally(data, i, j, classes, tally, flags, word):  # type: ignore[no-untyped-def]
    """The numbers of the ASCII word at [i, j)."""
    alnums = tally & _BYTE
    word[W_LENGTH] = j - i
    word[W_UPPERS] = tally >> np.uint64(8) & _BYTE
    word[W_DIGITS] = tally >> np.uint64(16) & _BYTE
    word[W_ALPHAS] = tally >> np.uint64(24) & _BYTE
    word[W_WORDLIKE] = tally >> np.uint64(32) & _BYTE
    word[W_HASHES] = tally >> np.uint64(40) & _BYTE
    word[W_CURLY] = tally >> np.uint64(48) & _BYTE
    word[W_ELLIPSES] = word[W_ENDS] = 0
    word[W_CORE_START] = -1
    if alnums:
        start, stop = i, j
        while not classes[data[start]] & ALNUM:
            start += 1
        while not classes[data[stop - 1]] & ALNUM:
            stop -= 1
        word[W_CORE_START], word[W_CORE_STOP] = start, stop
    if flags & END:
        ends = inner = False
        dots = 0
        for at in range(i, j):
            sort = classes[data[at]]
            if sort & SENTENCE_END:
                ends = True
            elif not sort & CLOSING:
                inner |= ends
                ends = False
            dots = dots + 1 if data[at] == 46 else 0
            if dots == 3:
                word[W_ELLIPSES] += 1
                dots = 0
        # 'U.S.' and a single letter with a dot end a sentence only at a line's end.
        word[W_ENDS] = ends and not inner and alnums != _ONE


@kernel
def decode_word(data, i, j, classes, word):  # type: ignore[no-untyped-def]
    """The numbers of the word at [i, j)."""
    word[:] = 0
    word[W_CORE_START] = -1
    ends = inner = False
    alnums = dots = 0
    at = i
    while at < j:
        here = at
        code: Any = np.int64(data[at])
        if code < 0x80:
            at += 1
        else:
            found = decode(data, at, j)
            at += found & 7
            code = found >> 3
        word[W_LENGTH] += 1
        sort = classes[code] if code < len(classes) else classes[0xFFFD]
        if sort & WORDLIKE:
            word[W_WORDLIKE] += 1
        if sort & ALNUM:
            alnums += 1
            if word[W_CORE_START] < 0:
                word[W_CORE_START] = here
            word[W_CORE_STOP] = at
            if sort & ALPHA:
                word[W_ALPHAS] += 1
                if sort & UPPER:
                    word[W_UPPERS] += 1
            if sort & DIGIT:
                word[W_DIGITS] += 1
        elif code == 35:
            word[W_HASHES] += 1
        elif code == 0x2026:
            word[W_ELLIPSES] += 1
        elif code == 123:
            word[W_CURLY] += 1
        # Three dots in a row, as str.count finds them.
        dots = dots + 1 if code == 46 else 0
        if dots == 3:
            word[W_ELLIPSES] += 1
            dots = 0
        if sort & SENTENCE_END:
            ends = True
        elif not sort & CLOSING:
            inner |= ends
            ends = False
    word[W_ENDS] = ends and not inner and alnums != 1


@kernel
def look_for_hints(data, before_start, i, j, state):  # type: ignore[no-untyped-def]
    """What personal data the word at [i, j) may belong to; the word before it ends at
    `before_start`. state: the hints so far; of the run of digits that may go on, how many digits
    and how many characters after the last; the colons of the text."""
    at = before_start if state[1] else i
    before = before_2 = before_3 = dotted = 0
    while at < j:
        code: Any = np.int64(data[at])
        if code < 0x80:
            at += 1
        else:
            found = decode(data, at, j)
            at += found & 7
            code = found >> 3
        if 48 <= code <= 57:
            state[1] += 1
            state[2] = 0
            if state[1] == 6:
                state[0] |= HINT_DIGITS
            if before == 46 and 48 <= before_2 <= 57:
                dotted += 1
                if dotted == 3:
                    state[0] |= HINT_DOTTED
            if 48 <= before <= 57 and 65 <= before_2 <= 90 and 65 <= before_3 <= 90:
                state[0] |= HINT_IBAN
        else:
            if code != 46 or not 48 <= before <= 57:
                dotted = 0
            if state[1]:
                state[2] += 1
                brackets_and_dots = 40 <= code <= 41 or 45 <= code <= 47
                if state[2] > 2 or not (
                    brackets_and_dots or code == 32 or code == 0xA0 or code == 0x202F
                ):
                    state[1] = 0
            if code == 64:
                state[0] |= HINT_AT
            elif code == 58:
                state[3] += 1
                if before == 58 or state[3] == 7:
                    state[0] |= HINT_COLONS
        before_3 = before_2
        before_2 = before
        before = code
