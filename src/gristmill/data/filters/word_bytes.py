"""The bytes of a word: what each is to a scan, code points, hashes.

Compiled into `kernel.read_texts`, whose cache does not notice an edit here: after one, the files
*.nbi in `__pycache__` have to go.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gristmill.data.ngrams import mix
from gristmill.tokenizer.eight_bytes import kernel, load8

# What a byte is, apart from the planes of `scanning`.
SPACE_BYTE: Final = 1

STEP: Final = np.uint64(0x9E3779B97F4A7C15)  # as in `lexicon`
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_ALL, _HIGH_BITS = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x8080808080808080)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
# What carries a byte from A on, and one behind Z, into its highest bit.
_FROM_A, _BEHIND_Z = np.uint64(0x3F3F3F3F3F3F3F3F), np.uint64(0x2525252525252525)


def byte_kinds() -> Any:
    """uint8 [256]: what each byte of UTF-8 is."""
    kinds = np.zeros(256, np.uint8)
    kinds[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = SPACE_BYTE
    return kinds


@kernel
def hash_bytes(data, start, stop):  # type: ignore[no-untyped-def]
    """`lexicon.hash_text` of data[start:stop]."""
    state = _ZERO
    at = start
    while stop - at >= 8:
        state = (state ^ load8(data, at)) * STEP
        state ^= state >> np.uint64(29)
        at += 8
    left = stop - at
    if left:
        if at + 8 <= len(data):
            chunk = load8(data, at) & ((_ONE << np.uint64(8 * left)) - _ONE)
        else:
            chunk = _ZERO
            for k in range(left):
                chunk |= np.uint64(data[at + k]) << np.uint64(8 * k)
        state = (state ^ chunk) * STEP
        state ^= state >> np.uint64(29)
    return mix(state ^ np.uint64(stop - start)) | _ONE


@kernel
def hash_line(data, start, stop):  # type: ignore[no-untyped-def]
    """A hash of data[start:stop], never 0; two words of eight bytes at once, which do not wait for
    each other. Equal to `hash_bytes` only where that is short."""
    even, odd = _ZERO, _ONE
    at = start
    while stop - at >= 16:
        even = (even ^ load8(data, at)) * STEP
        odd = (odd ^ load8(data, at + 8)) * STEP
        even ^= even >> np.uint64(29)
        odd ^= odd >> np.uint64(29)
        at += 16
    rest = hash_bytes(data, at, stop)
    if at == start:
        return rest
    return mix((mix(even) + odd) * STEP ^ rest ^ np.uint64(stop - start)) | _ONE


@kernel
def hash_word(data, at, size):  # type: ignore[no-untyped-def]
    """`hash_bytes` of data[at : at + size], not empty; fast up to sixteen bytes."""
    if size > 16 or at + 16 > len(data):
        return hash_bytes(data, at, at + size)
    return _hash_two(load8(data, at), load8(data, at + 8), size)


@kernel
def hash_letters(data, at, size):  # type: ignore[no-untyped-def]
    """`hash_bytes` of data[at : at + size] in lower case, ASCII and not empty; fast up to sixteen
    bytes."""
    if size > 16 or at + 16 > len(data):
        return _hash_long(data, at, at + size)
    return _hash_two(_small(load8(data, at)), _small(load8(data, at + 8)), size)


@kernel
def _hash_long(data, at, stop):  # type: ignore[no-untyped-def]
    """`hash_letters` of any length, also at the end of `data`."""
    size = stop - at
    state = _ZERO
    while at < stop:
        chunk = _ZERO
        for k in range(8):
            if at + k < stop:
                chunk |= np.uint64(data[at + k]) << np.uint64(8 * k)
        state = (state ^ _small(chunk)) * STEP
        state ^= state >> np.uint64(29)
        at += 8
    return mix(state ^ np.uint64(size)) | _ONE


@kernel
def _hash_two(first, second, size):  # type: ignore[no-untyped-def]
    """`hash_bytes` of the first `size` bytes of two words of eight; 1 to 16."""
    if size <= 8:
        state = (first & (_ALL >> np.uint64(64 - 8 * size))) * STEP
        state ^= state >> np.uint64(29)
    else:
        state = first * STEP
        state ^= state >> np.uint64(29)
        state = (state ^ (second & (_ALL >> np.uint64(128 - 8 * size)))) * STEP
        state ^= state >> np.uint64(29)
    return mix(state ^ np.uint64(size)) | _ONE


@kernel
def _small(chunk):  # type: ignore[no-untyped-def]
    """Eight bytes with the capitals of ASCII in lower case."""
    low = chunk & _LOW_BITS
    capital = (low + _FROM_A) & ~(low + _BEHIND_Z) & ~chunk & _HIGH_BITS
    return chunk | (capital >> np.uint64(2))


@kernel
def encode(code):  # type: ignore[no-untyped-def]
    """The bytes of UTF-8 of a code point beyond ASCII, the first the lowest, times 64, and how many
    bits they have."""
    if code < 0x800:
        return (0xC0 | code >> 6 | (0x80 | code & 0x3F) << 8) << 6 | 16
    if code < 0x10000:
        bytes_ = 0xE0 | code >> 12 | (0x80 | code >> 6 & 0x3F) << 8
        return (bytes_ | (0x80 | code & 0x3F) << 16) << 6 | 24
    bytes_ = 0xF0 | code >> 18 | (0x80 | code >> 12 & 0x3F) << 8
    return (bytes_ | (0x80 | code >> 6 & 0x3F) << 16 | (0x80 | code & 0x3F) << 24) << 6 | 32


@kernel
def decode(data, i, stop):  # type: ignore[no-untyped-def]
    """The code point at i, which is not ASCII, times 8, and its length in bytes."""
    byte = np.int64(data[i])
    if byte < 0xE0 and i + 1 < stop:
        return (((byte & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F)) << 3 | 2
    second = np.int64(data[i + 1]) & 0x3F if i + 1 < stop else 0
    if byte < 0xF0 and i + 2 < stop:
        return (((byte & 0x0F) << 12) | second << 6 | (np.int64(data[i + 2]) & 0x3F)) << 3 | 3
    if i + 3 < stop:
        third = np.int64(data[i + 2]) & 0x3F
        code = ((byte & 0x07) << 18) | second << 12 | third << 6 | (np.int64(data[i + 3]) & 0x3F)
        return code << 3 | 4
    return 0xFFFD << 3 | 1


@kernel
def space_width(data, i, stop):  # type: ignore[no-untyped-def]
    """The bytes of the white space beyond ASCII that begins at i; 0 where it is none."""
    second = data[i + 1] if i + 1 < stop else np.uint8(0)
    third = data[i + 2] if i + 2 < stop else np.uint8(0)
    byte = data[i]
    if byte == 0xC2:
        return 2 if second == 0x85 or second == 0xA0 else 0
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x81:
        return 3 if third == 0x9F else 0
    if second == 0x80 and (0x80 <= third <= 0x8A or 0xA8 <= third <= 0xA9 or third == 0xAF):
        return 3
    return 0
