"""The ids of one pretoken: exact BPE in merge order, in compiled loops.

The pair with the lowest merge rank is merged first, the leftmost of equals, until no pair is left.
Short pretokens: the ranks of all pairs stand in a few vectors, whose smallest element is found
without a branch. Long ones go through a heap, so that a megabyte without a blank costs n log n.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.eight_bytes import inlined, kernel, least16
from gristmill.tokenizer.kept_pieces import ID_BITS
from gristmill.tokenizer.splitter import padded

Ids = npt.NDArray[np.int32]

_GOLDEN = -7046029254386353131
_NO_RANK = 2147483647
_RANK_BITS = 22
# Words behind the pair table, a bit for each of a million hashes: most pairs that are looked up do
# not merge, and this says so of nine in ten from a cache that the table is too large for.
_SKETCH = 1 << 14
# A rank and a place among so many share 28 bits of a pair's number in the vectors.
_SHORT, _PLACE_BITS = 64, 6
_NO_PAIR = 0xFFFFFFFF
_FNV_OFFSET = -3750763034362895579
_FNV_PRIME = 1099511628211


class MergeTables(NamedTuple):
    """What `merge_piece` takes, in its order."""

    byte_ids: Ids
    byte_pairs: Ids
    pairs: npt.NDArray[np.int64]
    merged_ids: Ids


class WholeTokens(NamedTuple):
    """Tokens that a pretoken becomes although its merges would make something else of it."""

    slots: Ids
    text: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    ids: Ids


class Scratch(NamedTuple):
    """Room for the merging of one pretoken: pairs by rank and place, each place's neighbours, and
    a heap, which only long ones need."""

    ranked: npt.NDArray[np.uint32]
    following: npt.NDArray[np.int64]
    preceding: npt.NDArray[np.int64]
    heap: npt.NDArray[np.int64]


def merge_tables(byte_ids: Ids, merges: Ids, merged_ids: Ids) -> MergeTables:
    """Tables from merges, int32 (n, 2) in order. Raises GristmillError for too many ids."""
    byte_ids = np.ascontiguousarray(byte_ids, dtype=np.int32)
    pairs = _pair_table(merges)
    check_ids(byte_ids)
    check_ids(merged_ids)
    return MergeTables(
        byte_ids,
        _byte_pair_table(byte_ids, pairs),
        pairs,
        np.ascontiguousarray(merged_ids, dtype=np.int32),
    )


def scratch(longest: int) -> Scratch:
    """For one thread and pretokens of up to `longest` bytes."""
    longest = max(longest, _SHORT)
    return Scratch(
        np.empty(_SHORT, dtype=np.uint32),
        np.empty(longest + 1, dtype=np.int64),
        np.empty(longest + 1, dtype=np.int64),
        np.empty(3 * longest, dtype=np.int64),
    )


def _pair_table(merges: Ids) -> npt.NDArray[np.int64]:
    """Open addressing from a pair to its merge rank, both in one number: `left << 42 | right << 22
    | rank`; -1 marks a free slot. Behind it a sketch of the pairs (`_SKETCH`). Raises
    GristmillError for more ids than that has room for."""
    size = 16
    while size < 2 * len(merges):
        size *= 2
    table = np.full(size, -1, dtype=np.int64)
    pairs = np.ascontiguousarray(merges, dtype=np.int64).reshape(-1, 2)
    check_ids(pairs)
    if len(merges) >= 1 << _RANK_BITS:
        raise GristmillError(f"the encoder takes at most {1 << _RANK_BITS:,} merges")
    _fill_pair_table(pairs[:, 0] << ID_BITS | pairs[:, 1], table)
    both = np.concatenate([table, np.zeros(_SKETCH, dtype=np.int64)])
    _fill_sketch(both, table.size)
    return both


@kernel
def _fill_sketch(table: Any, size: int) -> None:
    """Sets the bits of all pairs that the first `size` slots hold."""
    for i in range(size):
        if table[i] >= 0:
            bit = ((table[i] >> _RANK_BITS) * _GOLDEN >> 43) & (64 * _SKETCH - 1)
            table[size + (bit >> 6)] |= np.int64(1) << (bit & 63)


def check_ids(ids: npt.NDArray[np.integer]) -> None:
    """Raises GristmillError for an id that the tables have no room for."""
    if ids.max(initial=0) >= 1 << ID_BITS:
        raise GristmillError(f"the encoder takes at most {1 << ID_BITS:,} ids")


@njit(cache=True, nogil=True)
def _byte_pair_table(byte_ids: Any, pairs: Any) -> Any:
    """The merge rank of two bytes, by both: where every merging begins, without a search."""
    table = np.empty(1 << 16, dtype=np.int32)
    for pair in range(1 << 16):
        left, right = byte_ids[pair >> 8], byte_ids[pair & 0xFF]
        table[pair] = _NO_RANK
        if left >= 0 and right >= 0:
            table[pair] = _rank(pairs, left, right)
    return table


@kernel
def _fill_pair_table(keys: Any, table: Any) -> None:
    mask = table.size - 1
    for rank in range(keys.size):
        slot = ((keys[rank] * _GOLDEN) >> 40) & mask
        while table[slot] >= 0 and table[slot] >> _RANK_BITS != keys[rank]:
            slot = (slot + 1) & mask
        # A pair that is listed twice counts where it stands first.
        if table[slot] < 0:
            table[slot] = keys[rank] << _RANK_BITS | rank


def whole_tokens(tokens: Mapping[bytes, int]) -> WholeTokens:
    """Open addressing from a token's bytes to its place; the bytes, where each ends, the ids.

    Without tokens there are no slots, and nothing is looked up.
    """
    size = 0 if not tokens else 1 << (2 * len(tokens)).bit_length()
    slots = np.full(size, -1, dtype=np.int32)
    text = padded(list(tokens))
    ends = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    _fill_whole_table(text, ends, slots)
    return WholeTokens(slots, text, ends, np.array(list(tokens.values()), dtype=np.int32))


@kernel
def _fill_whole_table(text: Any, ends: Any, slots: Any) -> None:
    for place in range(ends.size - 1):
        slot = _fnv(text, ends[place], ends[place + 1]) & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = place


@kernel
def _fnv(text: Any, start: int, stop: int) -> Any:
    value = np.int64(_FNV_OFFSET)
    for i in range(start, stop):
        value = (value ^ np.int64(text[i])) * _FNV_PRIME
    return value ^ (value >> 29)


@kernel
def whole_place(text: Any, start: int, stop: int, slots: Any, tokens: Any, ends: Any) -> Any:
    """The place of the token that the piece is, or -1."""
    slot = _fnv(text, start, stop) & (slots.size - 1)
    while slots[slot] >= 0:
        place = slots[slot]
        first = ends[place]
        if ends[place + 1] - first == stop - start:
            i = 0
            while start + i < stop and tokens[first + i] == text[start + i]:
                i += 1
            if start + i == stop:
                return place
        slot = (slot + 1) & (slots.size - 1)
    return -1


@inlined
def _rank(pairs: Any, left: int, right: int) -> Any:
    size = pairs.size - _SKETCH
    key = np.int64(left) << ID_BITS | np.int64(right)
    mixed = key * _GOLDEN
    bit = (mixed >> 43) & (64 * _SKETCH - 1)
    if (pairs[size + (bit >> 6)] >> (bit & 63)) & 1 == 0:
        return _NO_RANK
    slot = (mixed >> 40) & (size - 1)
    while pairs[slot] >> _RANK_BITS != key:
        if pairs[slot] < 0:
            return _NO_RANK
        slot = (slot + 1) & (size - 1)
    return pairs[slot] & ((1 << _RANK_BITS) - 1)


@kernel
def _rank_of(pairs: Any, left: int, right: int) -> Any:
    """The same as a call, which is compiled sooner."""
    return _rank(pairs, left, right)


@kernel
def merge_piece(
    text: Any,
    at: int,
    stop: int,
    byte_ids: Any,
    byte_pairs: Any,
    pairs: Any,
    merged_ids: Any,
    ranked: Any,
    following: Any,
    preceding: Any,
    heap: Any,
    out: Any,
    start: int,
) -> int:
    """The ids of the pretoken `text[at:stop]` into `out` from `start`, and how many they are."""
    n = 0
    for i in range(at, stop):
        if byte_ids[text[i]] >= 0:
            out[start + n] = byte_ids[text[i]]
            n += 1
    if n > _SHORT:
        return _merge_long(out, start, n, pairs, merged_ids, following, preceding, heap)
    whole = n == stop - at
    for i in range((n + 15) & ~15):
        ranked[i] = _NO_PAIR
    for i in range(n):
        following[i], preceding[i] = i + 1, i - 1
        rank = _NO_RANK
        if i < n - 1:
            if whole:
                rank = byte_pairs[np.int64(text[at + i]) << 8 | np.int64(text[at + i + 1])]
            else:
                rank = _rank(pairs, out[start + i], out[start + i + 1])
        if rank != _NO_RANK:
            ranked[i] = rank << _PLACE_BITS | i
    while n > 1:
        best = least16(ranked, 0)
        for first in range(16, n, 16):
            best = min(best, least16(ranked, first))
        if best == _NO_PAIR:
            break
        i = best & (_SHORT - 1)
        j = following[i]
        k = following[j]
        h = preceding[i]
        out[start + i] = merged_ids[best >> _PLACE_BITS]
        following[i] = k
        preceding[k] = i
        ranked[j] = _NO_PAIR
        ranked[i] = _NO_PAIR
        if k < n:
            rank = _rank(pairs, out[start + i], out[start + k])
            if rank != _NO_RANK:
                ranked[i] = rank << _PLACE_BITS | i
        if h >= 0:
            rank = _rank(pairs, out[start + h], out[start + i])
            ranked[h] = _NO_PAIR if rank == _NO_RANK else rank << _PLACE_BITS | h
    count, i = 0, 0
    while i < n:
        out[start + count] = out[start + i]
        count += 1
        i = following[i]
    return count


@kernel
def _merge_long(
    ids: Any,
    start: int,
    n: int,
    pairs: Any,
    merged_ids: Any,
    following: Any,
    preceding: Any,
    heap: Any,
) -> int:
    """Merges `ids[start : start + n]` in place, through a heap of (rank, position): n log n."""
    for i in range(n):
        following[i], preceding[i] = i + 1, i - 1
    size = 0
    for i in range(n - 1):
        rank = _rank_of(pairs, ids[start + i], ids[start + i + 1])
        if rank != _NO_RANK:
            size = _push(heap, size, rank << 32 | i)
    while size > 0:
        top = heap[0]
        size = _pop(heap, size)
        rank, i = top >> 32, top & 0xFFFFFFFF
        j = following[i]
        # Stale where one side was merged since: a token that is gone has id -1.
        if ids[start + i] < 0 or j >= n:
            continue
        if _rank_of(pairs, ids[start + i], ids[start + j]) != rank:
            continue
        ids[start + i] = merged_ids[rank]
        ids[start + j] = -1
        k = following[j]
        following[i] = k
        if k < n:
            preceding[k] = i
        # The pairs that the new token is the left and the right side of.
        for side in range(2):
            one = i if side == 0 else preceding[i]
            if one >= 0 and following[one] < n:
                rank = _rank_of(pairs, ids[start + one], ids[start + following[one]])
                if rank != _NO_RANK:
                    size = _push(heap, size, rank << 32 | one)
    count = 0
    i = 0
    while i < n:
        ids[start + count] = ids[start + i]
        count += 1
        i = following[i]
    return count


@kernel
def _push(heap: Any, size: int, key: int) -> int:
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= key:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = key
    return size + 1


@kernel
def _pop(heap: Any, size: int) -> int:
    size -= 1
    key = heap[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return size
