"""The compiled part of the tagger of persons: characters to words to islands to labels.

An island is a run of capitalised words, with what may stand inside a name ('de la', the dot of an
initial); only there can a name be, so that all other words cost no more than being read. The
labels of an island's words (0 no name, 1 a name begins, 2 it goes on) are a linear-chain
conditional random field (Lafferty et al. 2001) over hashed features. What is called here stands in
`name_words` and `name_features`, whose edits numba's cache does not notice.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from gristmill.data.personal_data.name_features import (
    FEATURES,
    LONGEST,
    features,
    island_end,
    seen_lower,
)
from gristmill.data.personal_data.name_words import (
    CAPITAL,
    CAPITALS,
    FIRST,
    HEAD,
    INITIAL,
    LAST,
    NUMBER,
    OTHER,
    STREET,
    TITLE,
    capitalised,
    read_words,
)
from gristmill.tokenizer.eight_bytes import kernel

LABELS: Final = 3
NEVER: Final = np.float32(-1e9)
_ZERO, _ONE = np.uint64(0), np.uint64(1)


@kernel
def scores(buckets, length, weights, shapes, at, out):  # type: ignore[no-untyped-def]
    """The sum of weights of each label: out[word, label]. A dot or a particle begins no name."""
    for i in range(length):
        for k in range(LABELS):
            total = np.float32(0.0)
            for j in range(FEATURES):
                total += weights[buckets[i, j], k]
            out[i, k] = total
        if not capitalised(shapes[at + i]):
            out[i, 1] = NEVER


@kernel
def log_sum(a, b, c):  # type: ignore[no-untyped-def]
    top = max(a, max(b, c))
    return top + np.log(np.exp(a - top) + np.exp(b - top) + np.exp(c - top))


@kernel
def marginals(out, length, transitions, forward, backward):  # type: ignore[no-untyped-def]
    """Replaces out[word, label] by the labels' probabilities; returns the log of the sum over all
    labellings. transitions[from, to]; what is no name is not gone on with."""
    for i in range(length):
        for k in range(LABELS):
            if i == 0:
                forward[i, k] = out[i, k] + transitions[0, k]
            else:
                forward[i, k] = out[i, k] + log_sum(
                    forward[i - 1, 0] + transitions[0, k],
                    forward[i - 1, 1] + transitions[1, k],
                    forward[i - 1, 2] + transitions[2, k],
                )
    for k in range(LABELS):
        backward[length - 1, k] = 0.0
    for i in range(length - 2, -1, -1):
        for k in range(LABELS):
            backward[i, k] = log_sum(
                transitions[k, 0] + out[i + 1, 0] + backward[i + 1, 0],
                transitions[k, 1] + out[i + 1, 1] + backward[i + 1, 1],
                transitions[k, 2] + out[i + 1, 2] + backward[i + 1, 2],
            )
    whole = log_sum(forward[length - 1, 0], forward[length - 1, 1], forward[length - 1, 2])
    for i in range(length):
        for k in range(LABELS):
            out[i, k] = np.exp(forward[i, k] + backward[i, k] - whole)
    return whole


@njit(cache=True, nogil=True)
def find_names(  # type: ignore[no-untyped-def]
    codes, classes, lowers, keys, values, weights, transitions, least, spans, certainty
):
    """Writes (start, end) of each name into spans and its probability into certainty; returns how
    many there are.

    What is surely a name in one place is one elsewhere in the text too, where nothing around it
    would say so.
    """
    n = len(codes)
    start = np.empty(n + 1, np.int32)
    stop = np.empty(n + 1, np.int32)
    hashes = np.empty(n + 1, np.uint64)
    shapes = np.empty(n + 1, np.uint8)
    bits = np.empty(n + 1, np.uint16)
    count = read_words(codes, classes, lowers, keys, values, start, stop, hashes, shapes, bits)
    size = 16
    while size < 2 * count:
        size *= 2
    table = np.zeros(size, np.uint64)
    seen = np.empty(count + 1, np.uint8)
    seen_lower(count, hashes, shapes, bits, table, seen)
    sure = np.zeros(size, np.uint64)
    sure_mask = np.uint64(size - 1)
    mask = np.uint64(len(weights) - 1)
    buckets = np.empty((LONGEST + 2, FEATURES), np.int64)
    out = np.empty((LONGEST + 2, LABELS), np.float64)
    forward = np.empty((LONGEST + 2, LABELS), np.float64)
    backward = np.empty((LONGEST + 2, LABELS), np.float64)
    chance = np.zeros(count + 1, np.float64)
    label = np.zeros(count + 1, np.uint8)
    # A number written out would have what is called compiled twice.
    i: Any = np.int64(0)
    while i < count:
        if not capitalised(shapes[i]):
            i += 1
            continue
        end = island_end(i, count, start, stop, shapes, bits, codes)
        features(
            codes, lowers, count, start, stop, hashes, shapes, bits, i, end, seen, mask, buckets
        )
        scores(buckets, end - i, weights, shapes, i, out)
        marginals(out, end - i, transitions, forward, backward)
        inside = False
        for j in range(end - i):
            one = out[j, 1] + out[j, 2]
            chance[i + j] = one
            if one >= least:
                # Highest by itself; a name cannot go on where none began.
                label[i + j] = 2 if inside and out[j, 2] >= out[j, 1] else 1
                inside = True
            else:
                inside = False
        i = end
    # What is surely part of a name, once more as a name.
    for i in range(count):
        if label[i] and capitalised(shapes[i]) and stop[i] - start[i] > 2:
            joined = label[i] == 2 or label[i + 1] == 2
            if (joined and chance[i] > 0.8) or chance[i] > 0.9:
                at = hashes[i] & sure_mask
                while sure[at] != _ZERO and sure[at] != hashes[i]:
                    at = (at + _ONE) & sure_mask
                sure[at] = hashes[i]
    for i in range(count):
        if label[i] == 0 and chance[i] > 0.05 and not bits[i] & (OTHER | HEAD | TITLE):
            at = hashes[i] & sure_mask
            while sure[at] != _ZERO:
                if sure[at] == hashes[i]:
                    label[i] = 1
                    chance[i] = max(chance[i], 0.6)
                    break
                at = (at + _ONE) & sure_mask
    # Its neighbours in the island go with it: 'Jovana' is known, then 'Jovana Babić' stands here.
    for i in range(1, count):
        unknown = not bits[i] & (OTHER | HEAD | TITLE) and capitalised(shapes[i])
        near = start[i] - stop[i - 1] == 1 and shapes[i] != CAPITALS
        if label[i] == 0 and label[i - 1] and unknown and near and chance[i] > 0.2:
            label[i] = 2
            chance[i] = max(chance[i], 0.5)
        elif label[i] == 1 and label[i - 1] == 1 and near and shapes[i - 1] == CAPITAL:
            label[i] = 2
    found = 0
    i = 0
    while i < count:
        if label[i] == 0 or not capitalised(shapes[i]):
            i += 1
            continue
        end = i + 1
        least_chance: Any = chance[i]
        while end < count and label[end] == 2:
            least_chance = min(least_chance, chance[end])
            end += 1
        while not capitalised(shapes[end - 1]):
            end -= 1
        # 'Does Ridley Scott': the word that opens the sentence is none of the name's.
        while end - i > 1 and (
            bits[i] & (OTHER | FIRST | LAST) == OTHER or not capitalised(shapes[i])
        ):
            i += 1
        single = end == i + 1
        by_number = (i > 0 and shapes[i - 1] == NUMBER) or (end < count and shapes[end] == NUMBER)
        if single and (shapes[i] == INITIAL or (by_number and bits[i] & OTHER)):
            # 'T' before a telephone number, '24 Jan 2002'.
            i = end
            continue
        spans[found, 0] = start[i]
        spans[found, 1] = stop[end - 1]
        certainty[found] = least_chance
        found += 1
        i = end
    return found


@njit(cache=True, nogil=True)
def find_places(codes, classes, lowers, keys, values, wanted, out):  # type: ignore[no-untyped-def]
    """Writes (start, end, bits) of each word that has one of the bits `wanted` into out, and, where
    STREET is wanted, of each long capitalised word before a number ('Hauptstrasse 5'), with bits 0;
    returns how many there are."""
    n = len(codes)
    start = np.empty(n + 1, np.int32)
    stop = np.empty(n + 1, np.int32)
    hashes = np.empty(n + 1, np.uint64)
    shapes = np.empty(n + 1, np.uint8)
    bits = np.empty(n + 1, np.uint16)
    count = read_words(codes, classes, lowers, keys, values, start, stop, hashes, shapes, bits)
    found = 0
    for i in range(count):
        own = bits[i] & wanted
        number_next = i + 1 < count and shapes[i + 1] == NUMBER
        long_word = wanted & STREET and stop[i] - start[i] >= 6 and capitalised(shapes[i])
        if own or (long_word and number_next):
            out[found, 0] = start[i]
            out[found, 1] = stop[i]
            out[found, 2] = own
            found += 1
    return found
