"""The compiled counts of a text's n-grams: the most frequent of 2 to 4 words, repeated 5 to 10."""

from __future__ import annotations

import numpy as np
from numba import njit

from gristmill.data.filters.statistic_names import INDEX
from gristmill.data.ngrams import BASE, mix

_GRAM_START = INDEX["top_2_gram"]
_COUNT_START = INDEX["top_2_gram_count"]


_BUCKET_SHIFT = np.uint64(50)


@njit(cache=True, nogil=True)
def count_n_grams(word_hash, word_length, starts, times, out):  # type: ignore[no-untyped-def]
    """From the words of `kernel.read_texts` and what `word_counts.count_words` says of them.

    An n-gram stands twice only where the (n - 1)-grams in it stand twice: each n looks only at the
    places that the one before has left.
    """
    longest = 0
    for document in range(len(starts) - 1):
        longest = max(longest, starts[document + 1] - starts[document])
    size = 64
    while size < 2 * longest:
        size *= 2
    key = np.empty(size, np.uint64)
    stamp = np.zeros(size, np.int32)
    tally = np.empty(size, np.int32)
    first = np.empty(size, np.int32)
    gram = np.empty(longest, np.uint64)
    at = np.empty(longest, np.int32)
    slot = np.empty(longest, np.int32)
    buckets = np.zeros(1 << 14, np.uint8)
    epoch = 0
    for document in range(len(starts) - 1):
        start = starts[document]
        words = starts[document + 1] - start
        row = out[document]
        # Where a 2-gram may stand that stands twice: both its words do, and two that fall into
        # the same one of 16,384 buckets.
        places = 0
        # What is listed is overwritten by the next place unless it counts: processors cannot guess
        # which words stand twice.
        for i in range(words - 1):
            mixed = word_hash[start + i] * BASE + word_hash[start + i + 1]
            bucket = np.int32(mixed >> _BUCKET_SHIFT)
            twice = (times[start + i] > 1) & (times[start + i + 1] > 1)
            at[places] = i
            slot[places] = bucket
            buckets[bucket] = min(2, buckets[bucket] + np.uint8(twice))
            places += twice
        left = 0
        for k in range(places):
            i = at[k]
            at[left] = i
            gram[left] = word_hash[start + i]
            left += buckets[slot[k]] > 1
        for k in range(places):
            buckets[slot[k]] = 0
        places = left
        for n in range(2, 11):
            if words < n:
                break
            epoch += 1
            best, best_at = 1, 0
            mask = 63
            while 4 * mask < 5 * places:
                mask = 2 * mask + 1
            for k in range(places):
                i = at[k]
                gram[k] = gram[k] * BASE + word_hash[start + i + n - 1]
                wanted = mix(gram[k])
                place = np.int64(wanted & np.uint64(mask))
                while stamp[place] == epoch and key[place] != wanted:
                    place = (place + 1) & mask
                slot[k] = place
                met = stamp[place] == epoch
                count = tally[place] + 1 if met else 1
                stamp[place] = epoch
                key[place] = wanted
                tally[place] = count
                first[place] = first[place] if met else i
                if count >= max(2, best) and (count > best or first[place] < best_at):
                    best, best_at = count, first[place]
            left = 0
            for k in range(places):
                twice = tally[slot[k]] > 1
                at[left], gram[left], slot[left] = at[k], gram[k], slot[k]
                left += twice
            places = left
            if n <= 4:
                length = n - 1
                for i in range(best_at, best_at + n):
                    length += word_length[start + i]
                row[_GRAM_START + n - 2] = length * best
                row[_COUNT_START + n - 2] = best
            elif places:
                # `first` is free now: -1 marks an n-gram that this walk has met.
                characters = 0
                free = 0
                for k in range(places):
                    if at[k] < free:
                        continue
                    if first[slot[k]] >= 0:
                        first[slot[k]] = -1
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
