"""Every number that the rules need, from one pass over the text.

Words are runs of characters that are no white space (`str.split`). A word's core is its lower case
without the punctuation around it. Lines are what stands between line feeds, stripped; blank lines
are no lines but end a paragraph. Lengths are counted in code points.

The n-gram numbers follow Gopher (Rae et al. 2021, appendix A.1.1, table A1): the characters of the
most frequent 2-, 3- and 4-gram (words joined by a space, times its count), and the characters in
5- to 10-grams that occurred before, not counting overlapping ones twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.characters import class_table, lower_table
from gristmill.data.filters.kernel import all_statistics
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.statistic_names import NAMES
from gristmill.data.ngrams import text_buffer


@dataclass(frozen=True)
class LineRules:
    """What C4 asks of a line, and how long a short line is for FineWeb."""

    short_line: int = 30
    c4_min_words: int = 5
    c4_max_word: int = 1000
    c4_terminal: bool = True


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

    def of(self, row: int) -> dict[str, int]:
        """One document's numbers by name."""
        return dict(zip(self.names, self.values[row].tolist(), strict=True))


def text_statistics(
    texts: Sequence[str] | pa.Array | pa.ChunkedArray,
    lexicon: Lexicon,
    rules: LineRules | None = None,
) -> Statistics:
    """The statistics of each text."""
    rules = rules or LineRules()
    data, offsets = text_buffer(texts)
    count = len(offsets) - 1
    names = (
        *NAMES,
        *(f"covered:{name}" for name in lexicon.categories),
        *(f"hits:{name}" for name in lexicon.categories),
    )
    out = np.zeros((count, len(names)), dtype=np.int64)
    if count:
        line_rules = np.array(
            [rules.short_line, rules.c4_min_words, rules.c4_max_word, rules.c4_terminal],
            dtype=np.int64,
        )
        all_statistics(
            data,
            offsets,
            class_table(),
            lower_table(),
            lexicon.keys,
            lexicon.values,
            len(lexicon.categories),
            line_rules,
            out,
        )
    return Statistics(out, names)
