"""Text to ids: exact BPE in merge order, with a cache of pretokens.

Inside a pretoken the pair with the lowest merge rank is merged first, the leftmost of equals,
until no pair is left. Short pretokens are searched through, long ones go through a heap, so that
a megabyte without a blank costs n log n.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.eight_bytes import load8
from gristmill.tokenizer.patterns import pattern_code
from gristmill.tokenizer.splitter import padded, piece_end
from gristmill.tokenizer.unicode_classes import class_table

Ids = npt.NDArray[np.int32]

_FNV_OFFSET = -3750763034362895579
_FNV_PRIME = 1099511628211
_GOLDEN = -7046029254386353131
_NO_RANK = 2147483647
_SHORT = 48
_ID_BITS, _RANK_BITS = 20, 22
# Pretokens that are kept: 2^_KEPT_LOG slots of 32 bytes, half a cache line.
_KEPT_LOG = 18
_KEPT_BYTES = 15
_KEPT_IDS = 3
_LONG_LOG = 13
_LONG_WORDS = 32
_LONG_BYTES = 64
_LONG_FIRST_ID = 10
_LONG_IDS = 44
_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_ONE, _BITS, _HALF = np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF)
_BATCH_BYTES = 4 << 20


class Encoder:
    """Encodes with one vocabulary; may be used from several threads, which then run in parallel.

    byte_ids: int32 (256,), the id of each byte; a byte with -1 is left out of what is encoded.
    merges: int32 (n, 2), pairs of ids in order. merged_ids: int32 (n,), the id that each merge
    makes. whole: bytes of tokens with their ids; a pretoken that is one of them becomes it,
    whatever the merges would make of it.
    """

    def __init__(
        self,
        byte_ids: Ids,
        merges: Ids,
        merged_ids: Ids,
        pattern: str,
        whole: Mapping[bytes, int] | None = None,
    ):
        self._byte_ids = np.ascontiguousarray(byte_ids, dtype=np.int32)
        self._merged_ids = np.ascontiguousarray(merged_ids, dtype=np.int32)
        self._pattern = pattern_code(pattern)
        self._pairs = _pair_table(merges)
        self._byte_pairs = _byte_pair_table(self._byte_ids, self._pairs)
        self._whole = _whole_table(whole or {})
        self._local = threading.local()

    def encode(self, text: bytes) -> Ids:
        """The ids of one document."""
        return self.encode_batch([text])[0]

    def encode_batch(self, documents: Sequence[bytes]) -> list[Ids]:
        """The ids of each document; none depends on its neighbours."""
        results: list[Ids] = []
        first = 0
        while first < len(documents):
            size, last = 0, first
            while last < len(documents) and (last == first or size < _BATCH_BYTES):
                size += len(documents[last])
                last += 1
            results.extend(self._encode_some(documents[first:last]))
            first = last
        return results

    def _encode_some(self, documents: Sequence[bytes]) -> list[Ids]:
        text = padded(documents)
        ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
        # What is kept is written by twos and threes, over the end.
        out = np.empty(text.size + _KEPT_IDS, dtype=np.int32)
        id_ends = np.empty(ends.size, dtype=np.int64)
        _encode(
            text, ends, class_table(), self._pattern,
            self._byte_ids, self._byte_pairs, self._pairs, self._merged_ids,
            self._whole[0], self._whole[1], self._whole[2], self._whole[3],
            *self._kept(), out, id_ends,
        )  # fmt: skip
        starts = [0, *id_ends.tolist()]
        return [out[a:b].copy() for a, b in pairwise(starts)]

    def _kept(self) -> tuple[Any, Any]:
        """This thread's pretokens of before, uint64. Short ones in slots of 32 bytes: the bytes and
        the length, the ids and their number. Long ones, or such with more ids, in slots of 256
        bytes: a hash, length and number, then the bytes, then the ids."""
        kept: tuple[Any, Any] | None = getattr(self._local, "kept", None)
        if kept is None:
            kept = self._local.kept = (
                np.zeros(4 << _KEPT_LOG, dtype=np.uint64),
                np.zeros(_LONG_WORDS << _LONG_LOG, dtype=np.uint64),
            )
        return kept


@njit(nogil=True, inline="always")
def _word(text: Any, at: int, stop: int) -> Any:
    """The bytes from `at` as a number, those from `stop` on as zeros."""
    word = load8(text, at)
    if stop - at < 8:
        word &= (_ONE << np.uint64(8 * (stop - at))) - _ONE
    return word


@njit(nogil=True, inline="always")
def _slot(first: Any, second: Any) -> Any:
    """Where a pretoken of these bytes stands in `kept`."""
    mixed = (first ^ second * _MIX_1) * _MIX_2
    mixed ^= mixed >> _BITS
    return (mixed * _MIX_1 >> np.uint64(64 - _KEPT_LOG)) << np.uint64(2)


def _pair_table(merges: Ids) -> npt.NDArray[np.int64]:
    """Open addressing from a pair to its merge rank, both in one number: `left << 42 | right << 22
    | rank`; -1 marks a free slot. Raises GristmillError for more ids than that has room for."""
    size = 16
    while size < 2 * len(merges):
        size *= 2
    table = np.full(size, -1, dtype=np.int64)
    pairs = np.ascontiguousarray(merges, dtype=np.int64).reshape(-1, 2)
    if len(merges) >= 1 << _RANK_BITS or pairs.max(initial=0) >= 1 << _ID_BITS:
        raise GristmillError(
            f"the encoder takes at most {1 << _ID_BITS:,} ids and {1 << _RANK_BITS:,} merges"
        )
    _fill_pair_table(pairs[:, 0] << _ID_BITS | pairs[:, 1], table)
    return table


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


@njit(cache=True, nogil=True)
def _fill_pair_table(keys: Any, table: Any) -> None:
    mask = table.size - 1
    for rank in range(keys.size):
        slot = ((keys[rank] * _GOLDEN) >> 40) & mask
        while table[slot] >= 0 and table[slot] >> _RANK_BITS != keys[rank]:
            slot = (slot + 1) & mask
        # A pair that is listed twice counts where it stands first.
        if table[slot] < 0:
            table[slot] = keys[rank] << _RANK_BITS | rank


def _whole_table(tokens: Mapping[bytes, int]) -> tuple[Any, Any, Any, Ids]:
    """Open addressing from a token's bytes to its place; the bytes, where each ends, the ids.

    Without tokens there are no slots, and nothing is looked up.
    """
    size = 0 if not tokens else 1 << (2 * len(tokens)).bit_length()
    slots = np.full(size, -1, dtype=np.int32)
    text = np.frombuffer(b"".join(tokens), dtype=np.uint8)
    ends = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    _fill_whole_table(text, ends, slots)
    return slots, text, ends, np.array(list(tokens.values()), dtype=np.int32)


@njit(cache=True, nogil=True)
def _fill_whole_table(text: Any, ends: Any, slots: Any) -> None:
    for place in range(ends.size - 1):
        slot = _fnv(text, ends[place], ends[place + 1]) & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = place


@njit(cache=True, nogil=True)
def _fnv(text: Any, start: int, stop: int) -> Any:
    value = np.int64(_FNV_OFFSET)
    for i in range(start, stop):
        value = (value ^ np.int64(text[i])) * _FNV_PRIME
    return value ^ (value >> 29)


@njit(cache=True, nogil=True)
def _whole_place(text: Any, start: int, stop: int, slots: Any, tokens: Any, ends: Any) -> Any:
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


@njit(cache=True, nogil=True)
def _rank(pairs: Any, left: int, right: int) -> Any:
    mask = pairs.size - 1
    key = np.int64(left) << _ID_BITS | np.int64(right)
    slot = ((key * _GOLDEN) >> 40) & mask
    while pairs[slot] >> _RANK_BITS != key:
        if pairs[slot] < 0:
            return _NO_RANK
        slot = (slot + 1) & mask
    return pairs[slot] & ((1 << _RANK_BITS) - 1)


@njit(cache=True, nogil=True)
def _encode(
    text: Any,
    ends: Any,
    classes: Any,
    pattern: int,
    byte_ids: Any,
    byte_pairs: Any,
    pairs: Any,
    merged_ids: Any,
    whole_slots: Any,
    whole_text: Any,
    whole_ends: Any,
    whole_ids: Any,
    kept: Any,
    kept_long: Any,
    out: Any,
    id_ends: Any,
) -> None:
    """Fills `out` with the ids of all documents, `id_ends` with where each document's ids end."""
    pair_rank = np.empty(_SHORT + 1, dtype=np.int64)
    at, count = np.int64(0), np.int64(0)
    for document in range(ends.size):
        end = ends[document]
        while at < end:
            stop = piece_end(text, at, end, classes, pattern)
            length = stop - at
            if length == 1:
                if byte_ids[text[at]] >= 0:
                    out[count] = byte_ids[text[at]]
                    count += 1
                at = stop
                continue
            slot, first, second = np.uint64(0), np.uint64(0), np.uint64(0)
            if length <= _KEPT_BYTES:
                first = _word(text, at, stop)
                if length > 8:
                    second = _word(text, at + 8, stop)
                # The length is the top byte of the key, so that zero bytes count.
                second |= np.uint64(length) << np.uint64(56)
                slot = _slot(first, second)
                if kept[slot] == first and kept[slot + 1] == second:
                    # All three are written, as many as there are count.
                    two, more = kept[slot + 2], kept[slot + 3]
                    out[count] = np.int32(two & _HALF)
                    out[count + 1] = np.int32(two >> _BITS)
                    out[count + 2] = np.int32(more & _HALF)
                    count += np.int64(more >> _BITS)
                    at = stop
                    continue
            n = _recall(text, at, stop, kept_long, out, count)
            if n < 0:
                n = _merge(
                    text, at, stop, byte_ids, byte_pairs, pairs, merged_ids,
                    whole_slots, whole_text, whole_ends, whole_ids, pair_rank, out, count,
                )  # fmt: skip
                if length <= _KEPT_BYTES and n <= _KEPT_IDS:
                    for i in range(n, _KEPT_IDS):
                        out[count + i] = 0
                    kept[slot], kept[slot + 1] = first, second
                    kept[slot + 2] = np.uint64(out[count]) | np.uint64(out[count + 1]) << _BITS
                    kept[slot + 3] = np.uint64(out[count + 2]) | np.uint64(n) << _BITS
                elif length <= _LONG_BYTES and n <= _LONG_IDS:
                    _keep_long(text, at, stop, kept_long, out, count, n)
            count += n
            at = stop
        id_ends[document] = count


@njit(cache=True, nogil=True)
def _merge(
    text: Any,
    at: int,
    stop: int,
    byte_ids: Any,
    byte_pairs: Any,
    pairs: Any,
    merged_ids: Any,
    whole_slots: Any,
    whole_text: Any,
    whole_ends: Any,
    whole_ids: Any,
    pair_rank: Any,
    out: Any,
    start: int,
) -> int:
    """The ids of one pretoken into `out` from `start`, and how many they are."""
    if whole_slots.size > 0:
        token = _whole_place(text, at, stop, whole_slots, whole_text, whole_ends)
        if token >= 0:
            out[start] = whole_ids[token]
            return 1
    n = 0
    for i in range(at, stop):
        if byte_ids[text[i]] >= 0:
            out[start + n] = byte_ids[text[i]]
            n += 1
    if n > _SHORT:
        return _merge_long(out, start, n, pairs, merged_ids)
    if n == stop - at:
        for i in range(n - 1):
            pair = np.int64(text[at + i]) << 8 | np.int64(text[at + i + 1])
            pair_rank[i] = byte_pairs[pair]
    else:
        for i in range(n - 1):
            pair_rank[i] = _rank(pairs, out[start + i], out[start + i + 1])
    return _merge_short(out, start, n, pair_rank, pairs, merged_ids)


@njit(nogil=True, inline="always")
def _long_slot(text: Any, at: int, stop: int) -> Any:
    """A hash of the pretoken, and where it stands in `kept_long`."""
    mixed = np.uint64(stop - at)
    for i in range(at, stop, 8):
        mixed = (mixed ^ _word(text, i, stop)) * _MIX_1
        mixed ^= mixed >> _BITS
    return mixed, np.int64(mixed * _MIX_2 >> np.uint64(64 - _LONG_LOG)) * _LONG_WORDS


@njit(cache=True, nogil=True)
def _recall(text: Any, at: int, stop: int, kept_long: Any, out: Any, start: int) -> int:
    """The ids of a pretoken that was kept, into `out` from `start`; their number, or -1."""
    length = stop - at
    if length > _LONG_BYTES:
        return -1
    mixed, slot = _long_slot(text, at, stop)
    if kept_long[slot] != mixed or kept_long[slot + 1] & _HALF != np.uint64(length):
        return -1
    for i in range(0, length, 8):
        if kept_long[slot + 2 + (i >> 3)] != _word(text, at + i, stop):
            return -1
    n = np.int64(kept_long[slot + 1] >> _BITS)
    for i in range(0, n, 2):
        two = kept_long[slot + _LONG_FIRST_ID + (i >> 1)]
        out[start + i] = np.int32(two & _HALF)
        out[start + i + 1] = np.int32(two >> _BITS)
    return int(n)


@njit(cache=True, nogil=True)
def _keep_long(text: Any, at: int, stop: int, kept_long: Any, out: Any, start: int, n: int) -> None:
    mixed, slot = _long_slot(text, at, stop)
    kept_long[slot] = mixed
    kept_long[slot + 1] = np.uint64(stop - at) | np.uint64(n) << _BITS
    for i in range(0, stop - at, 8):
        kept_long[slot + 2 + (i >> 3)] = _word(text, at + i, stop)
    out[start + n] = 0
    for i in range(0, n, 2):
        two = np.uint64(out[start + i]) | np.uint64(out[start + i + 1]) << _BITS
        kept_long[slot + _LONG_FIRST_ID + (i >> 1)] = two


@njit(cache=True, nogil=True)
def _merge_short(ids: Any, start: int, n: int, pair_rank: Any, pairs: Any, merged_ids: Any) -> int:
    """Merges `ids[start : start + n]` in place by searching for the lowest rank each time.

    pair_rank: of each id and the next one.
    """
    while n > 1:
        best = 0
        for i in range(1, n - 1):
            if pair_rank[i] < pair_rank[best]:
                best = i
        if pair_rank[best] == _NO_RANK:
            break
        ids[start + best] = merged_ids[pair_rank[best]]
        n -= 1
        for i in range(best + 1, n):
            ids[start + i] = ids[start + i + 1]
            pair_rank[i - 1] = pair_rank[i]
        if best > 0:
            pair_rank[best - 1] = _rank(pairs, ids[start + best - 1], ids[start + best])
        if best < n - 1:
            pair_rank[best] = _rank(pairs, ids[start + best], ids[start + best + 1])
    return n


@njit(cache=True, nogil=True)
def _merge_long(ids: Any, start: int, n: int, pairs: Any, merged_ids: Any) -> int:
    """The same through a heap of (rank, position): n log n."""
    following = np.empty(n, dtype=np.int64)
    preceding = np.empty(n, dtype=np.int64)
    for i in range(n):
        following[i], preceding[i] = i + 1, i - 1
    heap = np.empty(3 * n, dtype=np.int64)
    size = 0
    for i in range(n - 1):
        rank = _rank(pairs, ids[start + i], ids[start + i + 1])
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
        if _rank(pairs, ids[start + i], ids[start + j]) != rank:
            continue
        ids[start + i] = merged_ids[rank]
        ids[start + j] = -1
        k = following[j]
        following[i] = k
        if k < n:
            preceding[k] = i
            rank = _rank(pairs, ids[start + i], ids[start + k])
            if rank != _NO_RANK:
                size = _push(heap, size, rank << 32 | i)
        h = preceding[i]
        if h >= 0:
            rank = _rank(pairs, ids[start + h], ids[start + i])
            if rank != _NO_RANK:
                size = _push(heap, size, rank << 32 | h)
    count = 0
    i = 0
    while i < n:
        ids[start + count] = ids[start + i]
        count += 1
        i = following[i]
    return count


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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
