"""Suffix arrays of bytes in linear time, by induced sorting.

Nong, Zhang and Chan 2009, "Linear suffix array construction by almost pure induced-sorting". A
suffix is of type S where it is smaller than the next one, else L; an S behind an L is an LMS. Once
the LMS suffixes are in order, one pass from the left puts the L suffixes in theirs and one from the
right the S suffixes. The LMS suffixes are at most every second: their order is that of a string of
their names, by the same procedure.

About 10 bytes of memory for each byte of text while it runs, 4 of them the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Suffixes = npt.NDArray[np.int32]
Symbols = npt.NDArray[Any]
Types = npt.NDArray[np.bool_]


@njit(cache=True, nogil=True)
def _types(text: Symbols, small: Types, counts: Suffixes) -> int:
    """Which suffixes are of type S, how often each symbol stands; returns the LMS suffixes."""
    n = len(text)
    found = 0
    small[n - 1] = False
    counts[text[n - 1]] += 1
    for i in range(n - 2, -1, -1):
        counts[text[i]] += 1
        small[i] = text[i] < text[i + 1] or (text[i] == text[i + 1] and small[i + 1])
        if small[i + 1] and not small[i]:
            found += 1
    return found


@njit(cache=True, nogil=True)
def _lms(small: Types, out: Suffixes) -> None:
    count = 0
    for i in range(1, len(small)):
        if small[i] and not small[i - 1]:
            out[count] = i
            count += 1


@njit(cache=True, nogil=True)
def _induce(
    text: Symbols, small: Types, counts: Suffixes, lms: Suffixes, place: Suffixes, out: Suffixes
) -> None:
    """All suffixes from the LMS ones. place: room for one number a symbol."""
    n = len(text)
    out[:] = -1
    end = np.int32(0)
    for symbol in range(len(counts)):
        end += counts[symbol]
        place[symbol] = end
    for k in range(len(lms) - 1, -1, -1):
        symbol = text[lms[k]]
        place[symbol] -= 1
        out[place[symbol]] = lms[k]
    end = np.int32(0)
    for symbol in range(len(counts)):
        place[symbol] = end
        end += counts[symbol]
    # The empty suffix is the smallest, and what stands before it is of type L.
    symbol = text[n - 1]
    out[place[symbol]] = n - 1
    place[symbol] += 1
    for k in range(n):
        i = out[k] - 1
        if i >= 0 and not small[i]:
            symbol = text[i]
            out[place[symbol]] = i
            place[symbol] += 1
    end = np.int32(0)
    for symbol in range(len(counts)):
        end += counts[symbol]
        place[symbol] = end
    for k in range(n - 1, -1, -1):
        i = out[k] - 1
        if i >= 0 and small[i]:
            symbol = text[i]
            place[symbol] -= 1
            out[place[symbol]] = i


@njit(cache=True, nogil=True)
def _name(text: Symbols, small: Types, suffixes: Suffixes, lms: Suffixes, names: Suffixes) -> int:
    """Names of the LMS substrings in the order of the text, equal for equal ones and ordered as
    they are; returns how many names there are. `suffixes` is used up."""
    n = len(text)
    count = 0
    # The LMS suffixes in the order of their substrings, at the front.
    for k in range(n):
        i = suffixes[k]
        if i > 0 and small[i] and not small[i - 1]:
            suffixes[count] = i
            count += 1
    # Two LMS stand apart: half a place serves for each one's name.
    suffixes[count:] = -1
    name = -1
    before = -1
    for k in range(count):
        i = suffixes[k]
        same = before >= 0
        if same:
            a, b = before, i
            while True:
                if a >= n or b >= n or text[a] != text[b] or small[a] != small[b]:
                    same = False
                    break
                a += 1
                b += 1
                a_ends = a < n and small[a] and not small[a - 1]
                b_ends = b < n and small[b] and not small[b - 1]
                if a_ends and b_ends:
                    same = text[a] == text[b]
                    break
                if a_ends != b_ends:
                    same = False
                    break
        if not same:
            name += 1
        suffixes[count + i // 2] = name
        before = i
    for k in range(count):
        names[k] = suffixes[count + lms[k] // 2]
    return name + 1


def suffix_array(text: Symbols, symbols: int = 256) -> Suffixes:
    """The places of all suffixes in lexicographic order: int32[len(text)].

    text: numbers from 0 to symbols - 1, fewer than 2^31. A suffix that is another's beginning comes
    first.
    """
    n = len(text)
    out = np.empty(n, np.int32)
    if n == 0:
        return out
    small, counts = np.empty(n, np.bool_), np.zeros(symbols, np.int32)
    place = np.empty(symbols, np.int32)
    lms = np.empty(_types(text, small, counts), np.int32)
    _lms(small, lms)
    _induce(text, small, counts, lms, place, out)
    if len(lms) > 1:
        names = np.empty(len(lms), np.int32)
        count = _name(text, small, out, lms, names)
        if count < len(lms):
            order = suffix_array(names, count)
        else:
            order = np.empty(len(lms), np.int32)
            order[names] = np.arange(len(lms), dtype=np.int32)
        _induce(text, small, counts, lms[order], place, out)
    return out
