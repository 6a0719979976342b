"""How often each pretoken occurs: all that BPE training needs to know of a corpus.

Memory grows with the distinct pretokens, not with the text; counts are 64-bit, as a common word
passes 2^31 in a corpus of ordinary size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.tokenizer.eight_bytes import load8
from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.splitter import padded, piece_end
from gristmill.tokenizer.unicode_classes import class_table

_MIX = np.uint64(0x9E3779B97F4A7C15)
_ONE, _HALF = np.uint64(1), np.uint64(32)

_DOCUMENT, _POSITION, _ENTRIES, _ARENA_USED = range(4)


@dataclass(frozen=True)
class PretokenCounts:
    """Distinct pretokens: entry i is `arena[starts[i] : starts[i] + lengths[i]]`."""

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
        self._arena = np.empty(1 << 20, dtype=np.uint8)
        self._slots = np.zeros(1 << 17, dtype=np.int32)
        self._hashes = np.empty(1 << 16, dtype=np.int64)
        self._starts = np.empty(1 << 16, dtype=np.int64)
        self._lengths = np.empty(1 << 16, dtype=np.int64)
        self._counts = np.empty(1 << 16, dtype=np.int64)
        self._entries = 0
        self._arena_used = 0
        self.bytes = 0
        self.documents = 0

    def add(self, documents: Iterable[bytes]) -> None:
        """Counts UTF-8 documents; no pretoken reaches from one into the next."""
        batch = list(documents)
        text = padded(batch)
        ends = np.cumsum([len(document) for document in batch], dtype=np.int64)
        state = np.array([0, 0, self._entries, self._arena_used], dtype=np.int64)
        while not _count(
            text, ends, class_table(), self._pattern, self._arena, self._slots,
            self._hashes, self._starts, self._lengths, self._counts, state,
        ):  # fmt: skip
            self._grow(int(state[_ENTRIES]))
        self._entries, self._arena_used = int(state[_ENTRIES]), int(state[_ARENA_USED])
        self.bytes += int(ends[-1]) if batch else 0
        self.documents += len(batch)

    def result(self) -> PretokenCounts:
        """What was counted so far."""
        n = self._entries
        return PretokenCounts(
            self._arena[: self._arena_used],
            self._starts[:n],
            self._lengths[:n],
            self._counts[:n],
        )

    def _grow(self, entries: int) -> None:
        """Twice the room of whatever is nearly full."""
        if entries * 2 >= self._slots.size:
            self._slots = np.zeros(self._slots.size * 2, dtype=np.int32)
            _place(self._hashes, entries, self._slots)
            for name in ("_hashes", "_starts", "_lengths", "_counts"):
                setattr(self, name, np.resize(getattr(self, name), self._slots.size // 2))
        else:
            # The kernel stops where one pretoken does not fit: a megabyte without a blank is one.
            self._arena = np.concatenate([self._arena, np.empty_like(self._arena)])


@njit(cache=True, nogil=True)
def _count(
    text: Any,
    ends: Any,
    classes: Any,
    pattern: int,
    arena: Any,
    slots: Any,
    hashes: Any,
    starts: Any,
    lengths: Any,
    counts: Any,
    state: Any,
) -> bool:
    """Counts on from `state`; False where a table is full and has to grow first."""
    mask = slots.size - 1
    at = state[_POSITION]
    document = state[_DOCUMENT]
    entries = state[_ENTRIES]
    used = state[_ARENA_USED]
    complete = True
    while complete and document < ends.size:
        end = ends[document]
        while at < end:
            stop = piece_end(text, at, end, classes, pattern)
            length = stop - at
            mixed = np.uint64(length)
            for i in range(at, stop, 8):
                word = load8(text, i)
                if stop - i < 8:
                    word &= (_ONE << np.uint64(8 * (stop - i))) - _ONE
                mixed = (mixed ^ word) * _MIX
                mixed ^= mixed >> _HALF
            value = np.int64(mixed)
            slot = (value ^ (value >> 29)) & mask
            found = -1
            while slots[slot] > 0:
                entry = slots[slot] - 1
                if hashes[entry] == value and lengths[entry] == length:
                    start = starts[entry]
                    i = 0
                    while i < length and arena[start + i] == text[at + i]:
                        i += 1
                    if i == length:
                        found = entry
                        break
                slot = (slot + 1) & mask
            if found >= 0:
                counts[found] += 1
            else:
                if entries * 2 >= slots.size or used + length > arena.size:
                    complete = False
                    break
                slots[slot] = entries + 1
                hashes[entries] = value
                starts[entries] = used
                lengths[entries] = length
                counts[entries] = 1
                for i in range(length):
                    arena[used + i] = text[at + i]
                used += length
                entries += 1
            at = stop
        if complete:
            document += 1
    state[_DOCUMENT] = document
    state[_POSITION] = at
    state[_ENTRIES] = entries
    state[_ARENA_USED] = used
    return complete


@njit(cache=True, nogil=True)
def _place(hashes: Any, entries: int, slots: Any) -> None:
    """Fills an empty slot table, which is a power of two long."""
    mask = slots.size - 1
    for entry in range(entries):
        value = hashes[entry]
        slot = (value ^ (value >> 29)) & mask
        while slots[slot] > 0:
            slot = (slot + 1) & mask
        slots[slot] = entry + 1
