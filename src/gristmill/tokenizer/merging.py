"""Learning the merges of byte-level BPE (Sennrich, Haddow and Birch 2016, algorithm 1).

At every step the most frequent pair of neighbouring tokens becomes a new token. The rule for
ties is fixed: the pair whose left id is smallest, then whose right id is smallest. The result
depends on the counted pretokens alone, not on their order.

No two merges make the same bytes. Inside a stretch of text which no merge crosses, merges do not
depend on what stands around it, so a second occurrence of the bytes goes the way of the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.counting import PretokenCounts

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer
_BORDER = -1
_INSIDE = -2


def learn_merges(
    pretokens: PretokenCounts,
    merges: int,
    *,
    min_frequency: int = 2,
    max_token_length: int = 64,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The pairs to merge, in order, int32 of shape (n, 2), and the count of each when chosen.

    Ids 0 to 255 are the bytes; merge k makes id 256 + k. Fewer than `merges` come back where no
    pair is left that occurs `min_frequency` times and is at most `max_token_length` bytes long.
    """
    useful = np.flatnonzero(pretokens.lengths > 1)
    lengths = pretokens.lengths[useful]
    symbols = int(lengths.sum()) + useful.size + 1
    if symbols * 3 >= 2**31:
        raise GristmillError(
            f"the text has {symbols:,} bytes of distinct pretokens, more than training can hold",
            mend="train the tokenizer on a sample of the documents",
        )
    pairs, counts, made = _learn(
        pretokens.arena,
        pretokens.starts[useful],
        lengths,
        pretokens.counts[useful],
        symbols,
        merges,
        max(1, min_frequency),
        max_token_length,
    )
    return pairs[:made].copy(), counts[:made].copy()


@njit(cache=True, nogil=True)
def _learn(
    arena: Any,
    starts: Any,
    lengths: Any,
    counts: Any,
    size: int,
    merges: int,
    min_frequency: int,
    max_token_length: int,
) -> Any:
    # `symbols` is indexed by byte position. A token stands at its first and at its last byte, so
    # that both neighbours are found by the token's length; a border closes every pretoken.
    symbols = np.empty(size, dtype=np.int32)
    word = np.empty(size, dtype=np.int32)
    symbols[0] = _BORDER
    at = 1
    for w in range(starts.size):
        for i in range(lengths[w]):
            symbols[at] = arena[starts[w] + i]
            word[at] = w
            at += 1
        symbols[at] = _BORDER
        at += 1
    token_length = np.empty(256 + merges, dtype=np.int64)

    # Pairs: key, count, and a chain of the positions where it was seen, in ascending order.
    room = 1 << 14
    key = np.empty(room, dtype=np.int64)
    count = np.zeros(room, dtype=np.int64)
    head = np.empty(room, dtype=np.int32)
    tail = np.empty(room, dtype=np.int32)
    slots = np.zeros(room * 2, dtype=np.int32)
    pairs = 0
    # Each merge of an occurrence takes one symbol away and makes two occurrences at most.
    chain_at = np.empty(3 * size, dtype=np.int32)
    chain_next = np.empty(3 * size, dtype=np.int32)
    chained = 0

    for position in range(1, size - 1):
        a, b = symbols[position], symbols[position + 1]
        if a < 0 or b < 0:
            continue
        if pairs + 1 >= room:
            room *= 2
            key, count = _grown(key), _grown(count)
            head, tail = _grown(head), _grown(tail)
            slots = _placed(key, pairs, room * 2)
        slot = _find(slots, key, np.int64(a) << 32 | b)
        pair = slots[slot] - 1
        if pair < 0:
            pair = pairs
            pairs += 1
            slots[slot] = pairs
            key[pair] = np.int64(a) << 32 | b
            count[pair] = 0
            head[pair] = -1
        count[pair] += counts[word[position]]
        chain_at[chained] = position
        chain_next[chained] = -1
        if head[pair] < 0:
            head[pair] = chained
        else:
            chain_next[tail[pair]] = chained
        tail[pair] = chained
        chained += 1

    heap_count = np.empty(room, dtype=np.int64)
    heap_pair = np.empty(room, dtype=np.int32)
    heaped = 0
    if max_token_length >= 2:
        for pair in range(pairs):
            if count[pair] >= min_frequency:
                _push(heap_count, heap_pair, heaped, key, count[pair], pair)
                heaped += 1

    learned = np.empty((merges, 2), dtype=np.int32)
    learned_count = np.empty(merges, dtype=np.int64)
    # The pairs that a merge makes hold the new token on one side: found by the other side.
    before = np.empty(256 + merges, dtype=np.int32)
    after = np.empty(256 + merges, dtype=np.int32)
    for token in range(256 + merges):
        before[token] = after[token] = -1
        token_length[token] = 1
    made = 0
    while made < merges and heaped > 0:
        best_count, best = heap_count[0], heap_pair[0]
        heaped -= 1
        _pop(heap_count, heap_pair, heaped, key)
        # Counts only fall once a pair is made, so an entry of the heap is too high or right.
        if count[best] != best_count:
            if count[best] >= min_frequency:
                _push(heap_count, heap_pair, heaped, key, count[best], best)
                heaped += 1
            continue
        left, right = np.int32(key[best] >> 32), np.int32(key[best] & 0xFFFFFFFF)
        new = np.int32(256 + made)
        learned[made, 0], learned[made, 1] = left, right
        learned_count[made] = best_count
        left_length, right_length = token_length[left], token_length[right]
        length = left_length + right_length
        token_length[new] = length
        made += 1

        # Room for all pairs that this merge can make: one for each token, on each side.
        while pairs + 2 * (new + 1) >= room:
            room *= 2
            key, count = _grown(key), _grown(count)
            head, tail = _grown(head), _grown(tail)
            heap_count, heap_pair = _grown(heap_count), _grown(heap_pair)
            slots = _placed(key, pairs, room * 2)

        first_new = pairs
        link = head[best]
        while link >= 0:
            position = chain_at[link]
            link = chain_next[link]
            middle = position + left_length
            # The occurrence may be gone: an earlier merge took one of its sides.
            if symbols[position] != left or symbols[middle] != right:
                continue
            weight = counts[word[position]]
            last = position + length - 1
            neighbour = symbols[position - 1]
            if neighbour >= 0:
                old = slots[_find(slots, key, np.int64(neighbour) << 32 | left)] - 1
                count[old] -= weight
                pair = before[neighbour]
                if pair < 0:
                    pair = pairs
                    pairs += 1
                    key[pair] = np.int64(neighbour) << 32 | new
                    slots[_find(slots, key, key[pair])] = pairs
                    count[pair] = 0
                    head[pair] = -1
                    before[neighbour] = pair
                count[pair] += weight
                chain_at[chained] = position - token_length[neighbour]
                chain_next[chained] = -1
                if head[pair] < 0:
                    head[pair] = chained
                else:
                    chain_next[tail[pair]] = chained
                tail[pair] = chained
                chained += 1
            neighbour = symbols[last + 1]
            if neighbour >= 0:
                old = slots[_find(slots, key, np.int64(right) << 32 | neighbour)] - 1
                count[old] -= weight
                pair = after[neighbour]
                if pair < 0:
                    pair = pairs
                    pairs += 1
                    key[pair] = np.int64(new) << 32 | neighbour
                    slots[_find(slots, key, key[pair])] = pairs
                    count[pair] = 0
                    head[pair] = -1
                    after[neighbour] = pair
                count[pair] += weight
                chain_at[chained] = position
                chain_next[chained] = -1
                if head[pair] < 0:
                    head[pair] = chained
                else:
                    chain_next[tail[pair]] = chained
                tail[pair] = chained
                chained += 1
            symbols[middle] = _INSIDE
            symbols[position] = new
            symbols[last] = new
        count[best] = 0

        for pair in range(first_new, pairs):
            one, two = key[pair] >> 32, key[pair] & 0xFFFFFFFF
            if two == new:
                before[one] = -1
            if one == new:
                after[two] = -1
            fits = token_length[one] + token_length[two] <= max_token_length
            if fits and count[pair] >= min_frequency:
                _push(heap_count, heap_pair, heaped, key, count[pair], pair)
                heaped += 1
    return learned, learned_count, made


@njit(cache=True, nogil=True)
def _find(slots: Any, key: Any, wanted: int) -> int:
    """The slot of a pair, or the free slot where it belongs."""
    mask = slots.size - 1
    slot = ((wanted * _GOLDEN) >> 32) & mask
    while slots[slot] > 0 and key[slots[slot] - 1] != wanted:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _placed(key: Any, pairs: int, size: int) -> Any:
    """A slot table of `size`, a power of two, that holds the pairs."""
    slots = np.zeros(size, dtype=np.int32)
    for pair in range(pairs):
        slots[_find(slots, key, key[pair])] = pair + 1
    return slots


@njit(cache=True, nogil=True)
def _grown(array: Any) -> Any:
    """The same with twice the room."""
    larger = np.empty(array.size * 2, dtype=array.dtype)
    for i in range(array.size):
        larger[i] = array[i]
    return larger


@njit(cache=True, nogil=True)
def _push(heap_count: Any, heap_pair: Any, size: int, key: Any, count: int, pair: int) -> None:
    """Adds to the heap: highest count first, then the smallest key (left id, right id)."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        other = heap_count[parent]
        if other > count or (other == count and key[heap_pair[parent]] < key[pair]):
            break
        heap_count[at], heap_pair[at] = other, heap_pair[parent]
        at = parent
    heap_count[at], heap_pair[at] = count, pair


@njit(cache=True, nogil=True)
def _pop(heap_count: Any, heap_pair: Any, size: int, key: Any) -> None:
    """Takes the top away; `size` is what stays."""
    count, pair = heap_count[size], heap_pair[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        second = child + 1
        if second < size and (
            heap_count[second] > heap_count[child]
            or (
                heap_count[second] == heap_count[child]
                and key[heap_pair[second]] < key[heap_pair[child]]
            )
        ):
            child = second
        other = heap_count[child]
        if count > other or (count == other and key[pair] < key[heap_pair[child]]):
            break
        heap_count[at], heap_pair[at] = other, heap_pair[child]
        at = child
    heap_count[at], heap_pair[at] = count, pair
