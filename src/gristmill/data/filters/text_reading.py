"""The pass over one text: its words, and what is known of each line when it ends.

The bytes are classified first, 64 at a time (`scanning`): where a word of ASCII ends, its capitals
and where its letters begin are read off those bits, and it is hashed eight bytes at a time. Longer
words and those with other characters are decoded.

Compiled into `kernel.read_texts`, whose cache does not notice an edit here: after one, the files
*.nbi in `__pycache__` have to go.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gristmill.data.filters.line_counts import (
    BREAKS,
    CITED,
    ENDS,
    FEEDS,
    JAVASCRIPT,
    L_CURLY,
    L_FIRST,
    L_FLAGS,
    L_LENGTH,
    L_LONGEST,
    L_LOREM,
    L_SENTENCES,
    L_START,
    L_STOP,
    L_WHOLE,
    L_WORD_END,
    L_WORDS,
    L_WRITTEN,
    POLICY,
    R_AS_WRITTEN,
    R_PLAIN,
    describe,
)
from gristmill.data.filters.phrases import (
    IPSUM,
    JAVASCRIPT_LETTERS,
    LOREM,
    citation_end,
    is_policy,
    stands,
)
from gristmill.data.filters.scanning import (
    BITS,
    BREAK,
    CLOSING,
    DIGIT,
    END,
    HIGH,
    LETTER,
    MARK,
    PHRASE,
    SPACE,
    SPECIAL,
    UPPER,
    count_marked,
    lowest,
    mark_text,
    ones,
    plane_step,
    width_of,
    window,
)
from gristmill.data.filters.word_bytes import (
    SPACE_BYTE,
    hash_bytes,
    hash_letters,
    hash_line,
    hash_word,
    space_width,
)
from gristmill.data.filters.word_numbers import (
    HINT_NUMBERS,
    W_ALPHAS,
    W_CURLY,
    W_ELLIPSES,
    W_ENDS,
    W_HASHES,
    W_LENGTH,
    W_UPPERS,
    W_WORDLIKE,
    count_ellipses,
    decode_word,
    is_wordlike,
    look_for_hints,
)
from gristmill.tokenizer.eight_bytes import kernel

LOOK_CITATION: Final = 1
_ZERO = np.uint64(0)


@kernel
def _before_line_feed(data, i, stop):  # type: ignore[no-untyped-def]
    """Whether a carriage return and line feed stand at i, which end one line."""
    return data[i] == 13 and i + 1 < stop and data[i + 1] == 10


@kernel
def read_text(  # type: ignore[no-untyped-def]
    data, start, stop, kinds, classes, lowers, rules, word_hash, core_hash, word_length, words,
    planes, tail, word, hints, lines, hashes, row,
):  # fmt: skip
    """Reads data[start:stop]: words into word_hash[words:] and so on, a row of `lines` and of
    `hashes` for each line (`line_counts`), blank ones too, all other counts into `row`. Returns how
    many words there are then, and how many lines.

    planes, tail: room for `mark_text`; word, hints: for WORD_NUMBERS and HINT_NUMBERS.
    """
    as_written, plain = rules[R_AS_WRITTEN] != 0, rules[R_PLAIN] != 0
    step = plane_step(stop - start)
    mark_text(data, start, stop, planes, step, tail)
    for k in range(HINT_NUMBERS):
        hints[k] = 0
    first_word, count = words, 0
    symbol_words = word_characters = alpha_words = longest_word = 0
    hashes_signs = ellipses = curly = newlines = looks = 0
    uppers = count_marked(planes, UPPER * step, stop - start)
    # Bytes so far that begin no character: positions less these are characters.
    extra = 0
    word_end, word_end_extra = start, 0
    # The line that is being read, and as it is written.
    line_start, line_start_extra = start, 0
    first, first_extra = start, 0
    feed, feed_extra = start, 0
    line_words = line_longest = line_sentences = line_curly = line_lorem = flags = 0
    line_open = False
    i = start
    while True:
        event = 0
        width = 1
        # Most white space ends no line and is passed over at once.
        gap = lowest(~window(planes, SPACE * step, i - start))
        if gap < BITS and window(planes, BREAK * step, i - start) & ((1 << gap) - 1) == 0:
            i += gap
        elif i >= stop:
            event = ENDS
        else:
            byte = data[i]
            kind = kinds[byte]
            if kind & SPACE_BYTE:
                if byte == 10:
                    event = FEEDS
                    newlines += 1
                elif as_written and (9 < byte < 31) and not _before_line_feed(data, i, stop):
                    event = BREAKS
                else:
                    i += 1
                    continue
            else:
                width = space_width(data, i, stop)
                extra += width - 1
                third = data[i + 2] if width == 3 else np.uint8(0)
                line_separator = byte == 0xE2 and data[i + 1] == 0x80 and 0xA8 <= third <= 0xA9
                if as_written and ((byte == 0xC2 and data[i + 1] == 0x85) or line_separator):
                    event = BREAKS
                else:
                    i += width
                    continue
        if event == 0:
            if line_words == 0:
                first, first_extra = i, extra
            bit = i - start
            size = lowest(window(planes, SPACE * step, bit))
            inside = (1 << (size if size < BITS else BITS)) - 1
            special = window(planes, SPECIAL * step, bit) & inside
            if size > BITS or (special and window(planes, HIGH * step, bit) & inside):
                # A long word, or one with characters beyond ASCII.
                j = i + (size if size < BITS else BITS)
                while j < stop and window(planes, SPACE * step, j - start) & 1 == 0:
                    j += 1
                word_hash[words] = hash_bytes(data, i, j)
                core_hash[words] = decode_word(data, i, j, classes, lowers, word)
                length = word[W_LENGTH]
                extra += j - i - length
                hashes_signs += word[W_HASHES]
                ellipses += word[W_ELLIPSES]
                uppers += word[W_UPPERS]
                curly += word[W_CURLY]
                line_curly += word[W_CURLY]
                if word[W_WORDLIKE]:
                    word_characters += length
                else:
                    symbol_words += 1
                alpha_words += word[W_ALPHAS]
                ends = word[W_ENDS] != 0
                hinted = False
                phrase = 0
                at = i
                while at < j:
                    bit = at - start
                    inside = (1 << (j - at if j - at < BITS else BITS)) - 1
                    hinted |= window(planes, DIGIT * step, bit) & inside != 0
                    found = window(planes, MARK * step, bit) & inside
                    while found:
                        place = at + lowest(found)
                        found &= found - 1
                        byte = data[place]
                        hinted |= byte == 64 or byte == 58
                        if byte == 91 and citation_end(data, place, stop):
                            flags |= CITED
                    found = window(planes, PHRASE * step, bit) & inside
                    phrase |= found
                    while found:
                        if stands(data, at + lowest(found), i, j, JAVASCRIPT_LETTERS):
                            flags |= JAVASCRIPT
                        found &= found - 1
                    at += BITS
            else:
                j = i + size
                length = size
                letters = window(planes, LETTER * step, bit) & inside
                capitals = window(planes, UPPER * step, bit) & inside
                alnums = letters
                ends = hinted = False
                phrase = 0
                if special:
                    found = window(planes, DIGIT * step, bit) & inside
                    alnums |= found
                    hinted = found != 0
                    found = window(planes, END * step, bit) & inside
                    if found:
                        # Behind the first of them nothing else but closing marks. 'U.S.' and a
                        # single letter with a dot end a sentence only at a line's end.
                        closing = window(planes, CLOSING * step, bit)
                        after = inside & -(found & -found) & ~(found | closing)
                        ends = after == 0 and ones(alnums) != 1
                        if found & (found >> 1) & (found >> 2):
                            ellipses += count_ellipses(data, i, j)
                    found = window(planes, MARK * step, bit) & inside
                    while found:
                        at = i + lowest(found)
                        found &= found - 1
                        byte = data[at]
                        if byte == 35:
                            hashes_signs += 1
                        elif byte == 123:
                            curly += 1
                            line_curly += 1
                        elif byte == 91:
                            if citation_end(data, at, stop):
                                flags |= CITED
                        else:
                            hinted = True
                    phrase = window(planes, PHRASE * step, bit) & inside
                    found = phrase
                    while found:
                        if stands(data, i + lowest(found), i, j, JAVASCRIPT_LETTERS):
                            flags |= JAVASCRIPT
                        found &= found - 1
                alpha_words += letters != 0
                whole = hash_word(data, i, size)
                word_hash[words] = whole
                if alnums:
                    if capitals or alnums & 1 == 0 or width_of(alnums) < size:
                        at = lowest(alnums)
                        whole = hash_letters(data, i + at, width_of(alnums) - at)
                else:
                    whole = _ZERO
                core_hash[words] = whole
                if (alnums and plain) or is_wordlike(data, i, j, classes):
                    word_characters += length
                else:
                    symbol_words += 1
            line_sentences += ends
            line_open = not ends
            if hinted:
                look_for_hints(data, word_end, i, j, hints)
            else:
                hints[1] = 0
            if phrase:
                if is_policy(data, i, j, start, stop):
                    flags |= POLICY
                blind = stands(data, i, i, j, IPSUM)
                line_lorem += blind and stands(data, i - 6, start, stop, LOREM)
            word_length[words] = length
            line_longest = length if length > line_longest else line_longest
            words += 1
            line_words += 1
            word_end, word_end_extra = j, extra
            i = j
            continue
        # A line ends at i.
        line = lines[count]
        line[L_START] = line_start
        line[L_STOP] = i
        line[L_WHOLE] = (i - line_start) - (extra - line_start_extra)
        line[L_WORDS] = line_words
        if line_words:
            flags |= describe(data, first, word_end, classes)
            line[L_FIRST] = first
            line[L_WORD_END] = word_end
            line[L_LONGEST] = line_longest
            line[L_SENTENCES] = line_sentences + line_open
            line[L_CURLY] = line_curly
            line[L_LOREM] = line_lorem
            line[L_LENGTH] = (word_end - first) - (word_end_extra - first_extra)
            hashes[count, 0] = hash_line(data, first, word_end)
            longest_word = line_longest if line_longest > longest_word else longest_word
            looks |= LOOK_CITATION if flags & CITED else 0
        if as_written and event != BREAKS:
            whole = hashes[count, 0]
            if line_words == 0 or feed != first or i != word_end:
                whole = hash_line(data, feed, i)
            hashes[count, 1] = whole
            line[L_WRITTEN] = (i - feed) - (extra - feed_extra)
            feed, feed_extra = i + 1, extra
        line[L_FLAGS] = flags | event
        count += 1
        if event == ENDS:
            break
        i += width
        line_start, line_start_extra = i, extra
        line_words = line_longest = line_sentences = line_curly = line_lorem = flags = 0
        line_open = False
    # In the order of NAMES.
    row[0] = stop - start - extra
    row[1] = words - first_word
    row[2] = symbol_words
    row[3] = word_characters
    row[4] = alpha_words
    row[5] = longest_word
    row[6] = hashes_signs
    row[7] = ellipses
    row[8] = count_marked(planes, DIGIT * step, stop - start)
    row[9] = uppers
    row[10] = curly
    row[11] = newlines
    row[27] = looks
    row[29] = hints[0]
    return words, count
