"""The compiled pass over the bytes of a batch of texts: words, lines, paragraphs and their counts.

It is one of three that are called for themselves, with `word_counts` and `repetition`. What it
calls stands in `word_bytes`, `word_numbers`, `phrases`, `scanning` and `ngrams`; numba's cache does
not notice an edit there, so that after one the files *.nbi in `__pycache__` have to go.

A text's bytes are classified first, 64 at a time (`scanning`): where a word of ASCII ends, its
capitals and where its letters begin are read off those bits, and it is hashed eight bytes at a
time. Longer words and those with other characters are decoded. Lines and paragraphs are compared
by 64-bit hashes; a table of hashes is emptied by counting up its epoch: a place whose stamp is not
the epoch is empty.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from gristmill.data.filters.characters import BULLET, FINEWEB_END, LINE_END
from gristmill.data.filters.phrases import (
    L_IPSUM,
    L_JAVASCRIPT,
    L_LOREM,
    citation_end,
    is_policy,
    stands,
)
from gristmill.data.filters.scanning import (
    AHEAD,
    BITS,
    BLOCK,
    BREAK,
    CLOSING,
    DIGIT,
    END,
    HIGH,
    LETTER,
    MARK,
    PHRASE,
    PLANES,
    SPACE,
    SPECIAL,
    UPPER,
    lowest,
    mark_text,
    ones,
    plane_step,
    width_of,
    window,
)
from gristmill.data.filters.statistic_names import INDEX
from gristmill.data.filters.word_bytes import (
    HINT,
    SPACE_BYTE,
    decode,
    hash_bytes,
    hash_core,
    hash_letters,
    hash_word,
    space_width,
)
from gristmill.data.filters.word_numbers import (
    W_ALPHAS,
    W_CORE_START,
    W_CORE_STOP,
    W_CURLY,
    W_DIGITS,
    W_ELLIPSES,
    W_ENDS,
    W_HASHES,
    W_LENGTH,
    W_UPPERS,
    W_WORDLIKE,
    WORD_NUMBERS,
    count_ellipses,
    decode_word,
    is_wordlike,
    look_for_hints,
)
from gristmill.data.ngrams import MIX_1, mix
from gristmill.tokenizer.eight_bytes import kernel

LOOK_CITATION: Final = 1
_LINES = INDEX["lines"]  # and the five repetitions after it
_ZERO = np.uint64(0)
# So that equal hashes of a line, a kept line and a paragraph are not taken for each other.
_KEPT_SALT, _PARAGRAPH_SALT = np.uint64(0xC4), np.uint64(0xA1)


@kernel
def _before_line_feed(data, i, stop):  # type: ignore[no-untyped-def]
    """Whether a carriage return and line feed stand at i, which end one line."""
    return data[i] == 13 and i + 1 < stop and data[i + 1] == 10


@kernel
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


@kernel
def _mask(count):  # type: ignore[no-untyped-def]
    """One less than a power of two of at least twice `count`: a small document uses only the
    beginning of a table, which then stays in the processor's cache."""
    size = 64
    while size < 2 * count:
        size *= 2
    return size - 1


@kernel
def _most_lines(data, start, stop, as_written):  # type: ignore[no-untyped-def]
    """At least so many lines; as they are written, several characters end one."""
    count = 2
    if as_written:
        for i in range(start, stop):
            byte = data[i]
            count += (byte < 31) | (byte == 0x85) | (byte == 0xA8) | (byte == 0xA9)
    else:
        for i in range(start, stop):
            count += data[i] == 10
    return count


@njit(cache=True, nogil=True)
def read_texts(  # type: ignore[no-untyped-def]
    data, offsets, kinds, classes, lowers, rules, word_hash, core_hash, word_length,
    starts, kept, kept_starts, out,
):  # fmt: skip
    """Reads each text data[offsets[d]:offsets[d + 1]] (UTF-8) once.

    Writes its words at [starts[d], starts[d + 1]) of word_hash, core_hash (0 for a word without
    letters and digits) and word_length (code points); the lines that C4 keeps at
    [kept_starts[d], kept_starts[d + 1]) of `kept`, int64 [:, 3]: first byte, end, whether a blank
    line stands before it; and its counts into out[d].
    rules: `LineRules.numbers`.
    """
    # For each line: itself, the line as kept, and its paragraph.
    masks = np.empty(len(offsets), np.int64)
    longest = 0
    for document in range(len(offsets) - 1):
        most = _most_lines(data, offsets[document], offsets[document + 1], rules[6])
        masks[document] = _mask(3 * most)
        longest = max(longest, offsets[document + 1] - offsets[document])
    size = masks[: len(offsets) - 1].max() + 1
    key = np.empty(size, np.uint64)
    stamp = np.zeros(size, np.int32)
    planes = np.empty(PLANES * plane_step(longest), np.uint8)
    tail = np.empty(BLOCK + AHEAD, np.uint8)
    hints = np.zeros(4, np.int64)
    word = np.zeros(WORD_NUMBERS, np.int64)
    words = lines = 0
    for document in range(len(offsets) - 1):
        start, stop = offsets[document], offsets[document + 1]
        starts[document] = words
        kept_starts[document] = lines
        step = plane_step(stop - start)
        mark_text(data, start, stop, planes, step, tail)
        words, lines = _read_text(
            data, start, stop, kinds, classes, lowers, rules, word_hash, core_hash, word_length,
            words, kept, lines, key, stamp, document + 1, masks[document], planes, step, hints,
            word, out[document],
        )  # fmt: skip
    starts[len(offsets) - 1] = words
    kept_starts[len(offsets) - 1] = lines


@kernel
def _count_paragraphs(data, first, stop, key, stamp, epoch, mask, row):  # type: ignore[no-untyped-def]
    """Paragraphs as they are written: between runs of at least two line feeds of [first, stop),
    which begins and ends with a word."""
    paragraphs = repeated = characters = 0
    start = i = first
    while i <= stop:
        if i == stop or (data[i] == 10 and data[i + 1] == 10):
            paragraphs += 1
            wanted = mix(hash_bytes(data, start, i) ^ _PARAGRAPH_SALT)
            if _seen(key, stamp, epoch, mask, wanted):
                repeated += 1
                characters += _characters(data, start, i)
            while i < stop and data[i] == 10:
                i += 1
            start = i
        i += 1
    row[_LINES + 3] = paragraphs
    row[_LINES + 4] = repeated
    row[_LINES + 5] = characters


@kernel
def _characters(data, start, stop):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(start, stop):
        if data[i] & 0xC0 != 0x80:
            count += 1
    return count


@kernel
def _read_text(  # type: ignore[no-untyped-def]
    data, start, stop, kinds, classes, lowers, rules, word_hash, core_hash, word_length,
    words, kept, kept_lines, key, stamp, epoch, mask, planes, step, hints, word, row,
):  # fmt: skip
    short_line, least_words, longest_allowed = rules[0], rules[1], rules[2]
    terminal, no_javascript, no_policy = rules[3], rules[4], rules[5]
    as_written, plain = rules[6] != 0, rules[7] != 0
    first_word, first_kept = words, kept_lines
    symbol_words = word_characters = alpha_words = longest_word = 0
    hashes = ellipses = digits = uppers = curly = newlines = breaks = lorem = looks = 0
    lines = bullet_lines = ellipsis_lines = ended_lines = short_lines = prose_words = 0
    duplicate_lines = duplicate_line_characters = 0
    paragraphs = duplicate_paragraphs = duplicate_paragraph_characters = 0
    paragraph_state = _ZERO
    paragraph_length = paragraph_lines = 0
    sentences = c4_words = c4_characters = c4_newlines = c4_ended = c4_short = c4_repeated = 0
    c4_curly = c4_lorem = 0
    # Bytes so far that begin no character: positions less these are characters.
    extra = 0
    word_end, word_end_extra = start, 0
    # The line that is being read.
    line_start, line_start_extra = start, 0
    first, first_extra = start, 0
    line_words = line_longest = line_sentences = line_curly = line_lorem = 0
    line_open = line_javascript = line_policy = False
    blank_before = False
    text_first = -1
    # The line as it is written.
    feed = start
    written_lines = 0
    empty_lines = False
    # What personal data may be here.
    hints[:] = 0  # see `word_numbers.look_for_hints`
    i = start
    while True:
        event = 0  # 1: a line ends, 2: by a line feed, 3: with the text
        width = 1
        # Most white space ends no line and is passed over at once.
        gap = lowest(~window(planes, SPACE * step, i - start))
        if gap < BITS and window(planes, BREAK * step, i - start) & ((1 << gap) - 1) == 0:
            i += gap
        elif i >= stop:
            event = 3
        else:
            byte = data[i]
            kind = kinds[byte]
            if kind & SPACE_BYTE:
                if byte == 10:
                    event = 2
                    newlines += 1
                elif as_written and (9 < byte < 31) and not _before_line_feed(data, i, stop):
                    event = 1
                else:
                    i += 1
                    continue
            else:
                width = space_width(data, i, stop)
                extra += width - 1
                third = data[i + 2] if width == 3 else np.uint8(0)
                line_separator = byte == 0xE2 and data[i + 1] == 0x80 and 0xA8 <= third <= 0xA9
                if as_written and ((byte == 0xC2 and data[i + 1] == 0x85) or line_separator):
                    event = 1
                else:
                    i += width
                    continue
        if event == 0:
            if text_first < 0:
                text_first = i
            if line_words == 0:
                first, first_extra = i, extra
            bit = i - start
            size = lowest(window(planes, SPACE * step, bit))
            inside = (1 << min(size, BITS)) - 1
            special = window(planes, SPECIAL * step, bit) & inside
            if size > BITS or (special and window(planes, HIGH * step, bit) & inside):
                # A long word, or one with characters beyond ASCII.
                j = i + min(size, BITS)
                while j < stop and window(planes, SPACE * step, j - start) & 1 == 0:
                    j += 1
                word_hash[words] = hash_bytes(data, i, j)
                decode_word(data, i, j, classes, word)
                length = word[W_LENGTH]
                extra += j - i - length
                hashes += word[W_HASHES]
                ellipses += word[W_ELLIPSES]
                digits += word[W_DIGITS]
                uppers += word[W_UPPERS]
                curly += word[W_CURLY]
                line_curly += word[W_CURLY]
                if word[W_CORE_START] < 0:
                    core_hash[words] = _ZERO
                else:
                    core_hash[words] = hash_core(
                        data, word[W_CORE_START], word[W_CORE_STOP], lowers
                    )
                if word[W_WORDLIKE]:
                    word_characters += length
                else:
                    symbol_words += 1
                if word[W_ALPHAS]:
                    alpha_words += 1
                ends = word[W_ENDS] != 0
                hinted = False
                for at in range(i, j):
                    byte = data[at]
                    hinted |= kinds[byte] & HINT != 0
                    if byte == 91 and citation_end(data, at, stop):
                        looks |= LOOK_CITATION
                    if byte | 32 == 106:
                        line_javascript |= stands(data, at, i, j, L_JAVASCRIPT)
                line_policy |= is_policy(data, i, j, start, stop)
                phrase = 1
            else:
                j = i + size
                length = size
                letters = window(planes, LETTER * step, bit) & inside
                capitals = window(planes, UPPER * step, bit) & inside
                uppers += ones(capitals)
                alnums = letters
                ends = hinted = False
                phrase = 0
                if special:
                    found = window(planes, DIGIT * step, bit) & inside
                    digits += ones(found)
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
                            hashes += 1
                        elif byte == 123:
                            curly += 1
                            line_curly += 1
                        elif byte == 91:
                            if citation_end(data, at, stop):
                                looks |= LOOK_CITATION
                        else:
                            hinted = True
                    phrase = window(planes, PHRASE * step, bit) & inside
                    if phrase:
                        line_policy |= is_policy(data, i, j, start, stop)
                        found = phrase
                        while found:
                            at = i + lowest(found)
                            found &= found - 1
                            line_javascript |= stands(data, at, i, j, L_JAVASCRIPT)
                alpha_words += letters != 0
                whole = hash_word(data, i, size)
                word_hash[words] = whole
                if alnums:
                    if capitals or alnums & 1 == 0 or width_of(alnums) < size:
                        at = lowest(alnums)
                        whole = hash_letters(data, i + at, width_of(alnums) - at, lowers)
                else:
                    whole = _ZERO
                core_hash[words] = whole
                if (alnums and plain) or is_wordlike(data, i, j, classes):
                    word_characters += length
                else:
                    symbol_words += 1
            if ends:
                line_sentences += 1
            line_open = not ends
            if hinted:
                look_for_hints(data, word_end, i, j, hints)
            else:
                hints[1] = 0
            blind = phrase and stands(data, i, i, j, L_IPSUM)
            if blind and stands(data, i - 6, start, stop, L_LOREM):
                lorem += 1
                line_lorem += 1
            word_length[words] = length
            longest_word = max(longest_word, length)
            line_longest = max(line_longest, length)
            words += 1
            line_words += 1
            word_end, word_end_extra = j, extra
            i = j
            continue
        # A line ends at i; as it is written, at a line feed, and the first of several ends it.
        written_hash = _ZERO
        if as_written and event > 1:
            if i > feed or feed == start or event == 3:
                written_lines += 1
                written_hash = hash_bytes(data, feed, i)
                if _seen(key, stamp, epoch, mask, written_hash):
                    duplicate_lines += 1
                    duplicate_line_characters += _characters(data, feed, i)
                if feed != first or i != word_end:
                    written_hash = _ZERO
            else:
                empty_lines = True
            feed = i + 1
        if event < 3 or i > line_start:
            breaks += 1
        if line_words:
            lines += 1
            code = np.int64(data[word_end - 1])
            if code >= 0x80:
                at = word_end - 1
                while at > first and data[at] & 0xC0 == 0x80:
                    at -= 1
                code = decode(data, at, word_end) >> 3
            last = classes[code] if code < len(classes) else classes[0xFFFD]
            ellipsis = code == 0x2026 or (
                code == 46
                and word_end - first >= 3
                and data[word_end - 2] == 46
                and data[word_end - 3] == 46
            )
            if ellipsis:
                ellipsis_lines += 1
            closes = last & LINE_END != 0
            if last & FINEWEB_END:
                ended_lines += 1
            code = np.int64(data[first])
            if code >= 0x80:
                code = decode(data, first, word_end) >> 3
            if code < len(classes) and classes[code] & BULLET:
                bullet_lines += 1
            length = (word_end - first) - (word_end_extra - first_extra)
            if length <= short_line:
                short_lines += 1
            if line_words >= 12 or (closes and line_words >= 5):
                prose_words += line_words
            line_hash = _ZERO
            keeps = (
                line_words >= least_words
                and line_longest <= longest_allowed
                and (terminal == 0 or (closes and not ellipsis))
            )
            if as_written:
                c4_lorem += line_lorem if keeps else 0
                keeps = keeps and not (no_javascript and line_javascript)
                c4_curly += line_curly if keeps else 0
            elif no_javascript and line_javascript:
                keeps = False
            if no_policy and line_policy:
                keeps = False
            if written_hash:
                line_hash = written_hash
            elif keeps or not as_written:
                line_hash = hash_bytes(data, first, word_end)
            if keeps:
                sentences += line_sentences + (1 if line_open else 0)
                c4_words += line_words
                if kept_lines > first_kept:
                    c4_newlines += 2 if blank_before else 1
                if as_written:
                    kept[kept_lines, 0] = first
                    kept[kept_lines, 1] = word_end
                    c4_characters += length
                else:
                    kept[kept_lines, 0] = line_start
                    kept[kept_lines, 1] = i
                    c4_characters += (i - line_start) - (extra - line_start_extra)
                kept[kept_lines, 2] = blank_before and kept_lines > first_kept
                kept_lines += 1
                blank_before = False
                if last & FINEWEB_END:
                    c4_ended += 1
                if length <= short_line:
                    c4_short += 1
                if _seen(key, stamp, epoch, mask, mix(line_hash ^ _KEPT_SALT)):
                    c4_repeated += length
            if not as_written:
                if _seen(key, stamp, epoch, mask, line_hash):
                    duplicate_lines += 1
                    duplicate_line_characters += length
                paragraph_state = mix(paragraph_state ^ line_hash) * MIX_1
                paragraph_length += length + (1 if paragraph_lines else 0)
                paragraph_lines += 1
        elif not as_written:
            blank_before = True
        if (line_words == 0 or event == 3) and paragraph_lines:
            paragraphs += 1
            if _seen(key, stamp, epoch, mask, mix(paragraph_state ^ _PARAGRAPH_SALT)):
                duplicate_paragraphs += 1
                duplicate_paragraph_characters += paragraph_length
            paragraph_state = _ZERO
            paragraph_length = paragraph_lines = 0
        if event == 3:
            break
        i += width
        line_start, line_start_extra = i, extra
        line_words = line_longest = line_sentences = line_curly = line_lorem = 0
        line_open = line_javascript = line_policy = False
    split_lines = lines
    if as_written:
        lines, split_lines = written_lines, breaks
        paragraphs = 1 if text_first >= 0 else 0
    else:
        c4_curly, c4_lorem = curly, lorem
    row[_LINES] = lines
    row[_LINES + 1] = duplicate_lines
    row[_LINES + 2] = duplicate_line_characters
    row[_LINES + 3] = paragraphs
    row[_LINES + 4] = duplicate_paragraphs
    row[_LINES + 5] = duplicate_paragraph_characters
    if as_written and empty_lines and text_first >= 0:
        _count_paragraphs(data, text_first, word_end, key, stamp, epoch, mask, row)
    # In the order of NAMES.
    row[0] = stop - start - extra
    row[1] = words - first_word
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
    row[12] = split_lines
    row[13] = bullet_lines
    row[14] = ellipsis_lines
    row[15] = ended_lines
    row[16] = short_lines
    row[17] = kept_lines - first_kept
    row[18] = sentences
    row[19] = c4_words
    row[20] = c4_characters
    row[21] = c4_newlines
    row[22] = c4_ended
    row[23] = c4_short
    row[24] = c4_repeated
    row[25] = c4_curly
    row[26] = c4_lorem
    row[27] = looks
    row[28] = prose_words
    row[29] = hints[0]
    return words, kept_lines
