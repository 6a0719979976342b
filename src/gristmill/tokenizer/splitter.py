"""Cutting text into pretokens, inside which BPE merges: hand-written, linear, no regex engine.

A pattern is known to the outside by its regex (`patterns.REGEXES`, what `tokenizer.json`
carries); the kernel here gives the same pieces on UTF-8 bytes. The regexes look ahead,
`\\s+(?!\\S)`, which no linear-time engine offers. Bytes that are not valid UTF-8 count as
punctuation, one by one.

The kernels read eight bytes at a time: behind the text there must be PADDING bytes more
(`padded`), whatever they are.

What runs once for each piece is inlined into its callers: the calls cost two fifths of the time.

After an edit here delete `__pycache__`: the kernels that call this one are cached by numba beside
their own files, and it does not see that this file changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.tokenizer.eight_bytes import PADDING, load8, trailing_zeros
from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.unicode_classes import (
    LETTER,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    class_table,
)

_GPT2, _QWEN, _CHARACTERS, _SMOLLM = map(pattern_code, ("gpt2", "qwen", "characters", "smollm"))
_APOSTROPHE, _BLANK = 0x27, 0x20
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGH_BITS = np.uint64(0x8080808080808080)
_CASE = np.uint64(0x2020202020202020)
_TO_A = np.uint64((0x80 - 0x61) * 0x0101010101010101)
_PAST_Z = np.uint64((0x80 - 0x7B) * 0x0101010101010101)


def split(text: bytes, pattern: str = "gpt4") -> list[bytes]:
    """The pretokens of UTF-8 text; joined they are the text again."""
    ends = piece_ends(padded([text]), len(text), class_table(), pattern_code(pattern))
    pieces, start = [], 0
    for end in ends.tolist():
        pieces.append(text[start:end])
        start = end
    return pieces


def padded(documents: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """The bytes of documents one after the other, and PADDING behind them."""
    return np.frombuffer(b"".join((*documents, bytes(PADDING))), dtype=np.uint8)


@njit(cache=True, nogil=True)
def piece_ends(
    text: npt.NDArray[np.uint8], size: int, classes: npt.NDArray[np.uint8], pattern: int
) -> npt.NDArray[np.int64]:
    """Offsets where the pieces of one padded document of `size` bytes end."""
    ends = np.empty(size, dtype=np.int64)
    count, at = 0, 0
    while at < size:
        at = piece_end(text, at, size, classes, pattern)
        ends[count] = at
        count += 1
    return ends[:count].copy()


@njit(nogil=True, inline="always")
def piece_end(text: Any, start: int, end: int, classes: Any, pattern: int) -> int:
    """Where the piece that begins at `start` ends; the document ends at `end`.

    Follows the regex's alternatives from left to right: the first that matches wins.
    """
    # A word of ASCII letters, alone or behind a blank: what most text is made of, and the same in
    # all patterns that know words.
    if pattern != _CHARACTERS:
        word = start + 1 if text[start] == _BLANK and start + 1 < end else start
        if text[word] < 0x80 and classes[text[word]] == LETTER:
            return _word_end(text, word + 1, end, classes)
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


@njit(nogil=True, inline="always")
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


@njit(cache=True, nogil=True)
def _run_end(text: Any, at: int, end: int, classes: Any, wanted: int) -> int:
    """Where the run of characters of one class ends."""
    while at < end:
        kind, width = _character(text, at, end, classes)
        if kind != wanted:
            break
        at += width
    return at


@njit(nogil=True, inline="always")
def _word_end(text: Any, at: int, end: int, classes: Any) -> int:
    """Where the run of letters that goes on at `at` ends; ASCII eight bytes at a time."""
    while True:
        word = load8(text, at)
        low = word & _LOW_BITS
        # Bit 7 of each byte: not a letter. Either bit 7 was set, or the lower-case form is
        # below "a" or above "z"; no sum of these carries into the next byte.
        lower = low | _CASE
        other = (~(lower + _TO_A) | (lower + _PAST_Z) | word) & _HIGH_BITS
        if other == 0:
            at += 8
            if at >= end:
                return end
            continue
        at += trailing_zeros(other) >> 3
        if at >= end:
            return end
        if text[at] >= 0x80:
            return _run_end(text, at, end, classes, LETTER)
        return at


@njit(cache=True, nogil=True)
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
