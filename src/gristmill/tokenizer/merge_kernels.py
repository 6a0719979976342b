"""The compiled loop that merges: the most frequent pair, again and again.

The text is the row of symbols of `pair_numbers.py`. A token of several slots has its id in the
first, and minus its width in the second and in the last, so that both neighbours are found from it;
what lies between is negative too.

The loop makes no arrays: it stops where one is full, says which, and goes on from `state` when it
is called again with a larger one. What is read soon is asked for some dozens of places ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.tokenizer.eight_bytes import inlined, kernel, prefetch
from gristmill.tokenizer.pair_heap import pop, push, sink
from gristmill.tokenizer.pair_numbers import AHEAD, GAP

MADE, PAIRS, HEAPED, PLACED, SPELLED = range(5)
"""What goes from call to call: merges made, pairs, entries of the heap, places, bytes of tokens."""
FINISHED, FULL_PAIRS, FULL_PLACES, FULL_EVENTS, FULL_SPELLED = range(5)

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer


@kernel
def put_pairs(key: Any, first: int, last: int, table: Any) -> None:
    """Enters pairs into the table of `merge_on`: key and pair, alternately."""
    for pair in range(first, last):
        slot = _find(table, key[pair])
        table[slot], table[slot + 1] = key[pair], pair


@kernel
def heap_pairs(
    count: Any, heap_count: Any, heap_pair: Any,
    key: Any, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any, state: Any,
) -> None:  # fmt: skip
    """All pairs into an empty heap."""
    for pair in range(1, state[PAIRS]):
        push(heap_count, heap_pair, pair - 1, count[pair], pair,
             key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
    state[HEAPED] = state[PAIRS] - 1


@kernel
def merge_on(
    symbols: Any, weights: Any, learned: Any, learned_count: Any,
    key: Any, count: Any, first: Any, number: Any, heap_count: Any, heap_pair: Any, table: Any,
    place: Any, place_word: Any, event: Any, event_place: Any, event_word: Any,
    before: Any, after: Any, fresh: Any,
    by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any,
    floor: int, max_token_length: int, state: Any,
) -> int:  # fmt: skip
    """Merges until all merges are made or no pair is left that occurs `floor` times.

    before, after: of each token, the pair that this merge made of it and the new token, or -1.
    fresh: of each such pair its key, its count, how often its old pair is gone, and how many
    places it has; later, where the next of its places goes to.
    """
    made, pairs, heaped = state[MADE], state[PAIRS], state[HEAPED]
    placed, spelled_used = state[PLACED], state[SPELLED]
    outcome = FINISHED
    made_pair: Any
    while made < learned_count.size and heaped > 0:
        best_count, best = heap_count[0], heap_pair[0]
        # Counts only fall once a pair is made, so an entry of the heap is too high or right.
        if count[best] != best_count:
            if count[best] >= floor:
                sink(heap_count, heap_pair, heaped, count[best], best,
                     key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
            else:
                heaped -= 1
                pop(heap_count, heap_pair, heaped,
                    key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
            continue
        left, right = key[best] >> 32, key[best] & 0xFFFFFFFF
        new = 256 + made
        length = token_length[left] + token_length[right]
        most = 2 * number[best]
        if pairs + min(most, 2 * new + 2) > key.size:
            outcome = FULL_PAIRS
        elif placed + most > place.size:
            outcome = FULL_PLACES
        elif most > event.size:
            outcome = FULL_EVENTS
        elif by_bytes and spelled_used + length > spelled.size:
            outcome = FULL_SPELLED
        if outcome != FINISHED:
            break
        heaped -= 1
        pop(heap_count, heap_pair, heaped, key, by_bytes, spelled, spelled_at, token_length)
        learned[made, 0], learned[made, 1] = left, right
        learned_count[made] = best_count
        token_length[new] = length
        if by_bytes:
            spelled_at[new] = spelled_used
            for token in (left, right):
                for i in range(spelled_at[token], spelled_at[token] + token_length[token]):
                    spelled[spelled_used] = spelled[i]
                    spelled_used += 1
        made += 1

        pairs_before, made_pairs, events = pairs, 0, 0
        begin, end_of_places = first[best], first[best] + number[best]
        while begin < end_of_places:
            last = min(begin + AHEAD, end_of_places)
            for i in range(begin, last):
                prefetch(symbols, place[i])
                prefetch(weights, place_word[i])
            for i in range(begin, last):
                at = np.int64(place[i])
                if symbols[at] != left:
                    continue
                # The occurrence may be gone: an earlier merge took one of its sides.
                middle = at + _width(symbols[at + 1])
                if symbols[middle] != right:
                    continue
                end = middle + _width(symbols[middle + 1])
                word = place_word[i]
                weight = weights[word]
                start = at - _width(symbols[at - 1])
                neighbour = np.int64(symbols[start])
                if neighbour >= 0:
                    if neighbour == new:
                        fresh[4 * after[left] + 1] -= weight
                    made_pair = np.int64(before[neighbour])
                    if made_pair < 0:
                        made_pair = made_pairs
                        made_pairs += 1
                        before[neighbour] = made_pair
                        _begin_pair(fresh, made_pair, neighbour << 32 | new)
                        prefetch(table, _place_of(table, neighbour << 32 | left))
                    _count_pair(fresh, made_pair, weight)
                    event[events], event_place[events] = made_pair, start
                    event_word[events] = word
                    events += 1
                neighbour = np.int64(symbols[end])
                if neighbour >= 0:
                    made_pair = np.int64(after[neighbour])
                    if made_pair < 0:
                        made_pair = made_pairs
                        made_pairs += 1
                        after[neighbour] = made_pair
                        _begin_pair(fresh, made_pair, np.int64(new) << 32 | neighbour)
                        prefetch(table, _place_of(table, right << 32 | neighbour))
                    _count_pair(fresh, made_pair, weight)
                    event[events], event_place[events] = made_pair, at
                    event_word[events] = word
                    events += 1
                symbols[middle] = GAP
                symbols[at] = new
                symbols[at + 1] = at - end
                symbols[end - 1] = at - end
            begin = last

        # Each occurrence of a pair that was made is one less of the pair that stood there: of
        # (neighbour, left) or (right, neighbour). Where the neighbour itself was merged just now
        # the table has no such pair yet, and pair 0 is counted down, which nobody reads.
        for made_pair in range(made_pairs):
            one, two = fresh[4 * made_pair] >> 32, fresh[4 * made_pair] & 0xFFFFFFFF
            old = right << 32 | two
            if two == new:
                before[one] = -1
                old = one << 32 | left
            else:
                after[two] = -1
            count[table[_find(table, old) + 1]] -= fresh[4 * made_pair + 2]
            occurrences = fresh[4 * made_pair + 3]
            fresh[4 * made_pair + 3] = -1
            if (
                fresh[4 * made_pair + 1] < floor
                or length + token_length[one if two == new else two] > max_token_length
            ):
                continue
            key[pairs], count[pairs] = fresh[4 * made_pair], fresh[4 * made_pair + 1]
            first[pairs], number[pairs] = placed, occurrences
            fresh[4 * made_pair + 3] = placed
            placed += occurrences
            prefetch(table, _place_of(table, key[pairs]))
            pairs += 1
        count[best] = 0
        for pair in range(pairs_before, pairs):
            slot = _find(table, key[pair])
            table[slot], table[slot + 1] = key[pair], pair
            push(heap_count, heap_pair, heaped, count[pair], pair,
                 key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
            heaped += 1
        for i in range(events):
            to = fresh[4 * event[i] + 3]
            if to >= 0:
                place[to], place_word[to] = event_place[i], event_word[i]
                fresh[4 * event[i] + 3] = to + 1
    state[MADE], state[PAIRS], state[HEAPED] = made, pairs, heaped
    state[PLACED], state[SPELLED] = placed, spelled_used
    return outcome


@inlined
def _begin_pair(fresh: Any, pair: int, key: int) -> None:
    fresh[4 * pair] = key
    for i in range(1, 4):
        fresh[4 * pair + i] = 0


@inlined
def _count_pair(fresh: Any, pair: int, weight: int) -> None:
    fresh[4 * pair + 1] += weight
    fresh[4 * pair + 2] += weight
    fresh[4 * pair + 3] += 1


@inlined
def _width(slot: Any) -> Any:
    """Slots of the token that this slot lies in, if it is the second or the last of several."""
    return max(1, -np.int64(slot))


@inlined
def _place_of(table: Any, key: int) -> int:
    """Where a pair would best stand."""
    return 2 * ((key * _GOLDEN >> 32) & ((table.size >> 1) - 1))


@inlined
def _find(table: Any, wanted: int) -> int:
    """Where the table, of pairs and a number for each, holds a pair, or would hold it."""
    slot = _place_of(table, wanted)
    while table[slot] != wanted and table[slot] >= 0:
        slot = (slot + 2) & (table.size - 1)
    return slot
