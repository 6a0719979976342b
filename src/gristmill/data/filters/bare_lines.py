"""Lines without their citation marks, as C4 judges them: of a text only those are read again.

Compiled into `kernel.read_texts`, whose cache does not notice an edit here: after one, the files
*.nbi in `__pycache__` have to go.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gristmill.data.filters.line_counts import (
    CITED,
    FEEDS,
    L_FLAGS,
    L_START,
    L_STOP,
    L_WORDS,
    LINE_NUMBERS,
)
from gristmill.data.filters.phrases import citation_end
from gristmill.data.filters.statistic_names import INDEX
from gristmill.tokenizer.eight_bytes import kernel

_WORDS: Final = INDEX["words"]
_FIRST, _NONE = np.int64(0), np.int64(-1)


@kernel
def cut_citations(data, start, stop, out, at):  # type: ignore[no-untyped-def]
    """Writes data[start:stop] without citation marks to out[at:]; returns where that ends."""
    i = start
    while i < stop:
        end = citation_end(data, i, stop) if data[i] == 91 else 0
        if end:
            i = end
        else:
            out[at] = data[i]
            at += 1
            i += 1
    return at


@kernel
def cut_line(data, lines, first, last, room):  # type: ignore[no-untyped-def]
    """Writes the line of which `lines` has first..last, as it is written, without its citation
    marks to `room`, with its line feed; returns how long it is there, -1 where it holds none."""
    marked = 0
    for k in range(first, last + 1):
        marked |= lines[k, L_FLAGS] & CITED
    if not marked:
        return _NONE
    size = cut_citations(data, lines[first, L_START], lines[last, L_STOP], room, _FIRST)
    if lines[last, L_FLAGS] & 3 == FEEDS:
        room[size] = 10
        size += 1
    return size


@kernel
def take_over(lines, hashes, first, last, bare_lines, bare_hashes, row):  # type: ignore[no-untyped-def]
    """Puts what is known of a line without its marks in place of what was known of it with them;
    `row` has the number of words. Line feeds stay, so that there are as many lines."""
    for k in range(first, last + 1):
        row[_WORDS] += bare_lines[k - first, L_WORDS] - lines[k, L_WORDS]
        for column in range(LINE_NUMBERS):
            lines[k, column] = bare_lines[k - first, column]
        hashes[k, 0] = bare_hashes[k - first, 0]
        hashes[k, 1] = bare_hashes[k - first, 1]
