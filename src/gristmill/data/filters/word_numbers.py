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
    SENTENCE_END,
    UPPER,
    WORDLIKE,
)
from gristmill.data.filters.word_bytes import STEP, decode, encode
from gristmill.data.ngrams import mix
from gristmill.data.personal_data.hints import (
    HINT_AT,
    HINT_COLONS,
    HINT_DIGITS,
    HINT_DOTTED,
    HINT_IBAN,
)
from gristmill.tokenizer.eight_bytes import kernel

# What is counted of a word that is not plain; the numbers' places.
W_LENGTH, W_HASHES, W_ELLIPSES, W_UPPERS, W_CURLY, W_ALPHAS, W_WORDLIKE, W_ENDS = range(8)
WORD_NUMBERS = 8
HINT_NUMBERS = 4
_ZERO, _ONE = np.uint64(0), np.uint64(1)


def plain_is_wordlike(classes: Any) -> bool:
    """Whether no letter and digit of ASCII is a symbol, as someone may have it."""
    ascii_ = classes[:128]
    return bool(np.all(ascii_[ascii_ & ALNUM != 0] & WORDLIKE))


@kernel
def is_wordlike(data, i, j, classes):  # type: ignore[no-untyped-def]
    """Whether the ASCII word at [i, j) is more than symbols."""
    found = False
    for at in range(i, j):
        found |= classes[data[at]] & WORDLIKE != 0
    return found


@kernel
def count_ellipses(data, i, j):  # type: ignore[no-untyped-def]
    """Three dots in a row, as str.count finds them."""
    found = dots = 0
    for at in range(i, j):
        dots = dots + 1 if data[at] == 46 else 0
        if dots == 3:
            found += 1
            dots = 0
    return found


@kernel
def decode_word(data, i, j, classes, lowers, word):  # type: ignore[no-untyped-def]
    """The numbers of the word at [i, j); capitals only those beyond ASCII. Returns the hash of its
    core, 0 where it has none."""
    for k in range(WORD_NUMBERS):
        word[k] = 0
    ends = inner = False
    length = alphas = alnums = wordlike = dots = 0
    # The core's hash so far (`word_bytes.hash_bytes`), and as it was at the last letter or digit.
    state = chunk = core_state = core_chunk = _ZERO
    bits = size = core_size = 0
    at = i
    while at < j:
        code: Any = np.int64(data[at])
        if code < 0x80:
            at += 1
        else:
            found = decode(data, at, j)
            at += found & 7
            code = found >> 3
        length += 1
        sort = classes[code] if code < len(classes) else classes[0xFFFD]
        wordlike |= sort & WORDLIKE
        if sort & ALNUM:
            alnums += 1
            if sort & ALPHA:
                alphas = 1
                if sort & UPPER and code >= 0x80:
                    word[W_UPPERS] += 1
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
        if alnums:
            if code < len(lowers):
                code = np.int64(lowers[code])
            bytes_ = np.uint64(code)
            width = 8
            if code >= 0x80:
                found = encode(code)
                bytes_ = np.uint64(found >> 6)
                width = found & 63
            size += width
            chunk |= bytes_ << np.uint64(bits)
            bits += width
            if bits >= 64:
                state = (state ^ chunk) * STEP
                state ^= state >> np.uint64(29)
                bits -= 64
                chunk = bytes_ >> np.uint64(width - bits)
            if sort & ALNUM:
                core_state, core_chunk, core_size = state, chunk, size
    word[W_LENGTH] = length
    word[W_ALPHAS] = alphas
    word[W_WORDLIKE] = wordlike
    word[W_ENDS] = ends and not inner and alnums != 1
    if alnums == 0:
        return _ZERO
    if core_size & 63:
        core_state = (core_state ^ core_chunk) * STEP
        core_state ^= core_state >> np.uint64(29)
    return mix(core_state ^ np.uint64(core_size >> 3)) | _ONE


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
