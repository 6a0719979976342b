"""The compiled counts of a text's lines and paragraphs: repeated ones, those that C4 keeps.

Compiled into `kernel.read_texts`, whose cache does not notice an edit here: after one, the files
*.nbi in `__pycache__` have to go. Lines and paragraphs are compared by 64-bit hashes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gristmill.data.filters.characters import BULLET, FINEWEB_END, LINE_END
from gristmill.data.filters.scanning import ones
from gristmill.data.filters.statistic_names import INDEX
from gristmill.data.filters.word_bytes import decode, hash_line
from gristmill.data.ngrams import MIX_1, mix
from gristmill.tokenizer.eight_bytes import kernel, load8

# What is known of a line when it ends. WHOLE and WRITTEN are lengths in characters: from its first
# byte to its end, and of the line as it is written, which may be several lines (`lines` of
# `CountingRules`); LENGTH is that from its first word to its last.
(
    L_START, L_STOP, L_FIRST, L_WORD_END, L_WORDS, L_LONGEST, L_SENTENCES, L_CURLY, L_LOREM,
    L_FLAGS, L_LENGTH, L_WHOLE, L_WRITTEN, LINE_NUMBERS,
) = range(14)  # fmt: skip
# How it ends, the lowest two bits: without a line feed, with one, with the text.
BREAKS, FEEDS, ENDS = 1, 2, 3
JAVASCRIPT, POLICY, CLOSES, ELLIPSIS, ENDED, BULLETED, CITED = (1 << bit for bit in range(2, 9))

# Places of `LineRules.numbers`.
(
    R_SHORT, R_LEAST_WORDS, R_LONGEST, R_TERMINAL, R_JAVASCRIPT, R_POLICY, R_AS_WRITTEN,
    R_CITATIONS, R_PLAIN,
) = range(9)  # fmt: skip

_LINES: Final = INDEX["lines"]  # and the five repetitions after it
_FIRST_C4: Final = INDEX["c4_lines"]  # and the others of C4
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_NOWHERE = np.int64(-1)
_EACH, _HIGHEST = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_LINE_FEEDS, _BELOW_31 = np.uint64(10) * _EACH, np.uint64(31) * _EACH
# The last bytes of U+0085, U+2028 and U+2029.
_SEPARATORS = (np.uint64(0x85) * _EACH, np.uint64(0xA8) * _EACH, np.uint64(0xA9) * _EACH)
# So that equal hashes of a line, a kept line and a paragraph are not taken for each other.
_KEPT_SALT, _PARAGRAPH_SALT = np.uint64(0xC4), np.uint64(0xA1)


@kernel
def most_lines(data, start, stop, as_written):  # type: ignore[no-untyped-def]
    """data[start:stop] has no more lines; eight bytes at a time, so that it may be some fewer. As
    they are written, several characters end one."""
    count = 2
    at = start
    while at + 8 <= stop:
        chunk = load8(data, at)
        if as_written:
            found = (chunk - _BELOW_31) & ~chunk
            for last in _SEPARATORS:
                other = chunk ^ last
                found |= (other - _EACH) & ~other
        else:
            other = chunk ^ _LINE_FEEDS
            found = (other - _EACH) & ~other
        count += ones(np.int64(found & _HIGHEST))
        at += 8
    return count + stop - at


def table_of(most: int) -> int:
    """Places that `most` lines need in the table of hashes."""
    return 1 << max(6, (6 * most - 1).bit_length())


@kernel
def describe(data, first, word_end, classes):  # type: ignore[no-untyped-def]
    """What the first and the last character of a line's words say, as flags."""
    flags = 0
    code = np.int64(data[word_end - 1])
    if code >= 0x80:
        at = word_end - 1
        while at > first and data[at] & 0xC0 == 0x80:
            at -= 1
        code = decode(data, at, word_end) >> 3
    last = classes[code] if code < len(classes) else classes[0xFFFD]
    if code == 0x2026 or (
        code == 46
        and word_end - first >= 3
        and data[word_end - 2] == 46
        and data[word_end - 3] == 46
    ):
        flags |= ELLIPSIS
    if last & LINE_END:
        flags |= CLOSES
    if last & FINEWEB_END:
        flags |= ENDED
    code = np.int64(data[first])
    if code >= 0x80:
        code = decode(data, first, word_end) >> 3
    if code < len(classes) and classes[code] & BULLET:
        flags |= BULLETED
    return flags


@kernel
def count_lines(lines, hashes, count, rules, key, kept, kept_lines, row):  # type: ignore[no-untyped-def]
    """From what is known of each of `count` lines, into the text's row; the lines that C4 keeps
    into kept[kept_lines:]. Returns how many `kept` has then.

    hashes: uint64 [lines, 2], of a line from its first word to its last, and as it is written.
    key: the table, whatever it holds. Where paragraphs as they are written have to be looked for,
    their number is -1 (`count_paragraphs`).
    """
    terminal, as_written = rules[R_TERMINAL] != 0, rules[R_AS_WRITTEN] != 0
    no_javascript, no_policy = rules[R_JAVASCRIPT] != 0, rules[R_POLICY] != 0
    # A small text uses only the beginning of the table, which stays in the processor's cache.
    size = 64
    while size < 6 * count:
        size *= 2
    for place in range(size):
        key[place] = _ZERO
    mask = np.uint64(size - 1)
    first_kept = kept_lines
    worded = breaks = bulleted = ellipses = ended = short = prose = 0
    written = repeated = repeated_characters = 0
    paragraphs = repeated_paragraphs = paragraph_characters = 0
    paragraph, paragraph_length, paragraph_lines = _ZERO, 0, 0
    sentences = words = characters = feeds = kept_ended = kept_short = kept_repeated = 0
    curly = lorem = 0
    blank_before = empty_lines = False
    first_written = True
    for r in range(count):
        line = lines[r]
        flags, length, of_line = line[L_FLAGS], line[L_LENGTH], line[L_WORDS]
        how = flags & 3
        if as_written and how != BREAKS:
            if line[L_WRITTEN] or first_written or how == ENDS:
                written += 1
                if _seen(key, mask, hashes[r, 1]):
                    repeated += 1
                    repeated_characters += line[L_WRITTEN]
            else:
                empty_lines = True
            first_written = False
        if how != ENDS or line[L_STOP] > line[L_START]:
            breaks += 1
        if of_line:
            worded += 1
            closes = flags & CLOSES != 0
            ellipsis = flags & ELLIPSIS != 0
            is_short = length <= rules[R_SHORT]
            bulleted += flags & BULLETED != 0
            ellipses += ellipsis
            ended += flags & ENDED != 0
            short += is_short
            if of_line >= 12 or (closes and of_line >= 5):
                prose += of_line
            keeps = (
                of_line >= rules[R_LEAST_WORDS]
                and line[L_LONGEST] <= rules[R_LONGEST]
                and (not terminal or (closes and not ellipsis))
            )
            if as_written:
                lorem += line[L_LOREM] if keeps else 0
                keeps = keeps and not (no_javascript and flags & JAVASCRIPT)
                curly += line[L_CURLY] if keeps else 0
            else:
                lorem += line[L_LOREM]
                curly += line[L_CURLY]
                keeps = keeps and not (no_javascript and flags & JAVASCRIPT)
            keeps = keeps and not (no_policy and flags & POLICY)
            if keeps:
                sentences += line[L_SENTENCES]
                words += of_line
                if kept_lines > first_kept:
                    feeds += 2 if blank_before else 1
                kept[kept_lines, 0] = line[L_FIRST] if as_written else line[L_START]
                kept[kept_lines, 1] = line[L_WORD_END] if as_written else line[L_STOP]
                kept[kept_lines, 2] = blank_before and kept_lines > first_kept
                characters += length if as_written else line[L_WHOLE]
                kept_lines += 1
                blank_before = False
                kept_ended += flags & ENDED != 0
                kept_short += is_short
                if _seen(key, mask, mix(hashes[r, 0] ^ _KEPT_SALT) | _ONE):
                    kept_repeated += length
            if not as_written:
                if _seen(key, mask, hashes[r, 0]):
                    repeated += 1
                    repeated_characters += length
                paragraph = mix(paragraph ^ hashes[r, 0]) * MIX_1
                paragraph_length += length + (1 if paragraph_lines else 0)
                paragraph_lines += 1
        elif not as_written:
            blank_before = True
        if (of_line == 0 or how == ENDS) and paragraph_lines:
            paragraphs += 1
            if _seen(key, mask, mix(paragraph ^ _PARAGRAPH_SALT) | _ONE):
                repeated_paragraphs += 1
                paragraph_characters += paragraph_length
            paragraph, paragraph_length, paragraph_lines = _ZERO, 0, 0
    if as_written:
        paragraphs = 0
        if worded:
            paragraphs = -1 if empty_lines else 1
    row[_LINES] = written if as_written else worded
    row[_LINES + 1] = repeated
    row[_LINES + 2] = repeated_characters
    row[_LINES + 3] = paragraphs
    row[_LINES + 4] = repeated_paragraphs
    row[_LINES + 5] = paragraph_characters
    row[_FIRST_C4 - 5] = breaks if as_written else worded
    row[_FIRST_C4 - 4] = bulleted
    row[_FIRST_C4 - 3] = ellipses
    row[_FIRST_C4 - 2] = ended
    row[_FIRST_C4 - 1] = short
    row[_FIRST_C4] = kept_lines - first_kept
    row[_FIRST_C4 + 1] = sentences
    row[_FIRST_C4 + 2] = words
    row[_FIRST_C4 + 3] = characters
    row[_FIRST_C4 + 4] = feeds
    row[_FIRST_C4 + 5] = kept_ended
    row[_FIRST_C4 + 6] = kept_short
    row[_FIRST_C4 + 7] = kept_repeated
    row[_FIRST_C4 + 8] = curly
    row[_FIRST_C4 + 9] = lorem
    row[_FIRST_C4 + 11] = prose
    return kept_lines


@kernel
def count_paragraphs(data, lines, count, key, row):  # type: ignore[no-untyped-def]
    """Paragraphs as they are written: between runs of at least two line feeds of what lies between
    the first word and the last. After `count_lines`, with its table."""
    first = stop = _NOWHERE
    for r in range(count):
        if lines[r, L_WORDS]:
            stop = lines[r, L_WORD_END]
            if first < 0:
                first = lines[r, L_FIRST]
    size = 64
    while size < 6 * count:
        size *= 2
    paragraphs = repeated = characters = 0
    start = i = first
    while i <= stop:
        if i == stop or (data[i] == 10 and data[i + 1] == 10):
            paragraphs += 1
            wanted = mix(hash_line(data, start, i) ^ _PARAGRAPH_SALT) | _ONE
            if _seen(key, np.uint64(size - 1), wanted):
                repeated += 1
                for at in range(start, i):
                    characters += data[at] & 0xC0 != 0x80
            while i < stop and data[i] == 10:
                i += 1
            start = i
        i += 1
    row[_LINES + 3] = paragraphs
    row[_LINES + 4] = repeated
    row[_LINES + 5] = characters


@kernel
def _seen(key, mask, wanted):  # type: ignore[no-untyped-def]
    """Whether `wanted`, which is not 0, is in the table; it is afterwards."""
    place = wanted & mask
    while key[place] != _ZERO:
        if key[place] == wanted:
            return True
        place = (place + _ONE) & mask
    key[place] = wanted
    return False
