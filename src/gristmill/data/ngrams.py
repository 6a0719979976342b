"""Texts to word hashes to n-gram hashes: what deduplication, classifiers and decontamination count.

A word is a run of letters and digits, without regard to case in ASCII. Punctuation (also the
typographic kind: U+0080-U+00BF, U+2000-U+206F, U+3000-U+303F) only separates, so that a copy with
other quotation marks or line breaks has the same words. Scripts that are written without spaces
(Chinese, Japanese, Thai, Lao) and everything beyond U+2E80 give one word per character; otherwise a
whole sentence would be one word and one edit would hide a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Texts: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray

# FNV-1a, 64 bits (Fowler, Noll, Vo), and the finaliser of MurmurHash3 (Appleby), which spreads
# FNV's weak high bits.
FNV_OFFSET = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(33)
# An n-gram's hash is a polynomial of its words' hashes in this base, so that it can roll.
BASE = np.uint64(0x9E3779B97F4A7C15)


def text_buffer(texts: Texts) -> tuple[Bytes, Offsets]:
    """One buffer of UTF-8 and the offsets of its texts: (bytes, offsets[len(texts) + 1]).

    Arrow columns are not copied where they are already large strings. A null is an empty text.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if isinstance(texts, pa.Array):
        array = texts.cast(pa.large_string())
    else:
        array = pa.array(texts, pa.large_string())
    if array.null_count:
        array = array.fill_null("")
    if len(array) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.zeros(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return data, offsets


@njit(cache=True, nogil=True)
def mix(value: np.uint64) -> np.uint64:
    """The 64-bit finaliser of MurmurHash3: a bijection."""
    value = (value ^ (value >> SHIFT)) * MIX_1
    value = (value ^ (value >> SHIFT)) * MIX_2
    return value ^ (value >> SHIFT)


@njit(cache=True, nogil=True)
def hash_words(data: Bytes, start: int, stop: int, out: Hashes) -> int:
    """Writes the hash of each word of data[start:stop] into `out` and returns their number.

    `out` has room for one hash per byte. Bytes that are no UTF-8 cannot run past `stop`.
    """
    count = 0
    i = start
    state = FNV_OFFSET
    inside = False
    while i < stop:
        byte = data[i]
        if byte < 0x80:
            if 65 <= byte <= 90:
                byte = np.uint8(byte + 32)
            if 97 <= byte <= 122 or 48 <= byte <= 57:
                state = (state ^ np.uint64(byte)) * FNV_PRIME
                inside = True
                i += 1
                continue
            length = 1
            alone = False
            separates = True
        else:
            second = data[i + 1] if i + 1 < stop else np.uint8(0)
            third = data[i + 2] if i + 2 < stop else np.uint8(0)
            if byte < 0xE0:
                length = 2
                alone, separates = False, bool(byte == 0xC2)
            elif byte < 0xF0:
                length = 3
                separates = bool(
                    (byte == 0xE2 and second == 0x80)
                    or (byte == 0xE2 and second == 0x81 and third < 0xB0)
                    or (byte == 0xE3 and second == 0x80)
                )
                alone = bool(
                    byte > 0xE2
                    or (byte == 0xE2 and second >= 0xBA)
                    or (byte == 0xE0 and 0xB8 <= second <= 0xBB)
                )
            else:
                length, alone, separates = 4, True, False
        if inside and (separates or alone):
            out[count] = mix(state)
            count += 1
            state = FNV_OFFSET
            inside = False
        if not separates:
            for k in range(i, min(i + length, stop)):
                state = (state ^ np.uint64(data[k])) * FNV_PRIME
            if alone:
                out[count] = mix(state)
                count += 1
                state = FNV_OFFSET
            else:
                inside = True
        i += length
    if inside:
        out[count] = mix(state)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _all_words(data: Bytes, offsets: Offsets, out: Hashes, starts: Offsets) -> None:
    position = 0
    for i in range(len(offsets) - 1):
        starts[i] = position
        position += hash_words(data, offsets[i], offsets[i + 1], out[position:])
    starts[len(offsets) - 1] = position


def word_hashes(texts: Texts) -> tuple[Hashes, Offsets]:
    """The words of all texts: (hashes[words], starts[len(texts) + 1])."""
    data, offsets = text_buffer(texts)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint64)
    starts = np.zeros(len(offsets), np.int64)
    _all_words(data, offsets, out, starts)
    return out[: starts[-1]].copy(), starts


def ngram_hashes(words: Hashes, starts: Offsets, n: int) -> tuple[Hashes, Offsets]:
    """The n-grams of consecutive words, in order: (hashes[ngrams], starts[len(starts)]).

    A text of fewer than n words (but at least one) has one n-gram: all of its words. Equal to the
    shingles that `dedup.minhash` signs.
    """
    lengths = np.diff(starts)
    counts = np.where(lengths >= n, lengths - n + 1, np.minimum(lengths, 1))
    ngram_starts = np.zeros(len(starts), np.int64)
    np.cumsum(counts, out=ngram_starts[1:])
    # The first word of each n-gram; short texts look past their end into padding that is masked.
    first = np.arange(ngram_starts[-1]) + np.repeat(starts[:-1] - ngram_starts[:-1], counts)
    width = np.repeat(np.minimum(lengths, n), counts)
    padded = np.concatenate([words, np.zeros(n, np.uint64)])
    hashes = np.zeros(len(first), np.uint64)
    for k in range(n):
        hashes = np.where(k < width, hashes * BASE + padded[first + k], hashes)
    return mix_array(hashes), ngram_starts


def mix_array(values: Hashes) -> Hashes:
    """`mix` of each value."""
    values = (values ^ (values >> SHIFT)) * MIX_1
    values = (values ^ (values >> SHIFT)) * MIX_2
    return values ^ (values >> SHIFT)
