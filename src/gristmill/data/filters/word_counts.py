"""The compiled counts of a text's words: word lists, stop words, distinct words, the top word."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gristmill.data.filters.lexicon import PREFIX_BIT, STOP_SHIFT
from gristmill.data.filters.scanning import lowest, ones
from gristmill.data.filters.statistic_names import INDEX, NAMES
from gristmill.data.ngrams import BASE, mix
from gristmill.tokenizer.eight_bytes import kernel

_ZERO, _ONE, _TWO, _THREE = (np.uint64(number) for number in range(4))
_TALLY_BITS, _MEANING_SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_STOP_WORDS, _DISTINCT = INDEX["stop_words"], INDEX["distinct_words"]
_TOP = INDEX["top_word"]
_CATEGORY_START = len(NAMES)
_CATEGORIES = PREFIX_BIT - 1
ENTRY: Final = 3
"""Numbers of a word in the table."""


def table_size(longest: int) -> int:
    """Places that a text of `longest` words needs in the table."""
    return 1 << max(6, (max(1, longest) * 5 // 4).bit_length())


@kernel
def count_words(  # type: ignore[no-untyped-def]
    word_hash, core_hash, starts, keys, values, categories, exact_stops, table, until, twice, out
):
    """From the words of `kernel.read_texts`, into out[d].

    keys, values: a lexicon's table, `categories` how many categories it has; the first is that of
    function words. exact_stops: stop words count only as they are written in the list. table:
    uint64 [ENTRY * table_size(words of the longest text)]; until: int64 [categories]; what they
    hold does not matter. twice: uint8, written: whether each word's core stands in its text twice;
    1 where it has none.
    """
    for document in range(len(starts) - 1):
        _count_text(
            word_hash, core_hash, starts[document], starts[document + 1], keys, values, categories,
            exact_stops, table, until, twice, out[document],
        )  # fmt: skip


@kernel
def _count_text(  # type: ignore[no-untyped-def]
    word_hash, core_hash, start, stop, keys, values, categories, exact_stops, table, until, twice,
    row,
):  # fmt: skip
    # One open-addressed table of the words of a text, 0 where it is empty: a word's hash, what it
    # means and how often it stands, where it stands first. Half of the words of a text stand in it
    # before: so much room is enough, and near.
    mask = _ONE
    while mask < np.uint64(64) or np.uint64(4) * mask <= np.uint64(5) * np.uint64(stop - start):
        mask += mask
    for i in range(np.int64(_THREE * mask)):
        table[i] = _ZERO
    mask -= _ONE
    lexicon_mask = np.uint64(len(keys) - 1)
    stops = _ZERO
    distinct = 0
    top: Any = 0
    for category in range(categories):
        until[category] = 0
    for i in range(start, stop):
        wanted = core_hash[i]
        if wanted == _ZERO:
            twice[i] = 1
            continue
        place = wanted & mask
        at = _THREE * place
        while table[at] != _ZERO and table[at] != wanted:
            place = (place + _ONE) & mask
            at = _THREE * place
        if table[at] == wanted:
            entry = table[at + _ONE] + _ONE
            twice[i] = 1
            twice[table[at + _TWO]] = 1
        else:
            # A word's meaning is looked up where it stands first.
            distinct += 1
            table[at] = wanted
            table[at + _TWO] = np.uint64(i)
            meaning = _meaning(keys, values, lexicon_mask, mix(wanted))
            entry = np.uint64(meaning) << _MEANING_SHIFT | _ONE
            twice[i] = 0
        table[at + _ONE] = entry
        value = np.int64(entry >> _MEANING_SHIFT)
        tally = np.int64(entry & _TALLY_BITS)
        if value & 1 == 0 and tally > top:
            top = tally
        if value == 0:
            continue
        # Follow the phrases that begin here for as long as one goes on.
        state = mix(wanted)
        j = i
        while True:
            stopping = value >> STOP_SHIFT
            if stopping and (not exact_stops or word_hash[j] == core_hash[j]):
                stops |= _ONE << np.uint64(stopping)
            bits = value & _CATEGORIES
            while bits:
                category = lowest(bits)
                bits &= bits - 1
                row[_CATEGORY_START + categories + category] += 1
                covered = i if i > until[category] else until[category]
                if j + 1 > covered:
                    row[_CATEGORY_START + category] += j + 1 - covered
                    until[category] = j + 1
            j += 1
            if not value & PREFIX_BIT or j == stop or core_hash[j] == _ZERO:
                break
            state = mix((state * BASE) ^ core_hash[j])
            value = np.int64(_meaning(keys, values, lexicon_mask, state))
            if value == 0:
                break
    row[_STOP_WORDS] = ones(np.int64(stops))
    row[_DISTINCT] = distinct
    row[_TOP] = top


@kernel
def _meaning(keys, values, mask, state):  # type: ignore[no-untyped-def]
    """What the lexicon says of the phrase with this hash; 0 where it says nothing."""
    at = state & mask
    while keys[at] != _ZERO:
        if keys[at] == state:
            return values[at]
        at = (at + _ONE) & mask
    return np.uint32(0)
