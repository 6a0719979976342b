"""Which bytes of a long text stand in it earlier: suffix arrays of its stretches, merged.

Lee et al. 2022, "Deduplicating training data makes language models better", section 4.1: suffixes
in order bring equal beginnings together. Here each stretch of whole documents is sorted alone, and
the stretches are merged by the first `least` bytes of their suffixes; of each beginning that occurs
more than once all occurrences but one are marked. The text, the arrays (4 bytes for each byte) and
the marks (a bit) stand in files; memory is that of the sorting of one stretch.

The kernels read the files through maps: what was read is the system's to keep or to drop.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.data.dedup.suffix_array import Suffixes, suffix_array
from gristmill.data.ngrams import Bytes, Hashes, Offsets

END = 0xFF
"""Stands behind each document; no byte of UTF-8."""
_AGAIN = np.uint32(1 << 31)
Entries = npt.NDArray[np.uint32]


@njit(cache=True, nogil=True)
def _beginnings(text: Bytes, least: int, out: npt.NDArray[np.bool_]) -> None:
    """Where a character begins that has `least` bytes of its document from it on."""
    end = len(text)
    for i in range(len(text) - 1, -1, -1):
        if text[i] == END:
            end = i
        out[i] = end - i >= least and (text[i] & 0xC0) != 0x80


@njit(cache=True, nogil=True)
def _again(text: Bytes, suffixes: Suffixes, least: int, before: Suffixes) -> None:
    """before[i] = 1 where the suffix at i shares `least` bytes with the one before it in the
    array, else 0; by the lengths in the order of the text, each at least one less than the last
    (Kärkkäinen, Manzini and Puglisi 2009)."""
    n = len(text)
    before[suffixes[0]] = -1
    for k in range(1, n):
        before[suffixes[k]] = suffixes[k - 1]
    length = 0
    for i in range(n):
        j = before[i]
        if j < 0:
            length = 0
            before[i] = 0
            continue
        while length < least and max(i, j) + length < n and text[i + length] == text[j + length]:
            length += 1
        before[i] = 1 if length >= least else 0
        length = max(length - 1, 0)


@njit(cache=True, nogil=True)
def _entries(
    suffixes: Suffixes, begins: npt.NDArray[np.bool_], again: Suffixes, out: Entries
) -> int:
    count = 0
    for k in range(len(suffixes)):
        i = suffixes[k]
        if begins[i]:
            out[count] = np.uint32(i) | (_AGAIN if again[i] == 1 else np.uint32(0))
            count += 1
    return count


def entries(text: Bytes, least: int) -> Entries:
    """The places of a stretch at which `least` bytes of a document begin, in the order of these
    bytes; the highest bit says that they are those of the entry before. text: documents with END
    behind each, fewer than 2^31 bytes."""
    suffixes = suffix_array(text)
    again = np.empty(len(text), np.int32)
    if len(text):
        _again(text, suffixes, least, again)
    begins = np.empty(len(text), np.bool_)
    _beginnings(text, least, begins)
    found = np.empty(int(np.count_nonzero(begins)), np.uint32)
    _entries(suffixes, begins, again, found)
    return found


@njit(cache=True, nogil=True)
def _compare(text: Bytes, a: int, b: int, least: int) -> int:
    for k in range(least):
        if text[a + k] != text[b + k]:
            return -1 if text[a + k] < text[b + k] else 1
    return 0


@njit(cache=True, nogil=True)
def _owner(starts: Offsets, place: int) -> int:
    low, high = 0, len(starts) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= place:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _sink(heap: Offsets, size: int, k: int, heads: Offsets, text: Bytes, least: int) -> None:
    """Restores the order of the heap of stretches below place k."""
    while True:
        child = 2 * k + 1
        if child >= size:
            return
        if child + 1 < size:
            order = _compare(text, heads[heap[child + 1]], heads[heap[child]], least)
            if order < 0:
                child += 1
        if _compare(text, heads[heap[child]], heads[heap[k]], least) >= 0:
            return
        heap[k], heap[child] = heap[child], heap[k]
        k = child


@njit(cache=True, nogil=True)
def _mark(
    entries: Entries,
    bases: Offsets,
    runs: Offsets,
    count: int,
    starts: Offsets,
    order: Hashes,
    least: int,
    marks: Bytes,
) -> None:
    """Marks all occurrences of one beginning but that of the smallest (order, place), and those
    that overlap with it. runs: [stretch, first entry, last entry] of each of `count` runs."""
    low = ~_AGAIN
    best_place = np.int64(-1)
    best_order = np.uint64(0)
    for r in range(count):
        base = bases[runs[3 * r]]
        for k in range(runs[3 * r + 1], runs[3 * r + 2]):
            place = base + np.int64(entries[k] & low)
            rank = order[_owner(starts, place)]
            if best_place < 0 or rank < best_order or (rank == best_order and place < best_place):
                best_place, best_order = place, rank
    for r in range(count):
        base = bases[runs[3 * r]]
        for k in range(runs[3 * r + 1], runs[3 * r + 2]):
            place = base + np.int64(entries[k] & low)
            if abs(place - best_place) < least or order[_owner(starts, place)] == 0:
                continue
            marks[place >> 3] |= np.uint8(1 << (place & 7))


@njit(cache=True, nogil=True)
def mark_repeats(
    text: Bytes,
    entries: Entries,
    bounds: Offsets,
    bases: Offsets,
    starts: Offsets,
    order: Hashes,
    least: int,
    marks: Bytes,
) -> None:
    """Sets a bit of `marks` for each place of the text from which `least` bytes are to go.

    entries: of all stretches one after the other; bounds[stretches + 1]: where those of each are;
    bases[stretches]: where each stretch begins in the text. starts[documents + 1] and
    order[documents]: where documents begin and which are preferred: an occurrence stays in the
    document of the smallest number, there the first one. Documents of the order 0 lose nothing.
    """
    low = ~_AGAIN
    stretches = len(bases)
    cursor = bounds[:-1].copy()
    heads = np.zeros(stretches, np.int64)
    heap = np.zeros(stretches, np.int64)
    runs = np.zeros(3 * stretches, np.int64)
    size = 0
    for s in range(stretches):
        if cursor[s] < bounds[s + 1]:
            heads[s] = bases[s] + np.int64(entries[cursor[s]] & low)
            heap[size] = s
            size += 1
    for k in range(size - 1, -1, -1):
        _sink(heap, size, k, heads, text, least)
    while size:
        place = heads[heap[0]]
        count = 0
        members = 0
        # All stretches that have these bytes next.
        while size and (count == 0 or _compare(text, heads[heap[0]], place, least) == 0):
            s = heap[0]
            k = cursor[s] + 1
            while k < bounds[s + 1] and entries[k] & _AGAIN:
                k += 1
            runs[3 * count], runs[3 * count + 1], runs[3 * count + 2] = s, cursor[s], k
            count += 1
            members += k - cursor[s]
            cursor[s] = k
            if k < bounds[s + 1]:
                heads[s] = bases[s] + np.int64(entries[k] & low)
            else:
                size -= 1
                heap[0] = heap[size]
            _sink(heap, size, 0, heads, text, least)
        if members > 1:
            _mark(entries, bases, runs, count, starts, order, least, marks)


@njit(cache=True, nogil=True)
def _letter(text: Bytes, i: int) -> bool:
    """Whether the character at i is of a word that goes on: a letter or a digit of a script that
    is written with spaces. i may be in the middle of the character."""
    byte = text[i]
    while (byte & 0xC0) == 0x80 and i > 0:
        i -= 1
        byte = text[i]
    if byte < 0x80:
        return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122
    if byte < 0xE0:
        return byte != 0xC2
    if byte == 0xE0:
        return not 0xB8 <= text[i + 1] <= 0xBB
    return bool(byte == 0xE1)


_WORD = 64


@njit(cache=True, nogil=True)
def _inside_word(text: Bytes, i: int, start: int, stop: int) -> bool:
    return start < i < stop and _letter(text, i - 1) and _letter(text, i)


@njit(cache=True, nogil=True)
def _ranges(
    text: Bytes, base: int, marks: Bytes, starts: Offsets, least: int, out: Offsets, write: bool
) -> int:
    """[document, first byte, last byte] of what is to go, within words and characters that are cut
    nowhere where a word ends within 64 bytes; returns their number. text: from `base` on."""
    count = 0
    for document in range(len(starts) - 1):
        start, stop = starts[document] - base, starts[document + 1] - 1 - base
        i = start
        while i < stop:
            place = i + base
            if marks[place >> 3] == 0:
                i += 8 - (place & 7)
                continue
            if not (marks[place >> 3] >> (place & 7)) & 1:
                i += 1
                continue
            first, last = i, i + least
            i += 1
            while i < stop and i <= last:
                place = i + base
                if (marks[place >> 3] >> (place & 7)) & 1:
                    last = i + least
                i += 1
            i = last
            a, b = first, last
            while b > a and b < stop and (text[b] & 0xC0) == 0x80:
                b -= 1
            k = a
            while k < b and k < a + _WORD and _inside_word(text, k, start, stop):
                k += 1
            if k < b and not _inside_word(text, k, start, stop):
                a = k
            while a < b and (text[a] & 0xC0) == 0x80:
                a += 1
            k = b
            while k > a and k > b - _WORD and _inside_word(text, k, start, stop):
                k -= 1
            if k > a and not _inside_word(text, k, start, stop):
                b = k
            while b > a and b < stop and (text[b] & 0xC0) == 0x80:
                b -= 1
            if a < b:
                if write:
                    out[3 * count] = document
                    out[3 * count + 1] = a - start
                    out[3 * count + 2] = b - start
                count += 1
    return count


def ranges(text: Bytes, base: int, marks: Bytes, starts: Offsets, least: int) -> Offsets:
    """What goes of the documents of a stretch: int64[ranges, 3], each a document (from 0), its
    first byte and the one behind its last. Cut at the borders of characters, and of words where a
    word ends within 64 bytes; always within what is marked. base: where the stretch begins."""
    count = _ranges(text, base, marks, starts, least, np.zeros(0, np.int64), False)
    out = np.zeros(3 * count, np.int64)
    _ranges(text, base, marks, starts, least, out, True)
    return out.reshape(-1, 3)
