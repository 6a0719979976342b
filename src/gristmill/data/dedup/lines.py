"""Lines and paragraphs on a large share of a site's pages: menus, footers, notices that extraction
left; and those on many pages of the whole corpus.

Counted over a site's distinct texts: on a site that serves one page under fifty addresses every
line would otherwise be "repeated", and the page would lose its text instead of its copies. Lines of
few letters (a brace, a rule, `else:`) are left alone: they repeat because of what they are.
Documents without a site (imported files) have no lines of a site.

A line is held as 8 bytes, the hash of its site and its text without white space at the ends, and
counted in `line_counts`. A paragraph is what stands
between blank lines, with runs of white space as one space; its lines all have its key, so that
what is true of lines is true of paragraphs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.data.ngrams import (
    FNV_OFFSET,
    FNV_PRIME,
    Bytes,
    Hashes,
    Offsets,
    Texts,
    mix,
    text_buffer,
)

Flags = npt.NDArray[np.bool_]
Unit = Literal["line", "paragraph"]


@njit(cache=True, nogil=True)
def _code_point(data: Bytes, i: int, stop: int) -> tuple[int, int]:
    """The character at i and its length; bytes that are no UTF-8 never pass `stop`."""
    byte = int(data[i])
    if byte < 0x80:
        return byte, 1
    length = 2 if byte < 0xE0 else (3 if byte < 0xF0 else 4)
    code = byte & (0x3F >> (length - 1))
    for k in range(1, length):
        code = (code << 6) | (int(data[i + k]) & 0x3F if i + k < stop else 0)
    return code, min(length, stop - i)


@njit(cache=True, nogil=True)
def _blank(code: int) -> bool:
    """White space as `str.strip` has it."""
    if code < 0x80:
        return code == 32 or 9 <= code <= 13 or 28 <= code <= 31
    return (
        code in (0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
        or 0x2000 <= code <= 0x200A
    )


@njit(cache=True, nogil=True)
def _line_key(
    data: Bytes, start: int, stop: int, site: np.uint64, letters: Flags, least: int
) -> np.uint64:
    """The key of data[start:stop] without white space at its ends; 0 where it has too few letters
    (and 1 in the place of 0)."""
    first, last = stop, stop
    found = 0
    i = start
    while i < stop:
        code, length = _code_point(data, i, stop)
        if not _blank(code):
            if first == stop:
                first = i
            last = i + length
            if found < least and code < len(letters) and letters[code]:
                found += 1
        i += length
    if found < least or first == stop:
        return np.uint64(0)
    state = FNV_OFFSET ^ site
    for k in range(first, last):
        state = (state ^ np.uint64(data[k])) * FNV_PRIME
    return max(mix(state), np.uint64(1))


@njit(cache=True, nogil=True)
def _keys(
    data: Bytes,
    offsets: Offsets,
    sites: Hashes,
    letters: Flags,
    least: int,
    out: Hashes,
    starts: Offsets,
) -> None:
    """The keys of all lines of all texts, in order; starts: where those of each text begin."""
    count = 0
    for document in range(len(offsets) - 1):
        starts[document] = count
        start, stop = offsets[document], offsets[document + 1]
        for i in range(start, stop + 1):
            if i == stop or data[i] == 10:
                out[count] = _line_key(data, start, i, sites[document], letters, least)
                count += 1
                start = i + 1
    starts[len(offsets) - 1] = count


@njit(cache=True, nogil=True)
def _paragraph_keys(
    data: Bytes,
    offsets: Offsets,
    sites: Hashes,
    letters: Flags,
    least: int,
    out: Hashes,
    starts: Offsets,
) -> None:
    """As `_keys`; a line has the key of its paragraph, a blank one 0."""
    count = 0
    for document in range(len(offsets) - 1):
        starts[document] = count
        i, stop = offsets[document], offsets[document + 1]
        opened = count
        state = FNV_OFFSET ^ sites[document]
        found = 0
        gap, empty = False, True
        while True:
            ends = i >= stop
            if ends or data[i] == 10:
                count += 1
                if empty or ends:
                    last = count - 1 if empty else count
                    key = max(mix(state), np.uint64(1)) if found >= least else np.uint64(0)
                    for line in range(opened, last):
                        out[line] = key
                    if empty:
                        out[count - 1] = np.uint64(0)
                    opened = count
                    state = FNV_OFFSET ^ sites[document]
                    found = 0
                if ends:
                    break
                gap, empty = opened < count, True
                i += 1
                continue
            code, length = _code_point(data, i, stop)
            if _blank(code):
                gap = opened < count or not empty
            else:
                if gap:
                    state = (state ^ np.uint64(32)) * FNV_PRIME
                gap, empty = False, False
                if found < least and code < len(letters) and letters[code]:
                    found += 1
                for k in range(i, i + length):
                    state = (state ^ np.uint64(data[k])) * FNV_PRIME
            i += length
    starts[len(offsets) - 1] = count


@cache
def _letters() -> Flags:
    """Whether a character counts as a letter, for all that are assigned (Unicode's letters end
    before U+33480)."""
    count = min(sys.maxunicode + 1, 0x33480)
    return np.fromiter((chr(code).isalpha() for code in range(count)), np.bool_, count)


def line_keys(
    texts: Texts, sites: Hashes, min_letters: int, unit: Unit = "line"
) -> tuple[Hashes, Offsets]:
    """The key of each line, 0 for those of few letters: (keys[lines], starts[len(texts) + 1]).

    sites: a number per text; equal lines of texts with equal numbers have equal keys. Of unit
    `paragraph` a line has the key of its paragraph, and the letters are the paragraph's.
    """
    data, offsets = text_buffer(texts)
    low, high = int(offsets[0]), int(offsets[-1])
    lines = int(np.count_nonzero(data[low:high] == 10)) + len(offsets) - 1
    out, starts = np.empty(lines, np.uint64), np.zeros(len(offsets), np.int64)
    fill = _paragraph_keys if unit == "paragraph" else _keys
    fill(data, offsets, sites, _letters(), min_letters, out, starts)
    return out, starts


@dataclass(frozen=True)
class RepeatedLines:
    """keys: sorted, of lines on enough pages of some site; counts: on how many. sites: sorted
    numbers of sites with enough pages; needed: on how many of its pages a line must stand."""

    keys: Hashes
    counts: npt.NDArray[np.int64]
    sites: Hashes
    needed: npt.NDArray[np.float64]
    min_letters: int
    unit: Unit = "line"

    def __bool__(self) -> bool:
        return len(self.keys) > 0

    def marks(self, sites: Hashes, texts: Texts) -> tuple[Flags, Offsets]:
        """Which lines of the texts are repeated: (flags[lines], starts[len(texts) + 1]).

        sites: `site_numbers` of the texts' hosts.
        """
        keys, starts = line_keys(texts, sites, self.min_letters, self.unit)
        found = np.zeros(len(keys), np.bool_)
        if not len(self.keys) or not len(self.sites):
            return found, starts
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        hits = np.flatnonzero(self.keys[place] == keys)
        site = np.minimum(np.searchsorted(self.sites, sites), len(self.sites) - 1)
        needed = np.where(self.sites[site] == sites, self.needed[site], np.inf)
        owner = np.searchsorted(starts, hits, "right") - 1
        found[hits] = self.counts[place[hits]] >= needed[owner]
        return found, starts


def remove_lines(
    text: str, drop: Sequence[bool], removed: Callable[[str], None] | None = None
) -> str | None:
    """The text without the lines that are to drop, or None where there are none.

    Blank lines that are left doubled by a removal become one; `removed` is told each line taken.
    """
    if not any(drop):
        return None
    kept: list[str] = []
    gap = False
    for line, dropped in zip(text.split("\n"), drop, strict=True):
        if dropped:
            gap = True
            if removed is not None:
                removed(line.strip())
        elif gap and not line.strip() and (not kept or not kept[-1].strip()):
            continue
        else:
            kept.append(line)
            gap = False
    return "\n".join(kept).strip("\n")
