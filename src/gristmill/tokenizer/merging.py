"""Learning the merges of byte-level BPE (Sennrich, Haddow and Birch 2016, algorithm 1).

At every step the most frequent pair of neighbouring tokens becomes a new token. Ties go by a fixed
rule (`ties.Ties`). The result depends on the counted pretokens alone, not on their order.

No two merges make the same bytes. Inside a stretch of text which no merge crosses, merges do not
depend on what stands around it, so a second occurrence of the bytes goes the way of the first.

The work goes in rounds, each down to a count. A pair's count only falls once it is made, so a round
needs no pair that begins below its count: where pairs stand is kept for the others alone, which is
a small part of all, and the next round finds the rest again in words that are shorter by then.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.counting import PretokenCounts
from gristmill.tokenizer.eight_bytes import inlined, kernel
from gristmill.tokenizer.ties import Ties

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer
_BORDER = -1
_GAP = -2


def learn_merges(
    pretokens: PretokenCounts,
    merges: int,
    *,
    min_frequency: int = 2,
    max_token_length: int | None = 64,
    ties: Ties = "lowest-ids",
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The pairs to merge, in order, int32 of shape (n, 2), and the count of each when chosen.

    Ids 0 to 255 are the bytes; merge k makes id 256 + k. Fewer than `merges` come back where no
    pair is left that occurs `min_frequency` times and is at most `max_token_length` bytes long
    (None: any length).
    """
    if ties not in get_args(Ties):
        raise GristmillError(
            f"'{ties}' is not a rule for ties", mend=f"choose one of {', '.join(get_args(Ties))}"
        )
    useful = np.flatnonzero(pretokens.lengths > 1)
    lengths = pretokens.lengths[useful]
    size = int(lengths.sum()) + useful.size + 1
    if size >= 2**31:
        raise GristmillError(
            f"the text has {size:,} bytes of distinct pretokens, more than training can hold",
            mend="train on a sample of the documents, or leave rare pretokens out (min_count)",
        )
    pairs, counts, made = _learn(
        _symbols(pretokens.arena, pretokens.starts[useful], lengths, size),
        pretokens.counts[useful],
        merges,
        max(1, min_frequency),
        2**31 if max_token_length is None else max_token_length,
        ties == "greatest-bytes",
    )
    return pairs[:made].copy(), counts[:made].copy()


@njit(cache=True, nogil=True)
def _symbols(arena: Any, starts: Any, lengths: Any, size: int) -> Any:
    """All pretokens as tokens of one byte, a border before, between and behind them."""
    symbols = np.empty(size, dtype=np.int32)
    symbols[0] = _BORDER
    at = 1
    for word in range(starts.size):
        for i in range(starts[word], starts[word] + lengths[word]):
            symbols[at] = arena[i]
            at += 1
        symbols[at] = _BORDER
        at += 1
    return symbols


@njit(cache=True, nogil=True)
def _learn(
    symbols: Any,
    weights: Any,
    merges: int,
    min_frequency: int,
    max_token_length: int,
    by_bytes: bool,
) -> Any:
    # A token of several slots has its id in the first, and minus its width in the second and in
    # the last, so that both neighbours are found from it; what lies between is negative too.
    size = symbols.size
    vocabulary = 256 + merges
    learned = np.empty((merges, 2), dtype=np.int32)
    learned_count = np.empty(merges, dtype=np.int64)
    made = 0
    token_length = np.ones(vocabulary, dtype=np.int64)
    spelled = np.empty(max(vocabulary, 1024), dtype=np.uint8)
    spelled_at = np.empty(vocabulary, dtype=np.int64)
    spelled_used = 256
    for byte in range(256):
        spelled[byte] = byte
        spelled_at[byte] = byte

    # The pairs of a round, and a table from pair to number: key and number side by side.
    room = 1 << 12
    key = np.empty(room, dtype=np.int64)
    count = np.empty(room, dtype=np.int64)
    first = np.empty(room, dtype=np.int64)
    number = np.empty(room, dtype=np.int64)
    heap_count = np.empty(room, dtype=np.int64)
    heap_pair = np.empty(room, dtype=np.int64)
    # Where they stand: slot and word, those of one pair together and in ascending order.
    place = np.empty(1 << 12, dtype=np.int32)
    place_word = np.empty(1 << 12, dtype=np.int32)
    # The pairs that one merge makes hold the new token on one side: found by the other side.
    before = np.full(vocabulary, -1, dtype=np.int32)
    after = np.full(vocabulary, -1, dtype=np.int32)
    fresh_key = np.empty(2 * vocabulary, dtype=np.int64)
    fresh_count = np.empty(2 * vocabulary, dtype=np.int64)
    fresh_number = np.empty(2 * vocabulary, dtype=np.int64)
    event = np.empty(1 << 12, dtype=np.int32)
    event_place = np.empty(1 << 12, dtype=np.int32)
    event_word = np.empty(1 << 12, dtype=np.int32)

    frequent = np.empty(64, dtype=np.int64)
    of_bytes = np.zeros(1 << 16, dtype=np.int32)
    at: Any
    floor: Any
    pair: Any
    made_pair: Any
    while made < merges:
        size = _compact(symbols, size, weights)
        sums = _sums(symbols, size, weights, made == 0)
        # The count of this round: a power of two which about as many pairs reach as there are
        # tokens to make; in the first round, of pairs of bytes, an eighth of that.
        for power in range(64):
            frequent[power] = 0
        for slot in range(0, sums.size, 2):
            if sums[slot] >= 0 and sums[slot + 1] >= min_frequency:
                one, two = sums[slot] >> 32, sums[slot] & 0xFFFFFFFF
                if token_length[one] + token_length[two] <= max_token_length:
                    power = 0
                    while sums[slot + 1] >> (power + 1):
                        power += 1
                    frequent[power] += 1
        wanted = (merges - made) // 8 if made == 0 else (merges - made)
        power, reached = 63, 0
        while power > 0 and (reached == 0 or reached + frequent[power - 1] <= wanted):
            power -= 1
            reached += frequent[power]
        if reached == 0:
            break
        floor = max(min_frequency, np.int64(1) << power)
        # Pair 0 stands for all that are too rare.
        pairs, heaped = 1, 0
        key[0], count[0], number[0] = -1, 0, 0
        table = _empty_table(room * 4)
        for slot in range(0, sums.size, 2):
            if sums[slot] < 0 or sums[slot + 1] < floor:
                continue
            one, two = sums[slot] >> 32, sums[slot] & 0xFFFFFFFF
            if token_length[one] + token_length[two] > max_token_length:
                continue
            if pairs == room:
                room *= 2
                key, count = _grown(key), _grown(count)
                first, number = _grown(first), _grown(number)
                heap_count, heap_pair = _grown(heap_count), _grown(heap_pair)
                table = _enlarged(table)
            key[pairs], count[pairs], number[pairs] = sums[slot], sums[slot + 1], 0
            found = _find(table, sums[slot])
            table[found], table[found + 1] = sums[slot], pairs
            pairs += 1
        sums = _empty_table(1)
        for pair in range(1, pairs):
            _push(heap_count, heap_pair, heaped, count[pair], pair,
                  key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
            heaped += 1

        # At first, of bytes alone, pairs are found without the table.
        if made == 0:
            for slot in range(0, table.size, 2):
                if table[slot] >= 0:
                    of_bytes[(table[slot] >> 24) | (table[slot] & 0xFF)] = table[slot + 1]
        # First how often each pair stands somewhere, then where.
        placed = 0
        for filling in range(2):
            if filling:
                for pair in range(1, pairs):
                    first[pair] = placed
                    placed += number[pair]
                    number[pair] = 0
                while placed > place.size:
                    place, place_word = _grown(place), _grown(place_word)
            word = 0
            for at in range(1, size - 1):
                one, two = np.int64(symbols[at]), np.int64(symbols[at + 1])
                if one < 0:
                    word += 1
                elif two >= 0:
                    if made == 0:
                        pair = np.int64(of_bytes[one << 8 | two])
                    else:
                        pair = table[_find(table, one << 32 | two) + 1]
                    if filling and pair > 0:
                        place[first[pair] + number[pair]] = at
                        place_word[first[pair] + number[pair]] = word
                    number[pair] += 1

        while made < merges and heaped > 0:
            best_count, best = heap_count[0], heap_pair[0]
            heaped -= 1
            _pop(heap_count, heap_pair, heaped, key, by_bytes, spelled, spelled_at, token_length)
            # Counts only fall once a pair is made, so an entry of the heap is too high or right.
            if count[best] != best_count:
                if count[best] >= floor:
                    _push(heap_count, heap_pair, heaped, count[best], best,
                          key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
                    heaped += 1
                continue
            left, right = key[best] >> 32, key[best] & 0xFFFFFFFF
            new = 256 + made
            learned[made, 0], learned[made, 1] = left, right
            learned_count[made] = best_count
            length = token_length[left] + token_length[right]
            token_length[new] = length
            if by_bytes:
                while spelled_used + length > spelled.size:
                    spelled = _grown(spelled)
                spelled_at[new] = spelled_used
                for token in (left, right):
                    for i in range(spelled_at[token], spelled_at[token] + token_length[token]):
                        spelled[spelled_used] = spelled[i]
                        spelled_used += 1
            made += 1

            while event.size < 2 * number[best]:
                event = _grown(event)
                event_place, event_word = _grown(event_place), _grown(event_word)
            fresh, events = 0, 0
            for i in range(first[best], first[best] + number[best]):
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
                        fresh_count[after[left]] -= weight
                    else:
                        count[table[_find(table, neighbour << 32 | left) + 1]] -= weight
                    made_pair = np.int64(before[neighbour])
                    if made_pair < 0:
                        made_pair = fresh
                        fresh += 1
                        fresh_key[made_pair] = neighbour << 32 | new
                        fresh_count[made_pair] = 0
                        fresh_number[made_pair] = 0
                        before[neighbour] = made_pair
                    fresh_count[made_pair] += weight
                    fresh_number[made_pair] += 1
                    event[events], event_place[events] = made_pair, start
                    event_word[events] = word
                    events += 1
                neighbour = np.int64(symbols[end])
                if neighbour >= 0:
                    count[table[_find(table, right << 32 | neighbour) + 1]] -= weight
                    made_pair = np.int64(after[neighbour])
                    if made_pair < 0:
                        made_pair = fresh
                        fresh += 1
                        fresh_key[made_pair] = np.int64(new) << 32 | neighbour
                        fresh_count[made_pair] = 0
                        fresh_number[made_pair] = 0
                        after[neighbour] = made_pair
                    fresh_count[made_pair] += weight
                    fresh_number[made_pair] += 1
                    event[events], event_place[events] = made_pair, at
                    event_word[events] = word
                    events += 1
                symbols[middle] = _GAP
                symbols[at] = new
                symbols[at + 1] = at - end
                symbols[end - 1] = at - end
            count[best] = 0

            # From here on the fresh pair's number is the place that its next occurrence goes to.
            for made_pair in range(fresh):
                one, two = fresh_key[made_pair] >> 32, fresh_key[made_pair] & 0xFFFFFFFF
                if two == new:
                    before[one] = -1
                if one == new:
                    after[two] = -1
                occurrences = fresh_number[made_pair]
                fresh_number[made_pair] = -1
                if (
                    fresh_count[made_pair] < floor
                    or token_length[one] + token_length[two] > max_token_length
                ):
                    continue
                if pairs == room:
                    room *= 2
                    key, count = _grown(key), _grown(count)
                    first, number = _grown(first), _grown(number)
                    heap_count, heap_pair = _grown(heap_count), _grown(heap_pair)
                    table = _enlarged(table)
                key[pairs], count[pairs] = fresh_key[made_pair], fresh_count[made_pair]
                first[pairs], number[pairs] = placed, occurrences
                fresh_number[made_pair] = placed
                placed += occurrences
                slot = _find(table, key[pairs])
                table[slot], table[slot + 1] = key[pairs], pairs
                _push(heap_count, heap_pair, heaped, count[pairs], pairs,
                      key, by_bytes, spelled, spelled_at, token_length)  # fmt: skip
                heaped += 1
                pairs += 1
            while placed > place.size:
                place, place_word = _grown(place), _grown(place_word)
            for i in range(events):
                to = fresh_number[event[i]]
                if to >= 0:
                    place[to], place_word[to] = event_place[i], event_word[i]
                    fresh_number[event[i]] = to + 1
    return learned, learned_count, made


@kernel
def _compact(symbols: Any, size: int, weights: Any) -> int:
    """Every token into one slot, without the words that are one token; the new size."""
    at, to = 1, 1
    word, kept = 0, 0
    begin = to
    while at < size:
        symbol = symbols[at]
        symbols[to] = symbol
        to += 1
        at += 1
        if symbol == _BORDER:
            if to - begin > 2:
                weights[kept] = weights[word]
                kept += 1
                begin = to
            else:
                to = begin
            word += 1
        elif at < size and symbols[at] < _BORDER:
            at += -symbols[at] - 1
    return to


@njit(cache=True, nogil=True)
def _sums(symbols: Any, size: int, weights: Any, of_bytes: bool) -> Any:
    """A table of all pairs of neighbours and the weight of their words.

    of_bytes: all tokens are bytes; pairs are then counted without the table.
    """
    table = _empty_table(1 << 14)
    byte_sums = np.zeros(1 << 16 if of_bytes else 1, dtype=np.int64)
    pairs = 0
    word = 0
    for at in range(1, size - 1):
        one, two = np.int64(symbols[at]), np.int64(symbols[at + 1])
        if one < 0:
            word += 1
        elif two < 0:
            continue
        elif of_bytes:
            byte_sums[one << 8 | two] += weights[word]
        else:
            slot = _find(table, one << 32 | two)
            if table[slot] < 0:
                if pairs * 4 >= table.size:
                    table = _enlarged(table)
                    slot = _find(table, one << 32 | two)
                table[slot] = one << 32 | two
                pairs += 1
            table[slot + 1] += weights[word]
    if of_bytes:
        while table.size < 1 << 18:
            table = _enlarged(table)
        for pair in range(1 << 16):
            if byte_sums[pair]:
                slot = _find(table, np.int64(pair >> 8) << 32 | (pair & 0xFF))
                table[slot] = np.int64(pair >> 8) << 32 | (pair & 0xFF)
                table[slot + 1] = byte_sums[pair]
    return table


@inlined
def _width(slot: Any) -> Any:
    """Slots of the token that this slot lies in, if it is the second or the last of several."""
    return max(1, -np.int64(slot))


@inlined
def _find(table: Any, wanted: int) -> int:
    """Where the table, of pairs and a number for each, holds a pair, or would hold it."""
    mask = (table.size >> 1) - 1
    slot = ((wanted * _GOLDEN) >> 32) & mask
    while table[2 * slot] != wanted and table[2 * slot] >= 0:
        slot = (slot + 1) & mask
    return 2 * slot


@njit(cache=True, nogil=True)
def _empty_table(pairs: int) -> Any:
    table = np.empty(2 * pairs, dtype=np.int64)
    for i in range(0, table.size, 2):
        table[i], table[i + 1] = -1, 0
    return table


@njit(cache=True, nogil=True)
def _enlarged(table: Any) -> Any:
    """The same with twice the room."""
    larger = _empty_table(table.size)
    for slot in range(0, table.size, 2):
        if table[slot] >= 0:
            to = _find(larger, table[slot])
            larger[to], larger[to + 1] = table[slot], table[slot + 1]
    return larger


@njit(cache=True, nogil=True)
def _grown(array: Any) -> Any:
    """The same with twice the room."""
    larger = np.empty(array.size * 2, dtype=array.dtype)
    for i in range(array.size):
        larger[i] = array[i]
    return larger


@inlined
def _first(
    one: int, two: int, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any
) -> bool:
    """Whether of two equally frequent pairs the first one is merged first."""
    if not by_bytes:
        return one < two
    for shift in (32, 0):
        a, b = (one >> shift) & 0xFFFFFFFF, (two >> shift) & 0xFFFFFFFF
        if a == b:
            continue
        common = min(token_length[a], token_length[b])
        for i in range(common):
            x, y = spelled[spelled_at[a] + i], spelled[spelled_at[b] + i]
            if x != y:
                return x > y
        return token_length[a] > token_length[b]
    return False


@kernel
def _push(
    heap_count: Any, heap_pair: Any, size: int, count: int, pair: int,
    key: Any, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any,
) -> None:  # fmt: skip
    """Adds to the heap: highest count first, then the first by the rule for ties."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        other = heap_count[parent]
        if other > count or (
            other == count
            and _first(
                key[heap_pair[parent]], key[pair], by_bytes, spelled, spelled_at, token_length
            )
        ):
            break
        heap_count[at], heap_pair[at] = other, heap_pair[parent]
        at = parent
    heap_count[at], heap_pair[at] = count, pair


@kernel
def _pop(
    heap_count: Any, heap_pair: Any, size: int,
    key: Any, by_bytes: bool, spelled: Any, spelled_at: Any, token_length: Any,
) -> None:  # fmt: skip
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
                and _first(
                    key[heap_pair[second]], key[heap_pair[child]],
                    by_bytes, spelled, spelled_at, token_length,
                )
            )
        ):  # fmt: skip
            child = second
        other = heap_count[child]
        if count > other or (
            count == other
            and _first(
                key[pair], key[heap_pair[child]], by_bytes, spelled, spelled_at, token_length
            )
        ):
            break
        heap_count[at], heap_pair[at] = other, heap_pair[child]
        at = child
    heap_count[at], heap_pair[at] = count, pair
