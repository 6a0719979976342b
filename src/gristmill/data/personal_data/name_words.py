"""Characters to words, for the tagger of persons: how each word is written, and what the lexicon
says of it.

Compiled into `name_kernel`, whose cache does not notice an edit here: after one, the files *.nbi in
`__pycache__` have to go.
"""

from __future__ import annotations

import numpy as np

from gristmill.data.filters.characters import ALNUM, ALPHA, DIGIT, SPACE, UPPER
from gristmill.data.ngrams import FNV_OFFSET, FNV_PRIME, mix
from gristmill.tokenizer.eight_bytes import kernel

# What the lexicon says of a word, as bits.
FIRST, LAST, TITLE, PARTICLE, HEAD, OTHER, ROLE, PRONOUN = 1, 2, 4, 8, 16, 32, 64, 128
# These are no features: where an address or a date of birth may stand.
STREET, BIRTH = 256, 512

# How a word is written.
(PUNCTUATION, NEWLINE, LOWER, CAPITAL, INITIAL, CAPITALS, MIXED, NUMBER, JOINED) = range(9)
_SPACE, _ALPHA, _ALNUM, _DIGIT, _UPPER = (
    np.uint8(SPACE), np.uint8(ALPHA), np.uint8(ALNUM), np.uint8(DIGIT), np.uint8(UPPER)
)  # fmt: skip
_ZERO, _ONE = np.uint64(0), np.uint64(1)


@kernel
def word_hash(codes, start, stop, lowers):  # type: ignore[no-untyped-def]
    """The hash of a word without regard to case."""
    state = FNV_OFFSET
    for i in range(start, stop):
        code = np.int64(codes[i])
        if code < len(lowers):
            code = np.int64(lowers[code])
        state = (state ^ np.uint64(code)) * FNV_PRIME
    return mix(state) | _ONE


@kernel
def _class(classes, code):  # type: ignore[no-untyped-def]
    return classes[code] if code < len(classes) else np.uint8(0)


@kernel
def read_words(codes, classes, lowers, keys, values, start, stop, hashes, shapes, bits):  # type: ignore[no-untyped-def]
    """Writes the words, signs and line ends of a text; returns how many there are.

    codes: uint32, code points. keys, values: an open-addressed lexicon.
    """
    count = 0
    i = 0
    n = len(codes)
    mask = np.uint64(len(keys) - 1)
    while i < n:
        code = np.int64(codes[i])
        kind = _class(classes, code)
        if kind & _SPACE:
            if code == 10 and (count == 0 or shapes[count - 1] != NEWLINE):
                start[count] = i
                stop[count] = i + 1
                hashes[count] = np.uint64(11)
                shapes[count] = NEWLINE
                bits[count] = 0
                count += 1
            i += 1
            continue
        first = i
        if not kind & _ALNUM:
            start[count] = i
            stop[count] = i + 1
            hashes[count] = np.uint64(2 * code + 1)
            shapes[count] = PUNCTUATION
            bits[count] = 0
            count += 1
            i += 1
            continue
        uppers = letters = digits = joints = 0
        upper_after_joint = True
        while i < n:
            code = np.int64(codes[i])
            kind = _class(classes, code)
            if kind & _ALNUM:
                letters += 1
                if kind & _UPPER:
                    uppers += 1
                if kind & _DIGIT:
                    digits += 1
                i += 1
            elif (code == 39 or code == 0x2019 or code == 45) and i + 1 < n:
                following = _class(classes, np.int64(codes[i + 1]))
                if not following & _ALPHA:
                    break
                # The s of a possessive is no part of a name.
                if (
                    code != 45
                    and (codes[i + 1] == 115 or codes[i + 1] == 83)
                    and (i + 2 >= n or not _class(classes, np.int64(codes[i + 2])) & _ALNUM)
                ):
                    break
                joints += 1
                if not following & _UPPER:
                    upper_after_joint = False
                i += 1
            else:
                break
        capital = _class(classes, np.int64(codes[first])) & _UPPER
        if digits:
            shape = NUMBER
        elif not capital:
            shape = LOWER
        elif letters == 1:
            shape = INITIAL
        elif joints:
            shape = MIXED if upper_after_joint else JOINED
        elif uppers == letters:
            shape = CAPITALS
        elif uppers > 1:
            shape = MIXED
        else:
            shape = CAPITAL
        start[count] = first
        stop[count] = i
        shapes[count] = shape
        wanted = word_hash(codes, first, i, lowers)
        hashes[count] = wanted
        bits[count] = 0
        at = wanted & mask
        while keys[at] != _ZERO:
            if keys[at] == wanted:
                bits[count] = values[at]
                break
            at = (at + _ONE) & mask
        count += 1
    return count


@kernel
def capitalised(shape):  # type: ignore[no-untyped-def]
    return CAPITAL <= shape <= MIXED
