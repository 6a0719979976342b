"""Islands of capitalised words, and the hashed features of the words in one, for the tagger of
persons.

Compiled into `name_kernel`, whose cache does not notice an edit here: after one, the files *.nbi in
`__pycache__` have to go.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gristmill.data.ngrams import mix
from gristmill.data.personal_data.name_words import (
    HEAD,
    INITIAL,
    LOWER,
    NEWLINE,
    OTHER,
    PARTICLE,
    PRONOUN,
    PUNCTUATION,
    ROLE,
    TITLE,
    capitalised,
    word_hash,
)
from gristmill.tokenizer.eight_bytes import kernel

_FEATURE_BITS = np.uint16(255)
FEATURES: Final = 44
# How far before and behind an island words count, in whatever order; and pronouns behind it.
_BEFORE, _BEHIND, _PRONOUNS = 4, 5, 40
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_SALT = np.uint64(0x9E3779B97F4A7C15)
# An island longer than this is a text in capitals or a list of titles: cut, so that its labels
# need little memory.
LONGEST: Final = 40


@kernel
def island_end(at, count, start, stop, shapes, bits, codes):  # type: ignore[no-untyped-def]
    """One behind the last word of the island that begins with the capitalised word `at`."""
    end = at + 1
    while end < count and end - at < LONGEST:
        if capitalised(shapes[end]):
            end += 1
        elif (
            shapes[end] == PUNCTUATION
            and codes[start[end]] == 46
            and start[end] == stop[end - 1]
            and end + 1 < count
            and capitalised(shapes[end + 1])
            and (shapes[end - 1] == INITIAL or bits[end - 1] & TITLE)
        ):
            end += 2
        elif shapes[end] == LOWER and bits[end] & PARTICLE:
            further = end + 1
            if further < count and shapes[further] == LOWER and bits[further] & PARTICLE:
                further += 1
            if further < count and capitalised(shapes[further]) and further - at < LONGEST:
                end = further + 1
            else:
                break
        else:
            break
    return end


@kernel
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
    line_start = at == 0 or shapes[at - 1] == NEWLINE
    line_end = end >= count or shapes[end] == NEWLINE
    opens = line_start or (
        shapes[at - 1] == PUNCTUATION
        and (codes[start[at - 1]] == 46 or codes[start[at - 1]] == 33 or codes[start[at - 1]] == 63)
    )
    # The label of the line: 'Attendees: ...'.
    label = np.uint64(5)
    back = at - 1
    steps = 0
    while back > 0 and steps < 60 and shapes[back] != NEWLINE:
        if shapes[back] == PUNCTUATION and codes[start[back]] == 58:
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
        if shapes[further] == NEWLINE:
            break
        if bits[further] & PRONOUN:
            roles |= 4
            break
    around = np.uint64(roles)
    every = np.uint64(0)
    capitals = 0
    for i in range(at, end):
        every |= np.uint64(bits[i] & _FEATURE_BITS)
        if capitalised(shapes[i]):
            capitals += 1
    last = hashes[end - 1] if bits[end - 1] & (HEAD | OTHER | TITLE) else np.uint64(3)
    size = np.uint64(min(capitals, 4))
    place = np.uint64((1 if line_start else 0) + (2 if line_end else 0) + (4 if opens else 0))
    for i in range(at, end):
        row = out[i - at]
        own = np.uint64(bits[i] & _FEATURE_BITS)
        shape = np.uint64(shapes[i])
        known = bits[i] & (HEAD | OTHER | TITLE | PARTICLE) or shapes[i] == PUNCTUATION
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
        row[1] = np.int64(word)
        row[2] = np.int64(own)
        row[3] = np.int64(shape)
        row[4] = np.int64(left * np.uint64(512) + own)
        row[5] = np.int64(own * np.uint64(512) + right)
        row[6] = np.int64((left * np.uint64(512) + own) * np.uint64(512) + right)
        row[7] = np.int64((left_shape * np.uint64(16) + shape) * np.uint64(16) + right_shape)
        begin, end_of_word = np.int64(start[i]), np.int64(stop[i])
        for length in range(2, 5):
            from_here = end_of_word - length if end_of_word - length > begin else begin
            row[6 + length] = np.int64(word_hash(codes, from_here, end_of_word, lowers))
        to_here = begin + 3 if begin + 3 < end_of_word else end_of_word
        row[11] = np.int64(word_hash(codes, begin, to_here, lowers))
        row[12] = np.int64(left_word * _SALT + own)
        row[13] = np.int64(right_word * _SALT + own)
        row[14] = np.int64(left_word)
        row[15] = np.int64(right_word)
        row[16] = np.int64(position * np.uint64(8) + size)
        row[17] = np.int64((position * np.uint64(8) + size) * np.uint64(512) + own)
        row[18] = np.int64(place * np.uint64(512) + own)
        row[19] = np.int64((was_seen * np.uint64(8) + place) * np.uint64(512) + own)
        row[20] = np.int64(before * _SALT + position)
        row[21] = np.int64(after * _SALT + position)
        row[22] = np.int64(before_2 * _SALT + before)
        row[23] = np.int64(after_2 * _SALT + after)
        row[24] = np.int64(every * np.uint64(64) + position)
        row[25] = np.int64(last * _SALT + own)
        row[26] = np.int64(label * _SALT + size)
        row[27] = np.int64(before_2)
        row[28] = np.int64(after_2)
        row[29] = np.int64((place * np.uint64(8) + size) * np.uint64(512) + every)
        row[30] = np.int64(label * _SALT + own)
        row[31] = np.int64(before * _SALT + after)
        row[32] = np.int64(around)
        row[33] = np.int64(around * np.uint64(512) + own)
        row[34] = np.int64((around * np.uint64(8) + size) * np.uint64(8) + place)
        for j in range(_BEFORE):
            near = hashes[at - 1 - j] if at - 1 - j >= 0 else np.uint64(7)
            row[35 + j] = np.int64(near)
        for j in range(_BEHIND):
            near = hashes[end + j] if end + j < count else np.uint64(7)
            row[39 + j] = np.int64(near)
        for feature in range(1, FEATURES):
            # What stands near counts in whatever order.
            template = feature if feature < 35 else (35 if feature < 35 + _BEFORE else 36)
            value = np.uint64(row[feature]) + _SALT * np.uint64(template)
            row[feature] = np.int64(mix(value) & mask)


@kernel
def seen_lower(count, hashes, shapes, bits, table, out):  # type: ignore[no-untyped-def]
    """out[i]: whether word i, which has a capital, also stands somewhere without. table: uint64,
    a power of two of at least twice the words, all zero."""
    mask = np.uint64(len(table) - 1)
    for i in range(count):
        if shapes[i] == LOWER:
            at = hashes[i] & mask
            while table[at] != _ZERO and table[at] != hashes[i]:
                at = (at + _ONE) & mask
            table[at] = hashes[i]
    for i in range(count):
        out[i] = 0
        if capitalised(shapes[i]):
            at = hashes[i] & mask
            while table[at] != _ZERO:
                if table[at] == hashes[i]:
                    out[i] = 1
                    break
                at = (at + _ONE) & mask
