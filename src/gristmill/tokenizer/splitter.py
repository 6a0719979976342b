"""Cutting text into pretokens, inside which BPE merges: hand-written, linear, no regex engine.

The rules are those of `pieces.py`, compiled. Words, which most pieces are, are found inline,
sixteen bytes at a time; all else is a call. Behind the text there must be PADDING bytes more
(`padded`), whatever they are.

After an edit here delete `__pycache__`: the kernels that call this one are cached by numba beside
their own files, and it does not see that this file changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.tokenizer import pieces
from gristmill.tokenizer.eight_bytes import PADDING, inlined, kernel, letters16
from gristmill.tokenizer.patterns import BLANK_WORDS, CASED_WORDS, WORDS, pattern_code
from gristmill.tokenizer.pieces import APOSTROPHE, BLANK
from gristmill.tokenizer.unicode_classes import LETTER, NEWLINE, NUMBER, class_table


def _compiled(function: Any) -> dict[str, Any]:
    """A function of `pieces`, and what it calls, as kernels by name.

    They are copies with globals of their own, so that the functions still run as they stand.
    """
    found = dict(vars(pieces))
    functions: tuple[Any, ...] = (*pieces.HELPERS, function)
    for one in functions:
        copy = FunctionType(one.__code__, found, one.__name__)
        # What is asked of every character is worth inlining.
        found[one.__name__] = (inlined if one is pieces.character else kernel)(copy)
    return found


_KERNELS = _compiled(pieces.piece_end)
_general_end, _run_end = _KERNELS["piece_end"], _KERNELS["run_end"]


def split(text: bytes, pattern: str = "gpt4") -> list[bytes]:
    """The pretokens of UTF-8 text; joined they are the text again."""
    ends = piece_ends(
        padded([text]), len(text), class_table(pattern_code(pattern)), pattern_code(pattern)
    )
    found, start = [], 0
    for end in ends.tolist():
        found.append(text[start:end])
        start = end
    return found


def padded(documents: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """The bytes of documents one after the other, and PADDING behind them.

    May be written to: for what may not, numba would compile all kernels once more.
    """
    return np.frombuffer(bytearray().join((*documents, bytes(PADDING))), dtype=np.uint8)


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


@inlined
def piece_end(text: Any, start: int, end: int, classes: Any, pattern: int) -> int:
    """Where the piece that begins at `start` ends; the document ends at `end`.

    Follows the regex's alternatives from left to right: the first that matches wins.
    """
    # A word of ASCII letters, alone or behind a character that may begin it: what most text is
    # made of, and the same in all patterns that know words without their case.
    words = pattern & WORDS
    first = text[start]
    if words < CASED_WORDS and first < 0x80:
        kind = np.int64(classes[first])
        if kind == LETTER:
            return _word_end(text, start + 1, end, classes)
        after = start + 1
        if after < end and text[after] < 0x80 and classes[text[after]] == LETTER:
            begins = first == BLANK
            if words != BLANK_WORDS:
                begins = kind != NUMBER and kind != NEWLINE and first != APOSTROPHE
            if begins:
                return _word_end(text, after + 1, end, classes)
    return _general_end(text, start, end, classes, pattern)


@inlined
def _word_end(text: Any, at: int, end: int, classes: Any) -> int:
    """Where the run of letters that goes on at `at` ends; ASCII sixteen bytes at a time."""
    while at < end:
        run = letters16(text, at)
        at += run
        if run < 16:
            if at < end and text[at] >= 0x80:
                return _run_end(text, at, end, classes, LETTER)
            break
    return min(at, end)
