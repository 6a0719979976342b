"""The compiled pass over the bytes of a batch of texts: words, lines, paragraphs and their counts.

It is one of three that are called for themselves, with `word_counts` and `repetition`. What it
calls stands in `text_reading`, `line_counts`, `bare_lines`, `word_bytes`, `word_numbers`,
`phrases`, `scanning` and `ngrams`; numba's cache does not notice an edit there, so that after one
the files *.nbi in `__pycache__` have to go. Nothing that is compiled here makes arrays, and no
number is handed over as it is written (`f(1)`), which would have `f` compiled once more for it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gristmill.data.filters.bare_lines import cut_line, take_over
from gristmill.data.filters.line_counts import (
    BREAKS,
    FEEDS,
    L_FLAGS,
    L_START,
    L_STOP,
    R_CITATIONS,
    count_lines,
    count_paragraphs,
)
from gristmill.data.filters.statistic_names import INDEX
from gristmill.data.filters.text_reading import LOOK_CITATION, read_text
from gristmill.tokenizer.eight_bytes import kernel

_CHARACTERS: Final = INDEX["characters"]
_LOOKS: Final = INDEX["looks"]
_PARAGRAPHS: Final = INDEX["paragraphs"]
_FIRST = np.int64(0)


@kernel
def read_texts(  # type: ignore[no-untyped-def]
    data, offsets, kinds, classes, lowers, rules, word_hash, core_hash, word_length, starts,
    kept, kept_starts, planes, tail, word, hints, lines, hashes, key, room, bare_text, spare_hash,
    spare_length, spare_lines, spare_hashes, spare_kept, spare_row, bare, out,
):  # fmt: skip
    """Reads each text data[offsets[d]:offsets[d + 1]] (UTF-8) once.

    Writes its words at [starts[d], starts[d + 1]) of word_hash, core_hash (0 for a word without
    letters and digits) and word_length (code points); the lines that C4 keeps at
    [kept_starts[d], kept_starts[d + 1]) of `kept`, int64 [:, 3]: first byte, end, whether a blank
    line stands before it; and its counts into out[d]. rules: `LineRules.numbers`.

    Where citation marks are to be removed, the counts of the texts that hold one go into `bare`,
    without them; of those only what concerns lines and C4, characters and words are right. Returns
    how many texts they are. All other arrays are room, see `statistics.read`.
    """
    words = kept_lines = _FIRST
    cited = 0
    for document in range(len(offsets) - 1):
        start, stop = offsets[document], offsets[document + 1]
        starts[document] = words
        kept_starts[document] = kept_lines
        row = out[document]
        words, count = read_text(
            data, start, stop, kinds, classes, lowers, rules, word_hash, core_hash, word_length,
            words, planes, tail, word, hints, lines, hashes, row,
        )  # fmt: skip
        kept_lines = count_lines(lines, hashes, count, rules, key, kept, kept_lines, row)
        if row[_PARAGRAPHS] < 0:
            count_paragraphs(data, lines, count, key, row)
        if rules[R_CITATIONS] and row[_LOOKS] & LOOK_CITATION:
            of_bare = bare[cited]
            for column in range(len(row)):
                of_bare[column] = row[column]
            first: Any = _FIRST
            for r in range(count):
                how = lines[r, L_FLAGS] & 3
                if how == BREAKS:
                    continue
                size = cut_line(data, lines, first, r, room)
                if size >= 0:
                    long = lines[r, L_STOP] - lines[first, L_START] + (how == FEEDS)
                    of_bare[_CHARACTERS] += size - long
                    read_text(
                        bare_text, _FIRST, size, kinds, classes, lowers, rules, spare_hash,
                        spare_hash, spare_length, _FIRST, planes, tail, word, hints, spare_lines,
                        spare_hashes, spare_row,
                    )  # fmt: skip
                    take_over(lines, hashes, first, r, spare_lines, spare_hashes, of_bare)
                first = r + 1
            count_lines(lines, hashes, count, rules, key, spare_kept, _FIRST, of_bare)
            cited += 1
    starts[len(offsets) - 1] = words
    kept_starts[len(offsets) - 1] = kept_lines
    return cited
