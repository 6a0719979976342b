"""Every number that the rules need, from one pass over the text.

Words are runs of characters that are no white space (`str.split`). A word's core is its lower case
without the punctuation around it. Lines are what stands between line feeds, stripped; blank lines
are no lines but end a paragraph. Lengths are counted in code points.

The n-gram numbers follow Gopher (Rae et al. 2021, appendix A.1.1, table A1): the characters of the
most frequent 2-, 3- and 4-gram (words joined by a space, times its count), and the characters in
5- to 10-grams that occurred before, not counting overlapping ones twice.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.characters import (
    BULLETS,
    LINE_END_CHARACTERS,
    class_table,
    lower_table,
)
from gristmill.data.filters.kept_lines import KeptLines
from gristmill.data.filters.kernel import read_texts
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.repetition import count_n_grams
from gristmill.data.filters.statistic_names import NAMES
from gristmill.data.filters.word_bytes import byte_kinds
from gristmill.data.filters.word_counts import count_words
from gristmill.data.filters.word_numbers import plain_is_wordlike
from gristmill.data.ngrams import text_buffer

_KINDS = byte_kinds()


class _Scratch(threading.local):
    """What the passes hand on to each other, kept from batch to batch: memory that is new costs as
    much as a third of the work."""

    arrays: tuple[Any, ...] = ()

    def of(self, room: int) -> tuple[Any, ...]:
        """Hashes, core hashes, lengths and counts of `room` words, and places of kept lines."""
        if not self.arrays or len(self.arrays[0]) < room:
            self.arrays = (
                np.empty(room, np.uint64),
                np.empty(room, np.uint64),
                np.empty(room, np.int32),
                np.empty(room, np.int32),
                np.empty((room, 3), np.int64),
            )
        return self.arrays


_SCRATCH = _Scratch()


@dataclass(frozen=True)
class LineRules:
    """What C4 asks of a line, how long a short line is for FineWeb, and how things are counted."""

    short_line: int = 30
    c4_min_words: int = 5
    c4_max_word: int = 1000
    c4_terminal: bool = True
    c4_javascript: bool = True
    c4_policy: bool = True
    as_written: bool = False
    """Lines and paragraphs with the white space around them, blank lines counted as lines."""
    exact_stops: bool = False
    """Stop words only as they are written in the list."""
    line_end: str = LINE_END_CHARACTERS
    fineweb_end: str = LINE_END_CHARACTERS
    bullets: str = BULLETS
    symbols: str | None = None
    """The characters of which alone no word consists; None for all but letters and digits."""

    def numbers(self) -> npt.NDArray[np.int64]:
        """What the compiled pass takes."""
        return np.array(
            [
                self.short_line,
                self.c4_min_words,
                self.c4_max_word,
                self.c4_terminal,
                self.c4_javascript,
                self.c4_policy,
                self.as_written,
            ],
            dtype=np.int64,
        )


@dataclass(frozen=True)
class Statistics:
    """int64 [documents, NAMES + 2 * categories]; for each category of the lexicon the words that
    its phrases cover (`covered:NAME`) and the number of matches (`hits:NAME`)."""

    values: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> npt.NDArray[np.int64]:
        return self.values[:, self.names.index(name)]

    def of_kept_lines(self) -> Statistics:
        """What FineWeb's rules need of the texts that C4 leaves; the rest as it was."""
        values = self.values.copy()
        for name in ("lines", "words", "newlines", "ended_lines", "short_lines"):
            values[:, self.names.index(name)] = self[f"c4_{name}"]
        repeated = self.names.index("duplicate_line_characters")
        values[:, repeated] = self["c4_duplicate_line_characters"]
        values[:, self.names.index("characters")] = self["c4_characters"] + self["c4_newlines"]
        return Statistics(values, self.names)

    def of(self, row: int) -> dict[str, int]:
        """One document's numbers by name."""
        return dict(zip(self.names, self.values[row].tolist(), strict=True))


def text_statistics(
    texts: Sequence[str] | pa.Array | pa.ChunkedArray,
    lexicon: Lexicon,
    rules: LineRules | None = None,
) -> Statistics:
    """The statistics of each text."""
    return read(texts, lexicon, rules)[0]


def read(
    texts: Sequence[str] | pa.Array | pa.ChunkedArray,
    lexicon: Lexicon,
    rules: LineRules | None = None,
    *,
    words_only: bool = False,
) -> tuple[Statistics, KeptLines]:
    """The statistics of each text and the lines of it that C4 keeps.

    words_only: word lists and n-grams, all after "duplicate_paragraph_characters", are not counted.
    """
    rules = rules or LineRules()
    data, offsets = text_buffer(texts)
    count = len(offsets) - 1
    names = _names(lexicon.categories)
    out = np.zeros((count, len(names)), dtype=np.int64)
    # A word takes at least one byte and white space after it. What is not written costs nothing.
    room = int(offsets[-1] - offsets[0]) // 2 + count + 1
    word_hash, core_hash, word_length, times, kept = _SCRATCH.of(room)
    starts, kept_starts = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    if count:
        classes, numbers = _tables(rules)
        read_texts(
            data, offsets, _KINDS, classes, lower_table(), numbers,
            word_hash, core_hash, word_length, starts, kept, kept_starts, out,
        )  # fmt: skip
    if count and not words_only:
        count_words(
            word_hash, core_hash, starts, lexicon.keys, lexicon.values, len(lexicon.categories),
            rules.exact_stops, times, out,
        )  # fmt: skip
        count_n_grams(word_hash, word_length, starts, times, out)
    return Statistics(out, names), KeptLines(data, kept[: kept_starts[-1]].copy(), kept_starts)


@lru_cache(maxsize=8)
def _tables(rules: LineRules) -> tuple[Any, Any]:
    classes = class_table(rules.line_end, rules.fineweb_end, rules.bullets, rules.symbols)
    return classes, np.array([*rules.numbers(), plain_is_wordlike(classes)], dtype=np.int64)


def _names(categories: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *NAMES,
        *(f"covered:{name}" for name in categories),
        *(f"hits:{name}" for name in categories),
    )
