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

from gristmill.data.engine.memory import when_giving_back
from gristmill.data.filters.characters import (
    BULLETS,
    LINE_END_CHARACTERS,
    class_table,
    lower_table,
)
from gristmill.data.filters.kept_lines import KeptLines
from gristmill.data.filters.kernel import read_texts
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.line_counts import LINE_NUMBERS, most_lines, table_of
from gristmill.data.filters.repetition import BUCKETS, count_n_grams
from gristmill.data.filters.scanning import AHEAD, BLOCK, plane_bytes
from gristmill.data.filters.statistic_names import NAMES
from gristmill.data.filters.text_reading import LOOK_CITATION
from gristmill.data.filters.word_bytes import byte_kinds
from gristmill.data.filters.word_counts import ENTRY, count_words, table_size
from gristmill.data.filters.word_numbers import HINT_NUMBERS, WORD_NUMBERS, plain_is_wordlike
from gristmill.data.ngrams import text_buffer

_KINDS = byte_kinds()


class _Scratch(threading.local):
    """What the passes hand on to each other, kept from batch to batch: memory that is new costs as
    much as a third of the work."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {"buckets": np.zeros(BUCKETS, np.uint8)}

    def let_go(self) -> None:
        """Frees them, all but the buckets, which are to be zeros."""
        self.arrays = {"buckets": self.arrays["buckets"]}

    def __call__(self, name: str, room: int, kind: Any, *more: int) -> Any:
        """An array of at least this room; it holds whatever it held."""
        if name not in self.arrays or len(self.arrays[name]) < room:
            self.arrays[name] = np.empty((room, *more), kind)
        return self.arrays[name]


_SCRATCH = _Scratch()
when_giving_back(_SCRATCH.let_go)


@dataclass(frozen=True)
class LineRules:
    """What C4 asks of a line, how long a short line is for FineWeb, and how things are counted."""

    short_line: int = 30
    c4_min_words: int = 5
    c4_max_word: int = 1000
    c4_terminal: bool = True
    c4_javascript: bool = True
    c4_policy: bool = True
    c4_citations: bool = False
    """Whether citation marks are removed before lines are judged."""
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
                self.c4_citations,
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


@dataclass(frozen=True)
class Reading:
    """What a batch of texts is: its statistics, the lines that C4 keeps, and, where citation marks
    are to be removed, the rows of the texts that hold one and their statistics without them, of
    which only lines, C4's numbers, characters and words are right."""

    statistics: Statistics
    kept: KeptLines
    cited: npt.NDArray[np.int64]
    bare: Statistics


def text_statistics(
    texts: Sequence[str] | pa.Array | pa.ChunkedArray,
    lexicon: Lexicon,
    rules: LineRules | None = None,
) -> Statistics:
    """The statistics of each text."""
    return read(texts, lexicon, rules).statistics


def read(
    texts: Sequence[str] | pa.Array | pa.ChunkedArray,
    lexicon: Lexicon | None,
    rules: LineRules | None = None,
) -> Reading:
    """The statistics of each text and the lines of it that C4 keeps.

    Without a lexicon words and n-grams, all after "duplicate_paragraph_characters", are not
    counted.
    """
    rules = rules or LineRules()
    data, offsets = text_buffer(texts)
    data = data.view()
    data.flags.writeable = False  # so that the pass is compiled once
    count = len(offsets) - 1
    names = _names(lexicon.categories if lexicon else ())
    out = np.zeros((count, len(names)), dtype=np.int64)
    room = _SCRATCH
    # A word takes at least one byte and white space after it. What is not written costs nothing.
    most_words = int(offsets[-1] - offsets[0]) // 2 + count + 1
    word_hash, core_hash = room("word", most_words, np.uint64), room("core", most_words, np.uint64)
    word_length = room("length", most_words, np.int32)
    kept = room("kept", most_words, np.int64, 3)
    starts, kept_starts = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    cited = 0
    bare = np.empty((count if rules.c4_citations else 0, len(names)), np.int64)
    if count:
        classes, numbers = _tables(rules)
        longest = int(np.diff(offsets).max())
        most = most_lines(data, offsets[0], offsets[-1], rules.as_written)
        bare_text = room("bare", longest + 1, np.uint8)
        read_only = bare_text.view()
        read_only.flags.writeable = False
        cited = read_texts(
            data, offsets, _KINDS, classes, lower_table(), numbers, word_hash, core_hash,
            word_length, starts, kept, kept_starts,
            room("planes", plane_bytes(longest), np.uint8), room("tail", BLOCK + AHEAD, np.uint8),
            room("of_word", WORD_NUMBERS, np.int64), room("hints", HINT_NUMBERS, np.int64),
            room("lines", most, np.int64, LINE_NUMBERS), room("hashes", most, np.uint64, 2),
            room("seen", table_of(most), np.uint64), bare_text, read_only,
            room("spare", longest // 2 + 1, np.uint64), room("lengths", longest // 2 + 1, np.int32),
            room("spare_lines", most, np.int64, LINE_NUMBERS),
            room("spare_hashes", most, np.uint64, 2), room("spare_kept", most, np.int64, 3),
            room("row", len(names), np.int64), bare, out,
        )  # fmt: skip
    if count and lexicon is not None:
        longest = int(np.diff(starts).max())
        table = room("table", ENTRY * table_size(longest), np.uint64)
        twice = room("twice", most_words, np.uint8)
        categories = len(lexicon.categories)
        count_words(
            word_hash, core_hash, starts, lexicon.keys, lexicon.values, categories,
            rules.exact_stops, table, room("until", categories, np.int64), twice, out,
        )  # fmt: skip
        count_n_grams(
            word_hash, word_length, starts, twice, table, room("gram", longest, np.uint64),
            room("at", longest, np.int32), room("slot", longest, np.int32),
            room.arrays["buckets"], out,
        )  # fmt: skip
    looked = out[:, names.index("looks")] & LOOK_CITATION
    return Reading(
        Statistics(out, names),
        KeptLines(data, kept[: kept_starts[-1]].copy(), kept_starts),
        np.flatnonzero(looked) if rules.c4_citations else np.zeros(0, np.int64),
        Statistics(bare[:cited], names),
    )


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
