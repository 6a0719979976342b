"""The compiled counts of a text's n-grams: the most frequent of 2 to 4 words, repeated 5 to 10."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gristmill.data.filters.statistic_names import INDEX
from gristmill.data.ngrams import BASE, mix
from gristmill.tokenizer.eight_bytes import kernel

_GRAM_START = INDEX["top_2_gram"]
_COUNT_START = INDEX["top_2_gram_count"]

BUCKETS: Final = 1 << 14
_BUCKET_SHIFT = np.uint64(50)
_ZERO, _ONE, _SHIFT = np.uint64(0), np.uint64(1), np.uint64(32)
_TALLY_BITS, _MET = np.uint64(0xFFFFFFFF), np.uint64(1 << 63)


@kernel
def count_n_grams(  # type: ignore[no-untyped-def]
    word_hash, word_length, starts, twice, table, gram, at, slot, buckets, out
):
    """From the words of `kernel.read_texts` and what `word_counts.count_words` says of them.

    table: uint64, two numbers for each place that `word_counts.table_size` tells of the longest
    text; gram: uint64, at, slot: int32, as many as it has words; what they hold does not matter.
    buckets: uint8 [BUCKETS], zeros before and after.
    """
    for document in range(len(starts) - 1):
        start = starts[document]
        words = starts[document + 1] - start
        places = _candidates(word_hash, start, words, twice, gram, at, slot, buckets)
        _count_text(
            word_hash, word_length, start, words, places, table, gram, at, slot, out[document]
        )


@kernel
def _candidates(word_hash, start, words, twice, gram, at, slot, buckets):  # type: ignore[no-untyped-def]
    """Where a 2-gram may stand that stands twice: both its words do, and two that fall into the
    same one of 16,384 buckets. Returns how many there are; their places and first words."""
    places = 0
    # What is listed is overwritten by the next place unless it counts: processors cannot guess
    # which words stand twice.
    for i in range(words - 1):
        mixed = word_hash[start + i] * BASE + word_hash[start + i + 1]
        bucket = np.int32(mixed >> _BUCKET_SHIFT)
        both = twice[start + i] & twice[start + i + 1]
        at[places] = i
        slot[places] = bucket
        # 0, 1, 3, 7: more than 1 where it was met before.
        buckets[bucket] = buckets[bucket] << both | both
        places += both
    left = 0
    for k in range(places):
        i = at[k]
        at[left] = i
        gram[left] = word_hash[start + i]
        left += buckets[slot[k]] > 1
    for k in range(places):
        buckets[slot[k]] = 0
    return left


@kernel
def _count_text(  # type: ignore[no-untyped-def]
    word_hash, word_length, start, words, places, table, gram, at, slot, row
):
    """An n-gram stands twice only where the (n - 1)-grams in it stand twice: each n looks only at
    the places that the one before has left."""
    for n in range(2, 11):
        if words < n:
            break
        # Each place: the hash of an n-gram, 0 where it is empty; where it stands first and how
        # often it does.
        best: Any = 1
        best_at: Any = 0
        size = 64
        while 4 * size <= 5 * places:
            size *= 2
        for k in range(2 * size):
            table[k] = _ZERO
        mask = np.uint64(size - 1)
        for k in range(places):
            i = at[k]
            gram[k] = gram[k] * BASE + word_hash[start + i + n - 1]
            wanted = mix(gram[k]) | _ONE
            place = wanted & mask
            while table[place + place] != wanted and table[place + place] != _ZERO:
                place = (place + _ONE) & mask
            met = table[place + place] == wanted
            entry = table[place + place + _ONE] + _ONE if met else np.uint64(i) << _SHIFT | _ONE
            table[place + place] = wanted
            table[place + place + _ONE] = entry
            slot[k] = np.int32(place)
            count = np.int64(entry & _TALLY_BITS)
            if count > 1 and count >= best:
                first = np.int64(entry >> _SHIFT)
                if count > best or first < best_at:
                    best, best_at = count, first
        left = 0
        for k in range(places):
            several = table[2 * slot[k] + 1] & _TALLY_BITS > _ONE
            at[left], gram[left], slot[left] = at[k], gram[k], slot[k]
            left += several
        places = left
        if n <= 4:
            length = n - 1
            for i in range(best_at, best_at + n):
                length += word_length[start + i]
            row[_GRAM_START + n - 2] = length * best
            row[_COUNT_START + n - 2] = best
        elif places:
            characters = free = 0
            for k in range(places):
                if at[k] < free:
                    continue
                if table[2 * slot[k] + 1] & _MET == _ZERO:
                    table[2 * slot[k] + 1] |= _MET
                    continue
                for i in range(at[k], at[k] + n):
                    characters += word_length[start + i]
                free = at[k] + n
            row[_GRAM_START + n - 2] = characters
        # The next n-gram needs the word after this one.
        while places and at[places - 1] + n >= words:
            places -= 1
        if places == 0 and n >= 4:
            break
