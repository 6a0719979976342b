"""How often each pretoken occurs: all that BPE training needs to know of a corpus.

Memory grows with the distinct pretokens, not with the text; counts are 64-bit, as a common word
passes 2^31 in a corpus of ordinary size.

Pretokens of at most fifteen bytes, which nearly all are, lie in the table itself, half a cache line
for each with its count. Pieces are cut some hundreds at a time before they are looked up, so that
the memory that each lies in is asked for before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.tokenizer.eight_bytes import PADDING, inlined, kernel, load8, prefetch
from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.splitter import padded, piece_end
from gristmill.tokenizer.unicode_classes import class_table

_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_ONE, _HALF, _LENGTH_AT = np.uint64(1), np.uint64(32), np.uint64(56)
_ZERO, _BYTE = np.uint64(0), np.uint64(255)

_SHORT = 15
_BLOCK = 256
# Of the state that goes from call to call of a kernel.
_DOCUMENT, _POSITION, _SHORTS, _LONGS, _ARENA_USED = range(5)
_FINISHED, _SHORT_FULL, _LONG_FULL = range(3)


@dataclass(frozen=True)
class PretokenCounts:
    """Distinct pretokens: entry i is `arena[starts[i] : starts[i] + lengths[i]]`.

    Behind the last of them the arena has as many bytes more as `padded` gives a text.
    """

    arena: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def as_dict(self) -> dict[bytes, int]:
        """Pretoken to count."""
        data = self.arena.tobytes()
        return {
            data[start : start + length]: count
            for start, length, count in zip(
                self.starts.tolist(), self.lengths.tolist(), self.counts.tolist(), strict=True
            )
        }


class PretokenCounter:
    """Counts the pretokens of documents as they stream by."""

    def __init__(self, pattern: str = "gpt4"):
        self._pattern = pattern_code(pattern)
        # Of each short pretoken: its bytes and length, its count, its number.
        self._table = np.zeros(4 << 14, dtype=np.uint64)
        self._arena = np.empty(1 << 16, dtype=np.uint8)
        self._slots = np.zeros(1 << 11, dtype=np.int32)
        # Of each long one: hash, start, length, count.
        self._long = np.empty((1 << 10, 4), dtype=np.int64)
        self._block = np.empty(3 * _BLOCK, dtype=np.uint64)
        self._state = np.zeros(5, dtype=np.int64)
        self.bytes = 0
        self.documents = 0

    @property
    def memory(self) -> int:
        """Bytes that the tables take now."""
        return sum(a.nbytes for a in (self._table, self._arena, self._slots, self._long))

    @property
    def entries(self) -> int:
        """Distinct pretokens."""
        return int(self._state[_SHORTS] + self._state[_LONGS])

    def add(self, documents: Iterable[bytes]) -> None:
        """Counts UTF-8 documents; no pretoken reaches from one into the next."""
        batch = list(documents)
        text = padded(batch)
        ends = np.cumsum([len(document) for document in batch], dtype=np.int64)
        self._state[_DOCUMENT] = self._state[_POSITION] = 0
        classes = class_table(self._pattern)
        while full := _count(
            text, ends, classes, self._pattern, self._table, self._arena, self._slots,
            self._long, self._block, self._state,
        ):  # fmt: skip
            self._grow(full)
        self.bytes += int(ends[-1]) if batch else 0
        self.documents += len(batch)

    def add_counts(self, counted: PretokenCounts) -> None:
        """Adds what was counted elsewhere; its bytes and documents are the caller's to add."""
        self._state[_DOCUMENT] = 0
        while full := _add_counted(
            counted.arena, counted.starts, counted.lengths, counted.counts,
            self._table, self._arena, self._slots, self._long, self._state,
        ):  # fmt: skip
            self._grow(full)

    def result(self) -> PretokenCounts:
        """What was counted so far: short pretokens, then long ones, each as first seen."""
        shorts, longs = int(self._state[_SHORTS]), int(self._state[_LONGS])
        used = int(self._state[_ARENA_USED])
        starts = np.empty(shorts + longs, dtype=np.int64)
        lengths = np.empty(shorts + longs, dtype=np.int64)
        counts = np.empty(shorts + longs, dtype=np.int64)
        arena = np.empty(_SHORT * shorts + used + PADDING, dtype=np.uint8)
        ends = _spell_shorts(self._table, starts, lengths, counts, shorts, arena)
        arena = arena[: ends + used + PADDING]
        arena[ends : ends + used] = self._arena[:used]
        arena[ends + used :] = 0
        starts[shorts:] = self._long[:longs, 1] + ends
        lengths[shorts:] = self._long[:longs, 2]
        counts[shorts:] = self._long[:longs, 3]
        return PretokenCounts(arena, starts, lengths, counts)

    def _grow(self, full: int) -> None:
        """More room for whatever is nearly full."""
        longs = int(self._state[_LONGS])
        if full == _SHORT_FULL:
            # Small tables grow faster: most of what they hold would be moved often.
            times = 4 if self._table.size < 1 << 19 else 2
            # Not `np.zeros`, whose memory comes in pages of four kilobytes.
            larger = np.empty(self._table.size * times, dtype=np.uint64)
            larger[:] = 0
            _place_shorts(self._table, larger)
            self._table = larger
        elif longs == len(self._long):
            self._long = np.concatenate([self._long, np.empty_like(self._long)])
            self._slots = np.zeros(self._slots.size * 2, dtype=np.int32)
            _place_longs(self._long, longs, self._slots)
        else:
            # The kernel stops where one pretoken does not fit: a megabyte without a blank is one.
            self._arena = np.concatenate([self._arena, np.empty_like(self._arena)])


@kernel
def _count(
    text: Any, ends: Any, classes: Any, pattern: int,
    table: Any, arena: Any, slots: Any, long: Any, block: Any, state: Any,
) -> int:  # fmt: skip
    """Counts on from `state`; says which table is full and has to grow first, if one is."""
    mask = (table.size >> 2) - 1
    at = state[_POSITION]
    document = state[_DOCUMENT]
    outcome = _FINISHED
    while outcome == _FINISHED and document < ends.size:
        if (state[_SHORTS] + _BLOCK) * 8 > table.size:
            outcome = _SHORT_FULL
            break
        pieces = 0
        while pieces < _BLOCK and document < ends.size:
            end = ends[document]
            if at >= end:
                document += 1
                continue
            stop = piece_end(text, at, end, classes, pattern)
            length = stop - at
            if length <= _SHORT:
                low, high = _key(text, at, length)
                slot = _slot(low, high, mask)
                prefetch(table, slot * 4)
                block[3 * pieces] = low
                block[3 * pieces + 1] = high
                block[3 * pieces + 2] = np.uint64(slot)
                pieces += 1
            elif not _count_long(text, at, length, 1, arena, slots, long, state):
                outcome = _LONG_FULL
                break
            at = stop
        for piece in range(pieces):
            _count_short(
                block[3 * piece], block[3 * piece + 1], np.int64(block[3 * piece + 2]),
                1, table, mask, state,
            )  # fmt: skip
    state[_DOCUMENT] = document
    state[_POSITION] = at
    return outcome


@kernel
def _add_counted(
    text: Any, starts: Any, lengths: Any, counts: Any,
    table: Any, arena: Any, slots: Any, long: Any, state: Any,
) -> int:  # fmt: skip
    """Adds pretokens with their counts, from `state` on."""
    mask = (table.size >> 2) - 1
    while state[_DOCUMENT] < starts.size:
        entry = state[_DOCUMENT]
        if lengths[entry] <= _SHORT:
            if (state[_SHORTS] + 1) * 8 > table.size:
                return _SHORT_FULL
            low, high = _key(text, starts[entry], lengths[entry])
            slot = _slot(low, high, mask)
            _count_short(low, high, slot, counts[entry], table, mask, state)
        elif not _count_long(
            text, starts[entry], lengths[entry], counts[entry], arena, slots, long, state
        ):
            return _LONG_FULL
        state[_DOCUMENT] = entry + 1
    return _FINISHED


@inlined
def _key(text: Any, at: int, length: int) -> Any:
    """A short pretoken as two words: its bytes, and in the last one its length."""
    low, high = load8(text, at), _ZERO
    if length < 8:
        low &= (_ONE << np.uint64(8 * length)) - _ONE
    else:
        high = load8(text, at + 8) & ((_ONE << np.uint64(8 * (length - 8))) - _ONE)
    return low, high | np.uint64(length) << _LENGTH_AT


@inlined
def _slot(low: Any, high: Any, mask: int) -> Any:
    mixed = (low ^ high * _MIX_2) * _MIX_1
    return np.int64(mixed >> _HALF) & mask


@inlined
def _count_short(
    low: Any, high: Any, slot: int, count: int, table: Any, mask: int, state: Any
) -> None:
    while table[4 * slot] != low or table[4 * slot + 1] != high:
        if table[4 * slot + 1] == _ZERO:
            table[4 * slot] = low
            table[4 * slot + 1] = high
            table[4 * slot + 3] = np.uint64(state[_SHORTS])
            state[_SHORTS] += 1
            break
        slot = (slot + 1) & mask
    table[4 * slot + 2] += np.uint64(count)


@kernel
def _count_long(
    text: Any, at: int, length: int, count: int, arena: Any, slots: Any, long: Any, state: Any
) -> bool:
    """Counts one pretoken; False, and nothing is done, where it is new and has no room."""
    mask = slots.size - 1
    mixed = np.uint64(length)
    for i in range(at, at + length, 8):
        word = load8(text, i)
        left = at + length - i
        if left < 8:
            word &= (_ONE << np.uint64(8 * left)) - _ONE
        mixed = (mixed ^ word) * _MIX_1
        mixed ^= mixed >> _HALF
    value = np.int64(mixed)
    slot = (value ^ (value >> 29)) & mask
    while slots[slot] > 0:
        entry = slots[slot] - 1
        if long[entry, 0] == value and long[entry, 2] == length:
            start = long[entry, 1]
            i = 0
            while i < length and arena[start + i] == text[at + i]:
                i += 1
            if i == length:
                long[entry, 3] += count
                return True
        slot = (slot + 1) & mask
    entry, used = state[_LONGS], state[_ARENA_USED]
    if entry == len(long) or used + length > arena.size:
        return False
    slots[slot] = entry + 1
    long[entry, 0] = value
    long[entry, 1] = used
    long[entry, 2] = length
    long[entry, 3] = count
    for i in range(length):
        arena[used + i] = text[at + i]
    state[_ARENA_USED] = used + length
    state[_LONGS] = entry + 1
    return True


@kernel
def _spell_shorts(
    table: Any, starts: Any, lengths: Any, counts: Any, shorts: int, arena: Any
) -> int:
    """Fills in the short pretokens by their numbers, bytes one after the other; returns how many
    bytes they are."""
    for at in range(0, table.size, 4):
        if table[at + 1] != _ZERO:
            number = np.int64(table[at + 3])
            # Where it is in the table, until its bytes are written.
            starts[number] = at
            counts[number] = np.int64(table[at + 2])
    end: Any = np.int64(0)
    for entry in range(shorts):
        slot = starts[entry]
        low, high = table[slot], table[slot + 1]
        length: Any = np.int64(high >> _LENGTH_AT)
        starts[entry] = end
        lengths[entry] = length
        for i in range(min(length, 8)):
            arena[end + i] = np.uint8(low >> np.uint64(8 * i) & _BYTE)
        for i in range(8, length):
            arena[end + i] = np.uint8(high >> np.uint64(8 * (i - 8)) & _BYTE)
        end += length
    return int(end)


@kernel
def _place_shorts(table: Any, larger: Any) -> None:
    mask = (larger.size >> 2) - 1
    for at in range(0, table.size, 4):
        if table[at + 1] != _ZERO:
            slot = _slot(table[at], table[at + 1], mask)
            while larger[4 * slot + 1] != _ZERO:
                slot = (slot + 1) & mask
            for i in range(4):
                larger[4 * slot + i] = table[at + i]


@kernel
def _place_longs(long: Any, entries: int, slots: Any) -> None:
    """Fills an empty slot table, which is a power of two long."""
    mask = slots.size - 1
    for entry in range(entries):
        value = long[entry, 0]
        slot = (value ^ (value >> 29)) & mask
        while slots[slot] > 0:
            slot = (slot + 1) & mask
        slots[slot] = entry + 1
