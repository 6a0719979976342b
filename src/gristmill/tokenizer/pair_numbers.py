"""The compiled loops that find the pairs of a text, how often each occurs, and where.

A text is one row of symbols, int32: the ids of tokens, each in a slot of its own, and a border
before, between and behind the words. Tokens of several slots, as `merge_kernels.py` leaves them,
have their id in the first, and minus their width in the second; `compact` brings them together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.tokenizer.eight_bytes import kernel, prefetch

BORDER, GAP = -1, -2
AHEAD = 64
"""Places for which memory is asked before it is needed: most of the time goes on waiting for it."""
FOUND, NEXT, WORD = range(3)
"""What goes from call to call of `number_pairs`: pairs found, the next slot, and its word."""

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer


@kernel
def lay_out(arena: Any, starts: Any, lengths: Any, symbols: Any) -> None:
    """All pretokens as tokens of one byte."""
    symbols[0] = BORDER
    at = 1
    for word in range(starts.size):
        for i in range(starts[word], starts[word] + lengths[word]):
            symbols[at] = arena[i]
            at += 1
        symbols[at] = BORDER
        at += 1


@kernel
def compact(symbols: Any, size: int, weights: Any) -> int:
    """Every token into one slot, without the words that are one token; the new size."""
    at, to = 1, 1
    word, kept = 0, 0
    begin = to
    while at < size:
        symbol = symbols[at]
        symbols[to] = symbol
        to += 1
        at += 1
        if symbol == BORDER:
            if to - begin > 2:
                weights[kept] = weights[word]
                kept += 1
                begin = to
            else:
                to = begin
            word += 1
        elif at < size and symbols[at] < BORDER:
            at += -symbols[at] - 1
    return to


@kernel
def number_bytes(symbols: Any, size: int, weights: Any, numbers: Any, sums: Any) -> None:
    """`number_pairs` where all tokens are bytes: a pair's number is its two bytes."""
    word = 0
    for at in range(1, size - 1):
        one, two = np.int64(symbols[at]), np.int64(symbols[at + 1])
        number = np.int64(BORDER)
        if one < 0:
            word += 1
        elif two < 0:
            number = np.int64(GAP)
        else:
            number = one << 8 | two
            sums[2 * number] += weights[word]
            sums[2 * number + 1] += 1
        numbers[at] = number


@kernel
def number_pairs(
    symbols: Any, size: int, weights: Any, numbers: Any, table: Any, slots: Any, state: Any
) -> bool:
    """A number for each pair of neighbours; `numbers`: of the pair at each slot.

    table: of each pair its key, number, the weight of its words, how often it stands somewhere.
    slots: room for AHEAD. False where the table is full: it goes on from `state` in a larger one.
    """
    mask = (table.size >> 2) - 1
    begin = state[NEXT]
    word = state[WORD]
    while begin < size - 1:
        if (state[FOUND] + AHEAD) * 8 > table.size:
            break
        end = min(begin + AHEAD, size - 1)
        for at in range(begin, end):
            one, two = np.int64(symbols[at]), np.int64(symbols[at + 1])
            slot = np.int64(-1)
            if one >= 0 and two >= 0:
                slot = ((one << 32 | two) * _GOLDEN >> 32) & mask
                prefetch(table, 4 * slot)
            slots[at - begin] = slot
        for at in range(begin, end):
            slot = slots[at - begin]
            if slot < 0:
                border = symbols[at] < 0
                numbers[at] = BORDER if border else GAP
                word += border
                continue
            key = np.int64(symbols[at]) << 32 | np.int64(symbols[at + 1])
            while table[4 * slot] != key:
                if table[4 * slot] < 0:
                    table[4 * slot] = key
                    table[4 * slot + 1] = state[FOUND]
                    state[FOUND] += 1
                    break
                slot = (slot + 1) & mask
            numbers[at] = table[4 * slot + 1]
            table[4 * slot + 2] += weights[word]
            table[4 * slot + 3] += 1
        begin = end
    state[NEXT] = begin
    state[WORD] = word
    return begin >= size - 1


@kernel
def move_numbered(table: Any, larger: Any) -> None:
    """The entries of the table of `number_pairs` into a larger, empty one."""
    mask = (larger.size >> 2) - 1
    for at in range(0, table.size, 4):
        if table[at] >= 0:
            slot = (table[at] * _GOLDEN >> 32) & mask
            while larger[4 * slot] >= 0:
                slot = (slot + 1) & mask
            for i in range(4):
                larger[4 * slot + i] = table[at + i]


@kernel
def find_places(
    size: int, numbers: Any, pair_of: Any, next_place: Any, place: Any, place_word: Any
) -> None:
    """Where each pair stands, slot and word, in ascending order. pair_of: the pair that a number
    is, 0 for those that are left out; next_place: of each pair, where its places begin."""
    word = 0
    for at in range(1, size - 1):
        number = numbers[at]
        if number < 0:
            word += number == BORDER
            continue
        pair = pair_of[number]
        if pair > 0:
            to = next_place[pair]
            place[to], place_word[to] = at, word
            next_place[pair] = to + 1
