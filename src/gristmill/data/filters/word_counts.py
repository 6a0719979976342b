"""The compiled counts of a text's words: word lists, stop words, distinct words, the top word."""

from __future__ import annotations

import numpy as np
from numba import njit

from gristmill.data.filters.lexicon import PREFIX_BIT, STOP_SHIFT
from gristmill.data.filters.scanning import lowest
from gristmill.data.filters.statistic_names import INDEX, NAMES
from gristmill.data.ngrams import BASE, mix

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_STOP_WORDS, _DISTINCT = INDEX["stop_words"], INDEX["distinct_words"]
_TOP = INDEX["top_word"]
_CATEGORY_START = len(NAMES)
_CATEGORIES = PREFIX_BIT - 1


@njit(cache=True, nogil=True)
def count_words(  # type: ignore[no-untyped-def]
    word_hash, core_hash, starts, keys, values, categories, exact_stops, times, out
):
    """From the words of `kernel.read_texts`, into out[d].

    keys, values: a lexicon's table, `categories` how many categories it has; the first is that of
    function words. exact_stops: stop words count only as they are written in the list.
    times: int32, written: how often each word's core stands in its text; 2 where it has none.
    """
    longest = 0
    for document in range(len(starts) - 1):
        longest = max(longest, starts[document + 1] - starts[document])
    size = 64
    while size < 2 * longest:
        size *= 2
    # One open-addressed table of the words of a text; a place whose stamp is old is empty.
    key = np.empty(size, np.uint64)
    stamp = np.zeros(size, np.int32)
    tally = np.empty(size, np.int32)
    meaning = np.empty(size, np.uint32)
    places = np.empty(longest, np.int32)
    until = np.empty(categories, np.int64)
    lexicon_mask = np.int64(len(keys) - 1)
    for document in range(len(starts) - 1):
        start, stop = starts[document], starts[document + 1]
        epoch = document + 1
        mask = 63
        # Half of the words of a text stand in it before: so much room is enough, and near.
        while 4 * mask < 5 * (stop - start):
            mask = 2 * mask + 1
        row = out[document]
        stops = _ZERO
        distinct = top = 0
        until[:] = 0
        for i in range(start, stop):
            wanted = core_hash[i]
            if wanted == _ZERO:
                places[i - start] = -1
                continue
            place = np.int64(wanted & np.uint64(mask))
            while stamp[place] == epoch and key[place] != wanted:
                place = (place + 1) & mask
            places[i - start] = place
            if stamp[place] == epoch:
                tally[place] += 1
            else:
                # A word's meaning is looked up where it stands first.
                distinct += 1
                stamp[place] = epoch
                key[place] = wanted
                tally[place] = 1
                meaning[place] = _meaning(keys, values, lexicon_mask, mix(wanted))
            value = meaning[place]
            if value & 1 == 0 and tally[place] > top:
                top = tally[place]
            if value == 0:
                continue
            # Follow the phrases that begin here for as long as one goes on.
            state = mix(wanted)
            j = i
            while True:
                stopping = value >> STOP_SHIFT
                if stopping and (not exact_stops or word_hash[j] == core_hash[j]):
                    stops |= _ONE << np.uint64(stopping)
                bits = np.int64(value) & _CATEGORIES
                while bits:
                    category = lowest(bits)
                    bits &= bits - 1
                    row[_CATEGORY_START + categories + category] += 1
                    row[_CATEGORY_START + category] += max(0, j + 1 - max(i, until[category]))
                    until[category] = max(until[category], j + 1)
                j += 1
                if not value & PREFIX_BIT or j == stop or core_hash[j] == _ZERO:
                    break
                state = mix((state * BASE) ^ core_hash[j])
                value = _meaning(keys, values, lexicon_mask, state)
                if value == 0:
                    break
        for i in range(start, stop):
            place = places[i - start]
            times[i] = tally[place] if place >= 0 else 2
        found = 0
        while stops:
            stops &= stops - _ONE
            found += 1
        row[_STOP_WORDS] = found
        row[_DISTINCT] = distinct
        row[_TOP] = top


@njit(cache=True, nogil=True)
def _meaning(keys, values, mask, state):  # type: ignore[no-untyped-def]
    """What the lexicon says of the phrase with this hash; 0 where it says nothing."""
    at = np.int64(state & np.uint64(mask))
    while keys[at] != _ZERO:
        if keys[at] == state:
            return values[at]
        at = (at + 1) & mask
    return np.uint32(0)
