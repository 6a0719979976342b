"""The compiled pass over a batch of texts: characters to words and lines, words to n-grams.

One file, because numba's cache notices a change only in the file of the function that is called: a
part that stood elsewhere would go on running as it was compiled first.

Counting uses one open-addressed table of 64-bit hashes, emptied by counting up its epoch: a place
whose stamp is not the epoch is empty.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from gristmill.data.filters.characters import (
    ALNUM,
    ALPHA,
    CLOSING,
    DIGIT,
    LINE_END,
    SENTENCE_END,
    SPACE,
    UPPER,
)
from gristmill.data.filters.lexicon import PREFIX_BIT, STOP_SHIFT
from gristmill.data.filters.statistic_names import INDEX, NAMES
from gristmill.data.ngrams import BASE, FNV_OFFSET, FNV_PRIME, mix
from gristmill.data.personal_data.hints import (
    HINT_AT,
    HINT_COLONS,
    HINT_DIGITS,
    HINT_DOTTED,
    HINT_IBAN,
)

_SPACE, _ALPHA, _ALNUM, _DIGIT, _UPPER = (
    np.uint8(SPACE),
    np.uint8(ALPHA),
    np.uint8(ALNUM),
    np.uint8(DIGIT),
    np.uint8(UPPER),
)
_LINE_END, _SENTENCE_END, _CLOSING = np.uint8(LINE_END), np.uint8(SENTENCE_END), np.uint8(CLOSING)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_PROSE, _HINTS = INDEX["prose_words"], INDEX["personal_hints"]
BULLETS: Final = "•‣⁃▪●◦-*"
_BULLETS = np.array([ord(c) for c in BULLETS], dtype=np.int64)
_GRAM_START = INDEX["top_2_gram"]
_COUNT_START = INDEX["top_2_gram_count"]
_STOP_WORDS, _DISTINCT = INDEX["stop_words"], INDEX["distinct_words"]
_TOP = INDEX["top_word"]
_CATEGORY_START = len(NAMES)


@njit(cache=True, nogil=True)
def all_statistics(data, offsets, classes, lowers, keys, values, categories, line_rules, out):  # type: ignore[no-untyped-def]
    """Writes the numbers of each text data[offsets[i]:offsets[i + 1]] (UTF-8) into out[i].

    classes, lowers: the tables of `characters`. keys, values: a lexicon's table, `categories` how
    many categories it has; the first is that of function words. line_rules: short_line,
    c4_min_words, c4_max_word, c4_terminal.
    """
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    # A word takes at least one byte and the white space after it, a line likewise.
    room = longest // 2 + 2
    word_hash = np.empty(room, np.uint64)
    core_hash = np.empty(room, np.uint64)
    word_length = np.empty(room, np.int32)
    grams = np.empty(room, np.uint64)
    repeated = np.empty(room, np.bool_)
    slot_of = np.empty(room, np.int32)
    size = _mask(room) + 1
    # One open-addressed table for every count; a place whose stamp is old is empty.
    key = np.empty(size, np.uint64)
    stamp = np.zeros(size, np.int32)
    tally = np.empty(size, np.int32)
    first = np.empty(size, np.int32)
    epoch = 0
    for document in range(len(offsets) - 1):
        row = out[document]
        words, epoch = _read_text(
            data, offsets[document], offsets[document + 1], classes, lowers, line_rules,
            word_hash, core_hash, word_length, key, stamp, epoch, row,
        )  # fmt: skip
        epoch = _words(
            core_hash, words, keys, values, categories, key, stamp, tally, slot_of, epoch, row
        )
        epoch = _n_grams(
            word_hash, word_length, words, grams, repeated, slot_of, key, stamp, tally, first,
            epoch, row,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _seen(key, stamp, epoch, mask, wanted):  # type: ignore[no-untyped-def]
    """Whether `wanted` is in the table of this epoch; it is afterwards."""
    place = np.int64(wanted & np.uint64(mask))
    while stamp[place] == epoch:
        if key[place] == wanted:
            return True
        place = (place + 1) & mask
    stamp[place] = epoch
    key[place] = wanted
    return False


@njit(cache=True, nogil=True)
def _mask(count):  # type: ignore[no-untyped-def]
    """One less than a power of two of at least twice `count`: a small document uses only the
    beginning of the table, which then stays in the processor's cache."""
    size = 16
    while size < 2 * count:
        size *= 2
    return size - 1


@njit(cache=True, nogil=True)
def _place(key, stamp, tally, epoch, mask, wanted):  # type: ignore[no-untyped-def]
    """The place of `wanted` in the table of this epoch, made with a tally of 0 where it is new."""
    place = np.int64(wanted & np.uint64(mask))
    while stamp[place] == epoch:
        if key[place] == wanted:
            return place
        place = (place + 1) & mask
    stamp[place] = epoch
    key[place] = wanted
    tally[place] = 0
    return place


@njit(cache=True, nogil=True)
def _read_text(  # type: ignore[no-untyped-def]
    data, start, stop, classes, lowers, line_rules,
    word_hash, core_hash, word_length, key, stamp, epoch, row,
):  # fmt: skip
    """Characters, words, lines and paragraphs. Returns (words, epoch)."""
    characters = words = symbol_words = word_characters = alpha_words = longest_word = 0
    hashes = ellipses = digits = uppers = curly = newlines = 0
    lines = bullet_lines = ellipsis_lines = ended_lines = short_lines = 0
    duplicate_lines = duplicate_line_characters = 0
    paragraphs = duplicate_paragraphs = duplicate_paragraph_characters = 0
    c4_lines = c4_sentences = prose_words = 0
    dots = 0
    # The word that is being read.
    length = 0
    state = FNV_OFFSET
    core_state = FNV_OFFSET
    core_done = _ZERO
    letters = alnums = False
    ends_sentence = False  # its last character that is no closing mark ends a sentence
    inner_dot = False  # a dot before its last character: an abbreviation
    word_alnums = 0
    # The line that is being read: from its first character that is no white space.
    in_line = False
    line_length = line_kept_length = 0
    line_state = line_kept_state = FNV_OFFSET
    line_words = line_longest = line_sentences = 0
    line_last = 0
    line_dots = 0
    line_open = False  # words after the last end of a sentence
    # The paragraph.
    paragraph_state = FNV_OFFSET
    paragraph_length = paragraph_lines = 0
    line_epoch = epoch + 1
    # Lines and paragraphs together are fewer than the bytes.
    mask = _mask((stop - start) // 2 + 2)
    i = start
    ended = False
    code: Any = 0
    # What personal data may be here: digits with little between them, dots between digits, ...
    hints = 0
    run_digits = run_gap = dotted = 0
    colons = 0
    before = before_2 = before_3 = 0
    while not ended:
        if i >= stop:
            # A text ends its last word, line and paragraph.
            code = 10
            ended = True
        else:
            byte = np.int64(data[i])
            if byte < 0x80:
                code = byte
                i += 1
            elif byte < 0xE0 and i + 1 < stop:
                code = ((byte & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F)
                i += 2
            elif byte < 0xF0 and i + 2 < stop:
                code = (
                    ((byte & 0x0F) << 12)
                    | ((np.int64(data[i + 1]) & 0x3F) << 6)
                    | (np.int64(data[i + 2]) & 0x3F)
                )
                i += 3
            elif i + 3 < stop:
                code = (
                    ((byte & 0x07) << 18)
                    | ((np.int64(data[i + 1]) & 0x3F) << 12)
                    | ((np.int64(data[i + 2]) & 0x3F) << 6)
                    | (np.int64(data[i + 3]) & 0x3F)
                )
                i += 4
            else:
                code = 0xFFFD
                i = stop
            characters += 1
        kind = classes[code] if code < len(classes) else np.uint8(0)
        if kind & _DIGIT:
            run_digits += 1
            run_gap = 0
            if run_digits == 6:
                hints |= HINT_DIGITS
            if before == 46 and 48 <= before_2 <= 57:
                dotted += 1
                if dotted == 3:
                    hints |= HINT_DOTTED
            if 48 <= before <= 57 and 65 <= before_2 <= 90 and 65 <= before_3 <= 90:
                hints |= HINT_IBAN
        else:
            if code != 46 or not 48 <= before <= 57:
                dotted = 0
            if run_digits:
                run_gap += 1
                if run_gap > 2 or not (
                    code == 32 or 40 <= code <= 41 or 45 <= code <= 47
                    or code == 0xA0 or code == 0x202F
                ):  # fmt: skip
                    run_digits = 0
            if code == 64:
                hints |= HINT_AT
            elif code == 58:
                colons += 1
                if before == 58 or colons == 7:
                    hints |= HINT_COLONS
        before_3 = before_2
        before_2 = before
        before = code
        # Three dots in a row, as str.count finds them.
        if code == 46:
            dots += 1
            if dots == 3:
                ellipses += 1
                dots = 0
        else:
            dots = 0
        if kind & _SPACE:
            if length:
                word_hash[words] = mix(state) | _ONE
                core_hash[words] = core_done
                word_length[words] = length
                words += 1
                line_words += 1
                longest_word = max(longest_word, length)
                line_longest = max(line_longest, length)
                if alnums:
                    word_characters += length
                else:
                    symbol_words += 1
                if letters:
                    alpha_words += 1
                # 'U.S.' and a single letter with a dot end a sentence only at a line's end.
                if ends_sentence and not inner_dot and word_alnums != 1:
                    line_sentences += 1
                    line_open = False
                else:
                    line_open = True
                length = 0
                state = core_state = FNV_OFFSET
                core_done = _ZERO
                letters = alnums = ends_sentence = inner_dot = False
                word_alnums = 0
            if code == 10:
                if not ended:
                    newlines += 1
                if in_line:
                    lines += 1
                    line_hash = mix(line_kept_state) | _ONE
                    if line_kept_length <= line_rules[0]:
                        short_lines += 1
                    ellipsis = line_last == 0x2026 or line_dots >= 3
                    if ellipsis:
                        ellipsis_lines += 1
                    closes = line_last < len(classes) and (classes[line_last] & _LINE_END) != 0
                    if closes:
                        ended_lines += 1
                    if line_words >= 12 or (closes and line_words >= 5):
                        prose_words += line_words
                    if (
                        line_words >= line_rules[1]
                        and line_longest <= line_rules[2]
                        and (line_rules[3] == 0 or (closes and not ellipsis))
                    ):
                        c4_lines += 1
                        c4_sentences += line_sentences + (1 if line_open else 0)
                    if _seen(key, stamp, line_epoch, mask, line_hash):
                        duplicate_lines += 1
                        duplicate_line_characters += line_kept_length
                    paragraph_state = (paragraph_state ^ line_hash) * FNV_PRIME
                    paragraph_length += line_kept_length + (1 if paragraph_lines else 0)
                    paragraph_lines += 1
                if (not in_line or ended) and paragraph_lines:
                    paragraphs += 1
                    # Hashed once more, a paragraph of one line is not taken for that line.
                    if _seen(key, stamp, line_epoch, mask, mix(paragraph_state) | _ONE):
                        duplicate_paragraphs += 1
                        duplicate_paragraph_characters += paragraph_length
                    paragraph_state = FNV_OFFSET
                    paragraph_length = paragraph_lines = 0
                in_line = False
                line_length = line_kept_length = 0
                line_state = line_kept_state = FNV_OFFSET
                line_words = line_longest = line_sentences = line_dots = 0
                line_open = False
            elif in_line:
                line_length += 1
                line_state = (line_state ^ np.uint64(code)) * FNV_PRIME
            continue
        if not in_line:
            in_line = True
            for bullet in _BULLETS:
                if code == bullet:
                    bullet_lines += 1
        if length and ends_sentence and not (kind & (_CLOSING | _SENTENCE_END)):
            # A dot with a letter after it, as in 'e.g.' or '3.14'.
            inner_dot = True
        length += 1
        state = (state ^ np.uint64(code)) * FNV_PRIME
        line_length += 1
        line_state = (line_state ^ np.uint64(code)) * FNV_PRIME
        line_kept_length = line_length
        line_kept_state = line_state
        if code != 46:
            line_dots = 0
        elif length > 1 and line_last == 46:
            line_dots += 1
        else:
            line_dots = 1
        line_last = code
        if kind & _ALNUM:
            alnums = True
            word_alnums += 1
            if kind & _ALPHA:
                letters = True
                if kind & _UPPER:
                    uppers += 1
            if kind & _DIGIT:
                digits += 1
        elif code == 35:
            hashes += 1
        elif code == 0x2026:
            ellipses += 1
        elif code == 123:
            curly += 1
        if alnums:
            lower = np.int64(lowers[code]) if code < len(lowers) else code
            core_state = (core_state ^ np.uint64(lower)) * FNV_PRIME
            if kind & _ALNUM:
                core_done = mix(core_state)
        if kind & _SENTENCE_END:
            ends_sentence = True
        elif not (kind & _CLOSING):
            ends_sentence = False
    # In the order of NAMES.
    row[0] = characters
    row[1] = words
    row[2] = symbol_words
    row[3] = word_characters
    row[4] = alpha_words
    row[5] = longest_word
    row[6] = hashes
    row[7] = ellipses
    row[8] = digits
    row[9] = uppers
    row[10] = curly
    row[11] = newlines
    row[12] = lines
    row[13] = bullet_lines
    row[14] = ellipsis_lines
    row[15] = ended_lines
    row[16] = short_lines
    row[17] = duplicate_lines
    row[18] = duplicate_line_characters
    row[19] = paragraphs
    row[20] = duplicate_paragraphs
    row[21] = duplicate_paragraph_characters
    row[22] = c4_lines
    row[23] = c4_sentences
    row[_PROSE] = prose_words
    row[_HINTS] = hints
    return words, line_epoch


@njit(cache=True, nogil=True)
def _words(  # type: ignore[no-untyped-def]
    core_hash, words, keys, values, categories, key, stamp, tally, slot_of, epoch, row
):
    """Word lists, stop words, distinct words and the top word. Returns the epoch."""
    epoch += 1
    lexicon_mask = np.int64(len(keys) - 1)
    mask = _mask(words)
    stops = _ZERO
    distinct = 0
    top = 0
    until = np.zeros(categories, np.int64)
    for i in range(words):
        if core_hash[i] == _ZERO:
            continue
        # Follow the phrases that begin here for as long as one goes on.
        state = _ZERO
        function_word = False
        for j in range(i, words):
            if core_hash[j] == _ZERO:
                break
            state = mix((state * BASE) ^ core_hash[j])
            value = np.uint32(0)
            at = np.int64(state & np.uint64(lexicon_mask))
            while keys[at] != _ZERO:
                if keys[at] == state:
                    value = values[at]
                    break
                at = (at + 1) & lexicon_mask
            if value == 0:
                break
            stop = value >> STOP_SHIFT
            if stop:
                stops |= _ONE << np.uint64(stop)
            if j == i and value & 1:
                function_word = True
            for category in range(categories):
                if (value >> category) & 1:
                    row[_CATEGORY_START + categories + category] += 1
                    row[_CATEGORY_START + category] += max(0, j + 1 - max(i, until[category]))
                    until[category] = max(until[category], j + 1)
            if not value & PREFIX_BIT:
                break
        place = _place(key, stamp, tally, epoch, mask, core_hash[i])
        if tally[place] == 0:
            distinct += 1
        tally[place] += 1
        if not function_word and tally[place] > top:
            top = tally[place]
    found = 0
    while stops:
        stops &= stops - _ONE
        found += 1
    row[_STOP_WORDS] = found
    row[_DISTINCT] = distinct
    row[_TOP] = top
    return epoch


@njit(cache=True, nogil=True)
def _n_grams(  # type: ignore[no-untyped-def]
    word_hash, word_length, words, grams, repeated, slot_of, key, stamp, tally, first, epoch, row
):
    """Top 2- to 4-grams and duplicate 5- to 10-grams. Returns the epoch."""
    for i in range(words):
        grams[i] = word_hash[i]
        repeated[i] = True
    any_repeated = True
    mask = _mask(words)
    for n in range(2, 11):
        count = words - n + 1
        if count < 1:
            break
        epoch += 1
        best = 1
        best_at = 0
        if any_repeated:
            any_repeated = False
            for i in range(count):
                if not repeated[i]:
                    continue
                # The hash of the n-gram at i from that of the (n-1)-gram at i.
                grams[i] = grams[i] * BASE + word_hash[i + n - 1]
                place = _place(key, stamp, tally, epoch, mask, mix(grams[i]))
                if tally[place] == 0:
                    first[place] = i
                tally[place] += 1
                slot_of[i] = place
                if tally[place] > 1:
                    any_repeated = True
                    if tally[place] > best or (tally[place] == best and first[place] < best_at):
                        best = tally[place]
                        best_at = first[place]
            for i in range(count):
                if repeated[i]:
                    repeated[i] = tally[slot_of[i]] > 1
            for i in range(count, words):
                repeated[i] = False
        if n <= 4:
            length = n - 1
            for i in range(best_at, best_at + n):
                length += word_length[i]
            row[_GRAM_START + n - 2] = length * best
            row[_COUNT_START + n - 2] = best
        elif any_repeated:
            # `first` is free now: -1 marks an n-gram that this walk has met.
            characters = 0
            i = 0
            while i < count:
                if repeated[i]:
                    place = slot_of[i]
                    if first[place] < 0:
                        for j in range(i, i + n):
                            characters += word_length[j]
                        i += n
                        continue
                    first[place] = -1
                i += 1
            row[_GRAM_START + n - 2] = characters
    return epoch
