"""The compiled part of the tagger of persons: characters to words to islands to labels.

An island is a run of capitalised words, with what may stand inside a name ('de la', the dot of an
initial); only there can a name be, so that all other words cost no more than being read. The
labels of an island's words (0 no name, 1 a name begins, 2 it goes on) are a linear-chain
conditional random field (Lafferty et al. 2001) over hashed features. One file, because numba's
cache notices a change only in the file of the function that is called.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from gristmill.data.filters.characters import ALNUM, ALPHA, DIGIT, SPACE, UPPER
from gristmill.data.ngrams import FNV_OFFSET, FNV_PRIME, mix

# What the lexicon says of a word, as bits.
FIRST, LAST, TITLE, PARTICLE, HEAD, OTHER, ROLE, PRONOUN = 1, 2, 4, 8, 16, 32, 64, 128
# These are no features: where an address or a date of birth may stand.
STREET, BIRTH = 256, 512
_FEATURE_BITS = np.uint16(255)
LABELS: Final = 3
FEATURES: Final = 44
# How far before and behind an island words count, in whatever order; and pronouns behind it.
_BEFORE, _BEHIND, _PRONOUNS = 4, 5, 40
NEVER: Final = np.float32(-1e9)

# How a word is written.
(_PUNCTUATION, _NEWLINE, _LOWER, _CAPITAL, _INITIAL, _CAPITALS, _MIXED, _NUMBER, _JOINED) = range(9)
_SPACE, _ALPHA, _ALNUM, _DIGIT, _UPPER = (
    np.uint8(SPACE), np.uint8(ALPHA), np.uint8(ALNUM), np.uint8(DIGIT), np.uint8(UPPER)
)  # fmt: skip
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_SALT = np.uint64(0x9E3779B97F4A7C15)
# An island longer than this is a text in capitals or a list of titles: cut, so that its labels
# need little memory.
LONGEST: Final = 40


@njit(cache=True, nogil=True)
def word_hash(codes, start, stop, lowers):  # type: ignore[no-untyped-def]
    """The hash of a word without regard to case."""
    state = FNV_OFFSET
    for i in range(start, stop):
        code = np.int64(codes[i])
        if code < len(lowers):
            code = np.int64(lowers[code])
        state = (state ^ np.uint64(code)) * FNV_PRIME
    return mix(state) | _ONE


@njit(cache=True, nogil=True)
def _class(classes, code):  # type: ignore[no-untyped-def]
    return classes[code] if code < len(classes) else np.uint8(0)


@njit(cache=True, nogil=True)
def read_words(codes, classes, lowers, keys, values, start, stop, hashes, shapes, bits):  # type: ignore[no-untyped-def]
    """Writes the words, signs and line ends of a text; returns how many there are.

    codes: uint32, code points. keys, values: an open-addressed lexicon.
    """
    count = 0
    i = 0
    n = len(codes)
    mask = np.uint64(len(keys) - 1)
    while i < n:
        code = np.int64(codes[i])
        kind = _class(classes, code)
        if kind & _SPACE:
            if code == 10 and (count == 0 or shapes[count - 1] != _NEWLINE):
                start[count] = i
                stop[count] = i + 1
                hashes[count] = np.uint64(11)
                shapes[count] = _NEWLINE
                bits[count] = 0
                count += 1
            i += 1
            continue
        first = i
        if not kind & _ALNUM:
            start[count] = i
            stop[count] = i + 1
            hashes[count] = np.uint64(2 * code + 1)
            shapes[count] = _PUNCTUATION
            bits[count] = 0
            count += 1
            i += 1
            continue
        uppers = letters = digits = joints = 0
        upper_after_joint = True
        while i < n:
            code = np.int64(codes[i])
            kind = _class(classes, code)
            if kind & _ALNUM:
                letters += 1
                if kind & _UPPER:
                    uppers += 1
                if kind & _DIGIT:
                    digits += 1
                i += 1
            elif (code == 39 or code == 0x2019 or code == 45) and i + 1 < n:
                following = _class(classes, np.int64(codes[i + 1]))
                if not following & _ALPHA:
                    break
                # The s of a possessive is no part of a name.
                if (
                    code != 45
                    and (codes[i + 1] == 115 or codes[i + 1] == 83)
                    and (i + 2 >= n or not _class(classes, np.int64(codes[i + 2])) & _ALNUM)
                ):
                    break
                joints += 1
                if not following & _UPPER:
                    upper_after_joint = False
                i += 1
            else:
                break
        capital = _class(classes, np.int64(codes[first])) & _UPPER
        if digits:
            shape = _NUMBER
        elif not capital:
            shape = _LOWER
        elif letters == 1:
            shape = _INITIAL
        elif joints:
            shape = _MIXED if upper_after_joint else _JOINED
        elif uppers == letters:
            shape = _CAPITALS
        elif uppers > 1:
            shape = _MIXED
        else:
            shape = _CAPITAL
        start[count] = first
        stop[count] = i
        shapes[count] = shape
        wanted = word_hash(codes, first, i, lowers)
        hashes[count] = wanted
        bits[count] = 0
        at = wanted & mask
        while keys[at] != _ZERO:
            if keys[at] == wanted:
                bits[count] = values[at]
                break
            at = (at + _ONE) & mask
        count += 1
    return count


@njit(cache=True, nogil=True)
def _capitalised(shape):  # type: ignore[no-untyped-def]
    return _CAPITAL <= shape <= _MIXED


@njit(cache=True, nogil=True)
def island_end(at, count, start, stop, shapes, bits, codes):  # type: ignore[no-untyped-def]
    """One behind the last word of the island that begins with the capitalised word `at`."""
    end = at + 1
    while end < count and end - at < LONGEST:
        if _capitalised(shapes[end]):
            end += 1
        elif (
            shapes[end] == _PUNCTUATION
            and codes[start[end]] == 46
            and start[end] == stop[end - 1]
            and end + 1 < count
            and _capitalised(shapes[end + 1])
            and (shapes[end - 1] == _INITIAL or bits[end - 1] & TITLE)
        ):
            end += 2
        elif shapes[end] == _LOWER and bits[end] & PARTICLE:
            further = end + 1
            if further < count and shapes[further] == _LOWER and bits[further] & PARTICLE:
                further += 1
            if further < count and _capitalised(shapes[further]) and further - at < LONGEST:
                end = further + 1
            else:
                break
        else:
            break
    return end


@njit(cache=True, nogil=True)
def _feature(template, value, mask):  # type: ignore[no-untyped-def]
    return np.int64(mix(value + _SALT * np.uint64(template)) & mask)


@njit(cache=True, nogil=True)
def _ending(codes, lowers, first, stop, length):  # type: ignore[no-untyped-def]
    return word_hash(codes, max(first, stop - length), stop, lowers)


@njit(cache=True, nogil=True)
def features(  # type: ignore[no-untyped-def]
    codes, lowers, count, start, stop, hashes, shapes, bits, at, end, seen, mask, out
):
    """Writes the buckets of the words at..end into out[word - at, FEATURES]. What a word is
    counts only for words that the lexicon knows as no names: names shall be learnt by how they are
    written and by what stands around them, not by heart."""
    before = hashes[at - 1] if at > 0 else np.uint64(7)
    before_2 = hashes[at - 2] if at > 1 else np.uint64(7)
    after = hashes[end] if end < count else np.uint64(7)
    after_2 = hashes[end + 1] if end + 1 < count else np.uint64(7)
    line_start = at == 0 or shapes[at - 1] == _NEWLINE
    line_end = end >= count or shapes[end] == _NEWLINE
    opens = line_start or (
        shapes[at - 1] == _PUNCTUATION
        and (codes[start[at - 1]] == 46 or codes[start[at - 1]] == 33 or codes[start[at - 1]] == 63)
    )
    # The label of the line: 'Attendees: ...'.
    label = np.uint64(5)
    back = at - 1
    steps = 0
    while back > 0 and steps < 60 and shapes[back] != _NEWLINE:
        if shapes[back] == _PUNCTUATION and codes[start[back]] == 58:
            label = hashes[back - 1]
        back -= 1
        steps += 1
    roles = 0
    for back in range(max(0, at - _BEFORE), at):
        if bits[back] & ROLE:
            roles |= 1
    for further in range(end, min(count, end + _BEHIND)):
        if bits[further] & ROLE:
            roles |= 2
    for further in range(end, min(count, end + _PRONOUNS)):
        if shapes[further] == _NEWLINE:
            break
        if bits[further] & PRONOUN:
            roles |= 4
            break
    around = np.uint64(roles)
    every = np.uint64(0)
    capitals = 0
    for i in range(at, end):
        every |= np.uint64(bits[i] & _FEATURE_BITS)
        if _capitalised(shapes[i]):
            capitals += 1
    last = hashes[end - 1] if bits[end - 1] & (HEAD | OTHER | TITLE) else np.uint64(3)
    size = np.uint64(min(capitals, 4))
    place = np.uint64((1 if line_start else 0) + (2 if line_end else 0) + (4 if opens else 0))
    for i in range(at, end):
        row = out[i - at]
        own = np.uint64(bits[i] & _FEATURE_BITS)
        shape = np.uint64(shapes[i])
        known = bits[i] & (HEAD | OTHER | TITLE | PARTICLE) or shapes[i] == _PUNCTUATION
        word = hashes[i] if known else np.uint64(3)
        left = np.uint64(bits[i - 1] & _FEATURE_BITS) if i > at else np.uint64(256)
        right = np.uint64(bits[i + 1] & _FEATURE_BITS) if i + 1 < end else np.uint64(256)
        left_shape = np.uint64(shapes[i - 1]) if i > at else np.uint64(10)
        right_shape = np.uint64(shapes[i + 1]) if i + 1 < end else np.uint64(10)
        # Inside the island the neighbours' words count as far as they are no names.
        left_word = before
        if i > at:
            left_word = hashes[i - 1] if bits[i - 1] & (HEAD | OTHER | TITLE | PARTICLE) else _ONE
        right_word = after
        if i + 1 < end:
            right_word = hashes[i + 1] if bits[i + 1] & (HEAD | OTHER | TITLE | PARTICLE) else _ONE
        position = np.uint64(min(i - at, 3) * 4 + min(end - 1 - i, 3))
        was_seen = np.uint64(seen[i])
        row[0] = 0
        row[1] = _feature(1, word, mask)
        row[2] = _feature(2, own, mask)
        row[3] = _feature(3, shape, mask)
        row[4] = _feature(4, left * np.uint64(512) + own, mask)
        row[5] = _feature(5, own * np.uint64(512) + right, mask)
        row[6] = _feature(6, (left * np.uint64(512) + own) * np.uint64(512) + right, mask)
        row[7] = _feature(
            7, (left_shape * np.uint64(16) + shape) * np.uint64(16) + right_shape, mask
        )
        row[8] = _feature(8, _ending(codes, lowers, start[i], stop[i], 2), mask)
        row[9] = _feature(9, _ending(codes, lowers, start[i], stop[i], 3), mask)
        row[10] = _feature(10, _ending(codes, lowers, start[i], stop[i], 4), mask)
        row[11] = _feature(11, word_hash(codes, start[i], min(stop[i], start[i] + 3), lowers), mask)
        row[12] = _feature(12, left_word * _SALT + own, mask)
        row[13] = _feature(13, right_word * _SALT + own, mask)
        row[14] = _feature(14, left_word, mask)
        row[15] = _feature(15, right_word, mask)
        row[16] = _feature(16, position * np.uint64(8) + size, mask)
        row[17] = _feature(17, (position * np.uint64(8) + size) * np.uint64(512) + own, mask)
        row[18] = _feature(18, place * np.uint64(512) + own, mask)
        row[19] = _feature(19, (was_seen * np.uint64(8) + place) * np.uint64(512) + own, mask)
        row[20] = _feature(20, before * _SALT + position, mask)
        row[21] = _feature(21, after * _SALT + position, mask)
        row[22] = _feature(22, before_2 * _SALT + before, mask)
        row[23] = _feature(23, after_2 * _SALT + after, mask)
        row[24] = _feature(24, every * np.uint64(64) + position, mask)
        row[25] = _feature(25, last * _SALT + own, mask)
        row[26] = _feature(26, label * _SALT + size, mask)
        row[27] = _feature(27, before_2, mask)
        row[28] = _feature(28, after_2, mask)
        row[29] = _feature(29, (place * np.uint64(8) + size) * np.uint64(512) + every, mask)
        row[30] = _feature(30, label * _SALT + own, mask)
        row[31] = _feature(31, before * _SALT + after, mask)
        row[32] = _feature(32, around, mask)
        row[33] = _feature(33, around * np.uint64(512) + own, mask)
        row[34] = _feature(34, (around * np.uint64(8) + size) * np.uint64(8) + place, mask)
        for j in range(_BEFORE):
            near = hashes[at - 1 - j] if at - 1 - j >= 0 else np.uint64(7)
            row[35 + j] = _feature(35, near, mask)
        for j in range(_BEHIND):
            near = hashes[end + j] if end + j < count else np.uint64(7)
            row[39 + j] = _feature(36, near, mask)


@njit(cache=True, nogil=True)
def seen_lower(count, hashes, shapes, bits, table, out):  # type: ignore[no-untyped-def]
    """out[i]: whether word i, which has a capital, also stands somewhere without. table: uint64,
    a power of two of at least twice the words, all zero."""
    mask = np.uint64(len(table) - 1)
    for i in range(count):
        if shapes[i] == _LOWER:
            at = hashes[i] & mask
            while table[at] != _ZERO and table[at] != hashes[i]:
                at = (at + _ONE) & mask
            table[at] = hashes[i]
    for i in range(count):
        out[i] = 0
        if _capitalised(shapes[i]):
            at = hashes[i] & mask
            while table[at] != _ZERO:
                if table[at] == hashes[i]:
                    out[i] = 1
                    break
                at = (at + _ONE) & mask


@njit(cache=True, nogil=True)
def scores(buckets, length, weights, shapes, at, out):  # type: ignore[no-untyped-def]
    """The sum of weights of each label: out[word, label]. A dot or a particle begins no name."""
    for i in range(length):
        for k in range(LABELS):
            total = np.float32(0.0)
            for j in range(FEATURES):
                total += weights[buckets[i, j], k]
            out[i, k] = total
        if not _capitalised(shapes[at + i]):
            out[i, 1] = NEVER


@njit(cache=True, nogil=True)
def log_sum(a, b, c):  # type: ignore[no-untyped-def]
    top = max(a, max(b, c))
    return top + np.log(np.exp(a - top) + np.exp(b - top) + np.exp(c - top))


@njit(cache=True, nogil=True)
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
    i = 0
    while i < count:
        if not _capitalised(shapes[i]):
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
        if label[i] and _capitalised(shapes[i]) and stop[i] - start[i] > 2:
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
        unknown = not bits[i] & (OTHER | HEAD | TITLE) and _capitalised(shapes[i])
        near = start[i] - stop[i - 1] == 1 and shapes[i] != _CAPITALS
        if label[i] == 0 and label[i - 1] and unknown and near and chance[i] > 0.2:
            label[i] = 2
            chance[i] = max(chance[i], 0.5)
        elif label[i] == 1 and label[i - 1] == 1 and near and shapes[i - 1] == _CAPITAL:
            label[i] = 2
    found = 0
    i = 0
    while i < count:
        if label[i] == 0 or not _capitalised(shapes[i]):
            i += 1
            continue
        end = i + 1
        least_chance: Any = chance[i]
        while end < count and label[end] == 2:
            least_chance = min(least_chance, chance[end])
            end += 1
        while not _capitalised(shapes[end - 1]):
            end -= 1
        # 'Does Ridley Scott': the word that opens the sentence is none of the name's.
        while end - i > 1 and (
            bits[i] & (OTHER | FIRST | LAST) == OTHER or not _capitalised(shapes[i])
        ):
            i += 1
        single = end == i + 1
        by_number = (i > 0 and shapes[i - 1] == _NUMBER) or (end < count and shapes[end] == _NUMBER)
        if single and (shapes[i] == _INITIAL or (by_number and bits[i] & OTHER)):
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
        number_next = i + 1 < count and shapes[i + 1] == _NUMBER
        long_word = wanted & STREET and stop[i] - start[i] >= 6 and _capitalised(shapes[i])
        if own or (long_word and number_next):
            out[found, 0] = start[i]
            out[found, 1] = stop[i]
            out[found, 2] = own
            found += 1
    return found
