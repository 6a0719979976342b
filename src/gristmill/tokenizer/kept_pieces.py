"""What pretokens became before: most of a text is words that were seen already.

Short ones, up to 15 bytes that became up to three ids, stand in slots of 32 bytes, two in a cache
line: the bytes and the length, the ids and their number. All up to 31 bytes and twelve ids stand in
slots of a cache line, by twos, so that a short one whose slot is taken is not merged anew. Longer
ones stand in slots of 256 bytes: a hash, length and number, then the bytes, then the ids. A slot
that is needed again is written over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.tokenizer.eight_bytes import inlined, kernel, load8

Words = npt.NDArray[np.uint64]

KEPT_BYTES, KEPT_IDS = 15, 3
MIDDLE_BYTES, MIDDLE_IDS = 31, 12
ID_BITS = 20
"""Of an id, at most."""
_LINE_LOG = 17
_LINE_BYTES = 64
_MIDDLE_LOG = 16
_MIDDLE_WORDS = 8
_LONG_LOG = 13
_LONG_WORDS = 32
_LONG_BYTES = 64
_LONG_FIRST_ID = 10
_LONG_IDS = 44
_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_ONE, _HALF, _HALF_BITS = np.uint64(1), np.uint64(0xFFFFFFFF), np.uint64(32)
_LENGTH_BITS, _LINE_BITS = np.uint64(56), np.uint64(64 - _LINE_LOG)
# What counts of the first and the second eight bytes of a piece, by its length up to 15.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], dtype=np.uint64)
_SECOND = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], dtype=np.uint64)
# The same of four times eight bytes, by length up to 31; those of one length together.
_EACH = np.array(
    [(1 << 8 * min(max(n - 8 * i, 0), 8)) - 1 for n in range(32) for i in range(4)], dtype=np.uint64
)
_ID, _ONE_ID, _TWO_IDS = np.uint64((1 << ID_BITS) - 1), np.uint64(ID_BITS), np.uint64(2 * ID_BITS)
_MIDDLE_SHIFT, _NUMBER_BITS = np.uint64(64 - _MIDDLE_LOG), np.uint64(60)


def short_slots() -> Words:
    """Empty slots for short pretokens, each line of two at the start of a cache line."""
    return _aligned(_LINE_BYTES // 8 << _LINE_LOG)


def middle_slots() -> Words:
    """Empty slots for pretokens of up to MIDDLE_BYTES, by twos."""
    return _aligned(2 * _MIDDLE_WORDS << _MIDDLE_LOG)


def long_slots() -> Words:
    """Empty slots for long pretokens."""
    return _aligned(_LONG_WORDS << _LONG_LOG)


def _aligned(words: int) -> Words:
    # Not `np.zeros`, whose memory comes in pages of four kilobytes: these are looked up at random.
    spare = np.empty(words + _LINE_BYTES // 8, dtype=np.uint64)
    spare[:] = 0
    first = -spare.ctypes.data % _LINE_BYTES // 8
    return spare[first : first + words]


@inlined
def short_key(text: Any, at: Any, length: Any) -> Any:
    """The bytes and the length of a piece as two numbers, and where its line begins. Of a longer
    piece than is kept here: numbers that no slot holds."""
    seen = min(length, KEPT_BYTES)
    first = load8(text, at) & _FIRST[seen]
    # The length is the top byte, so that zero bytes count, and an empty slot is no piece.
    second = load8(text, at + 8) & _SECOND[seen] | np.uint64(min(length, 255)) << _LENGTH_BITS
    mixed = (first ^ second * _MIX_1) * _MIX_2
    mixed ^= mixed >> _HALF_BITS
    return first, second, np.int64((mixed * _MIX_1 >> _LINE_BITS) << np.uint64(3))


@inlined
def find_short(kept: Any, line: Any, first: Any, second: Any) -> Any:
    """The slot of that line which holds the piece, or -1."""
    # Both are looked at without a branch, which would be foreseen badly.
    slot = line + 4 * np.int64((kept[line] ^ first | kept[line + 1] ^ second) != 0)
    if kept[slot] != first or kept[slot + 1] != second:
        return -1
    return slot


@inlined
def take_short(kept: Any, slot: Any, out: Any, start: Any) -> Any:
    """Writes three ids from `start`, of which as many count as is returned."""
    two, more = kept[slot + 2], kept[slot + 3]
    out[start] = np.int32(two & _HALF)
    out[start + 1] = np.int32(two >> _HALF_BITS)
    out[start + 2] = np.int32(more & _HALF)
    return np.int64(more >> _HALF_BITS)


@kernel
def keep_short(
    kept: Any, line: int, first: Any, second: Any, out: Any, start: int, n: int, free_only: bool
) -> None:
    """Keeps n ids, at most KEPT_IDS, in the slot of the line that is free, else in the second."""
    slot = line
    if kept[slot + 1] != 0:
        slot += 4
        if free_only and kept[slot + 1] != 0:
            return
    for i in range(n, KEPT_IDS):
        out[start + i] = 0
    kept[slot], kept[slot + 1] = first, second
    kept[slot + 2] = np.uint64(out[start]) | np.uint64(out[start + 1]) << _HALF_BITS
    kept[slot + 3] = np.uint64(out[start + 2]) | np.uint64(n) << _HALF_BITS


@inlined
def _middle_key(text: Any, at: Any, length: Any) -> Any:
    """The bytes and the length of a piece as four numbers, and where its two slots begin."""
    first = load8(text, at) & _EACH[4 * length]
    second = load8(text, at + 8) & _EACH[4 * length + 1]
    third = load8(text, at + 16) & _EACH[4 * length + 2]
    fourth = load8(text, at + 24) & _EACH[4 * length + 3] | np.uint64(length) << _LENGTH_BITS
    mixed = (first ^ second * _MIX_1) * _MIX_2
    mixed ^= mixed >> _HALF_BITS
    mixed = (mixed ^ third ^ fourth * _MIX_1) * _MIX_2
    mixed ^= mixed >> _HALF_BITS
    slot = np.int64(mixed * _MIX_1 >> _MIDDLE_SHIFT) * (2 * _MIDDLE_WORDS)
    return first, second, third, fourth, slot


@kernel
def recall_middle(text: Any, at: int, length: int, kept: Any, out: Any, start: int) -> int:
    """The ids of a pretoken of up to MIDDLE_BYTES that was kept, into `out` from `start`, where
    MIDDLE_IDS are written over; their number, or -1."""
    first, second, third, fourth, slot = _middle_key(text, at, length)
    for _ in range(2):
        if (
            kept[slot] == first
            and kept[slot + 3] == fourth
            and kept[slot + 1] == second
            and kept[slot + 2] == third
        ):
            n = np.int64(kept[slot + 4] >> _NUMBER_BITS)
            for i in range(0, n, 3):
                three = kept[slot + 4 + i // 3]
                out[start + i] = np.int32(three & _ID)
                out[start + i + 1] = np.int32(three >> _ONE_ID & _ID)
                out[start + i + 2] = np.int32(three >> _TWO_IDS & _ID)
            return int(n)
        slot += _MIDDLE_WORDS
    return -1


@kernel
def keep_middle(text: Any, at: int, length: int, kept: Any, out: Any, start: int, n: int) -> None:
    """Keeps n ids, at most MIDDLE_IDS, in the first of the two slots; what was there moves on."""
    first, second, third, fourth, slot = _middle_key(text, at, length)
    for i in range(slot, slot + _MIDDLE_WORDS):
        kept[i + _MIDDLE_WORDS] = kept[i]
    kept[slot], kept[slot + 1], kept[slot + 2], kept[slot + 3] = first, second, third, fourth
    for i in range(n, n + 2):
        out[start + i] = 0
    for i in range(0, n, 3):
        kept[slot + 4 + i // 3] = (
            np.uint64(out[start + i])
            | np.uint64(out[start + i + 1]) << _ONE_ID
            | np.uint64(out[start + i + 2]) << _TWO_IDS
        )
    kept[slot + 4] |= np.uint64(n) << _NUMBER_BITS


@inlined
def _word(text: Any, at: int, stop: int) -> Any:
    """The bytes from `at` as a number, those from `stop` on as zeros."""
    word = load8(text, at)
    if stop - at < 8:
        word &= (_ONE << np.uint64(8 * (stop - at))) - _ONE
    return word


@inlined
def _long_slot(text: Any, at: int, stop: int) -> Any:
    """A hash of the pretoken, and where it stands."""
    mixed = np.uint64(stop - at)
    for i in range(at, stop, 8):
        mixed = (mixed ^ _word(text, i, stop)) * _MIX_1
        mixed ^= mixed >> _HALF_BITS
    return mixed, np.int64(mixed * _MIX_2 >> np.uint64(64 - _LONG_LOG)) * _LONG_WORDS


@kernel
def recall_long(text: Any, at: int, stop: int, kept: Any, out: Any, start: int) -> int:
    """The ids of a pretoken that was kept, into `out` from `start`; their number, or -1."""
    length = stop - at
    if length > _LONG_BYTES:
        return -1
    mixed, slot = _long_slot(text, at, stop)
    if kept[slot] != mixed or kept[slot + 1] & _HALF != np.uint64(length):
        return -1
    for i in range(0, length, 8):
        if kept[slot + 2 + (i >> 3)] != _word(text, at + i, stop):
            return -1
    n = np.int64(kept[slot + 1] >> _HALF_BITS)
    for i in range(0, n, 2):
        two = kept[slot + _LONG_FIRST_ID + (i >> 1)]
        out[start + i] = np.int32(two & _HALF)
        out[start + i + 1] = np.int32(two >> _HALF_BITS)
    return int(n)


@kernel
def keep_long(text: Any, at: int, stop: int, kept: Any, out: Any, start: int, n: int) -> None:
    """Keeps n ids of a pretoken, unless it or they are too long."""
    if stop - at > _LONG_BYTES or n > _LONG_IDS:
        return
    mixed, slot = _long_slot(text, at, stop)
    kept[slot] = mixed
    kept[slot + 1] = np.uint64(stop - at) | np.uint64(n) << _HALF_BITS
    for i in range(0, stop - at, 8):
        kept[slot + 2 + (i >> 3)] = _word(text, at + i, stop)
    out[start + n] = 0
    for i in range(0, n, 2):
        two = np.uint64(out[start + i]) | np.uint64(out[start + i + 1]) << _HALF_BITS
        kept[slot + _LONG_FIRST_ID + (i >> 1)] = two
