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
# Pretokens that are kept: 2^_KEPT_LOG slots of 32 bytes, half a cache line.
_KEPT_LOG = 17
_KEPT_BYTES = 15
_KEPT_IDS = 3
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
        self._pair_keys, self._pair_ranks = _pair_table(merges)
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
        out = np.empty(text.size + _KEPT_IDS, dtype=np.int32)
        id_ends = np.empty(ends.size, dtype=np.int64)
        _encode(
            text, ends, class_table(), self._pattern,
            self._byte_ids, self._pair_keys, self._pair_ranks, self._merged_ids,
            self._whole[0], self._whole[1], self._whole[2], self._whole[3],
            self._kept(), out, id_ends,
        )  # fmt: skip
        starts = [0, *id_ends.tolist()]
        return [out[a:b].copy() for a, b in pairwise(starts)]

    def _kept(self) -> npt.NDArray[np.uint64]:
        """This thread's pretokens of before: each one's bytes and length, its ids and their
        number, in the 32 bytes of a slot."""
        kept: npt.NDArray[np.uint64] | None = getattr(self._local, "kept", None)
        if kept is None:
            kept = self._local.kept = np.zeros(4 << _KEPT_LOG, dtype=np.uint64)
        return kept


@njit(nogil=True, inline="always")
def _slot(first: Any, second: Any) -> Any:
    """Where a pretoken of these bytes stands in `kept`."""
    mixed = (first ^ second * _MIX_1) * _MIX_2
    mixed ^= mixed >> _BITS
    return (mixed * _MIX_1 >> np.uint64(64 - _KEPT_LOG)) << np.uint64(2)


def _pair_table(merges: Ids) -> tuple[npt.NDArray[np.int64], Ids]:
    """Open addressing from (left id << 32 | right id) to merge rank; -1 marks a free slot."""
    size = 16
    while size < 4 * len(merges):
        size *= 2
    keys = np.full(size, -1, dtype=np.int64)
    ranks = np.empty(size, dtype=np.int32)
    pairs = np.ascontiguousarray(merges, dtype=np.int64).reshape(-1, 2)
    _fill_pair_table(pairs[:, 0] << 32 | pairs[:, 1], keys, ranks)
    return keys, ranks


@njit(cache=True, nogil=True)
def _fill_pair_table(pairs: Any, keys: Any, ranks: Any) -> None:
    mask = keys.size - 1
    for rank in range(pairs.size):
        slot = ((pairs[rank] * _GOLDEN) >> 32) & mask
        while keys[slot] >= 0 and keys[slot] != pairs[rank]:
            slot = (slot + 1) & mask
        # A pair that is listed twice counts where it stands first.
        if keys[slot] < 0:
            keys[slot] = pairs[rank]
            ranks[slot] = rank


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
def _rank(keys: Any, ranks: Any, left: int, right: int) -> Any:
    mask = keys.size - 1
    key = np.int64(left) << 32 | np.int64(right)
    slot = ((key * _GOLDEN) >> 32) & mask
    while keys[slot] != key:
        if keys[slot] < 0:
            return _NO_RANK
        slot = (slot + 1) & mask
    return np.int64(ranks[slot])


@njit(cache=True, nogil=True)
def _encode(
    text: Any,
    ends: Any,
    classes: Any,
    pattern: int,
    byte_ids: Any,
    keys: Any,
    ranks: Any,
    merged_ids: Any,
    whole_slots: Any,
    whole_text: Any,
    whole_ends: Any,
    whole_ids: Any,
    kept: Any,
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
                first = load8(text, at)
                if length < 8:
                    first &= (_ONE << np.uint64(8 * length)) - _ONE
                elif length > 8:
                    second = load8(text, at + 8)
                    if length < 16:
                        second &= (_ONE << np.uint64(8 * (length - 8))) - _ONE
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
            place = -1
            if whole_slots.size > 0:
                place = _whole_place(text, at, stop, whole_slots, whole_text, whole_ends)
            n = 0
            if place >= 0:
                out[count] = whole_ids[place]
                n = 1
            else:
                for i in range(length):
                    if byte_ids[text[at + i]] >= 0:
                        out[count + n] = byte_ids[text[at + i]]
                        n += 1
                if n <= _SHORT:
                    n = _merge_short(out, count, n, pair_rank, keys, ranks, merged_ids)
                else:
                    n = _merge_long(out, count, n, keys, ranks, merged_ids)
            if length <= _KEPT_BYTES and n <= _KEPT_IDS:
                for i in range(n, _KEPT_IDS):
                    out[count + i] = 0
                kept[slot], kept[slot + 1] = first, second
                kept[slot + 2] = np.uint64(out[count]) | np.uint64(out[count + 1]) << _BITS
                kept[slot + 3] = np.uint64(out[count + 2]) | np.uint64(n) << _BITS
            count += n
            at = stop
        id_ends[document] = count


@njit(cache=True, nogil=True)
def _merge_short(
    ids: Any, start: int, n: int, pair_rank: Any, keys: Any, ranks: Any, merged_ids: Any
) -> int:
    """Merges `ids[start : start + n]` in place by searching for the lowest rank each time."""
    for i in range(n - 1):
        pair_rank[i] = _rank(keys, ranks, ids[start + i], ids[start + i + 1])
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
            pair_rank[best - 1] = _rank(keys, ranks, ids[start + best - 1], ids[start + best])
        if best < n - 1:
            pair_rank[best] = _rank(keys, ranks, ids[start + best], ids[start + best + 1])
    return n


@njit(cache=True, nogil=True)
def _merge_long(ids: Any, start: int, n: int, keys: Any, ranks: Any, merged_ids: Any) -> int:
    """The same through a heap of (rank, position): n log n."""
    following = np.empty(n, dtype=np.int64)
    preceding = np.empty(n, dtype=np.int64)
    for i in range(n):
        following[i], preceding[i] = i + 1, i - 1
    heap = np.empty(3 * n, dtype=np.int64)
    size = 0
    for i in range(n - 1):
        rank = _rank(keys, ranks, ids[start + i], ids[start + i + 1])
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
        if _rank(keys, ranks, ids[start + i], ids[start + j]) != rank:
            continue
        ids[start + i] = merged_ids[rank]
        ids[start + j] = -1
        k = following[j]
        following[i] = k
        if k < n:
            preceding[k] = i
            rank = _rank(keys, ranks, ids[start + i], ids[start + k])
            if rank != _NO_RANK:
                size = _push(heap, size, rank << 32 | i)
        h = preceding[i]
        if h >= 0:
            rank = _rank(keys, ranks, ids[start + h], ids[start + i])
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
