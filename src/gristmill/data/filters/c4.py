"""C4's rules (Raffel et al. 2020, section 2.2): lines are removed, then pages are judged.

The shared pass judges the lines. Texts with citation marks, which change a line, are read once more
without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.characters import BULLETS, LINE_END_CHARACTERS
from gristmill.data.filters.checks import Check, Flags, above, below
from gristmill.data.filters.kept_lines import KeptLines, without_citations
from gristmill.data.filters.kernel import LOOK_CITATION
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.rules import C4Rules, CountingRules
from gristmill.data.filters.statistics import LineRules, Statistics, read

POLICY = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""Lines with one of these fail, in any case of ASCII letters."""


Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class C4Result:
    """The checks, and what C4 leaves of each text.

    left: the statistics that FineWeb judges. changed: which texts are new, bool [n]. cut: the rows,
    ascending, whose new texts lack a part of a line, so that what stood apart stands together.
    """

    checks: list[Check]
    left: Statistics
    changed: Flags
    cut: Rows
    _kept: KeptLines | None = None
    _bare: pa.Array | None = None

    def texts(self, rows: Rows) -> pa.Array:
        """The new texts of some rows of `changed`, ascending."""
        if self._kept is None or self._bare is None:
            return pa.array([], pa.string())
        in_cut = np.isin(rows, self.cut)
        whole, parts = rows[~in_cut], np.searchsorted(self.cut, rows[in_cut])
        found = pa.concat_arrays([self._kept.texts(whole), self._bare.take(pa.array(parts))])
        place = np.empty(len(rows), np.int64)
        place[~in_cut] = np.arange(len(whole))
        place[in_cut] = len(whole) + np.arange(len(parts))
        return found.take(pa.array(place))


def line_rules(rules: C4Rules, short_line: int, counting: CountingRules | None = None) -> LineRules:
    """What the shared pass has to know to count C4's lines, FineWeb's short ones, and the rest."""
    counting = counting or CountingRules()

    def given(characters: str | None, usual: str) -> str:
        return usual if characters is None else characters

    return LineRules(
        short_line=short_line,
        c4_min_words=rules.min_words_per_line,
        c4_max_word=rules.max_word_length,
        c4_terminal=rules.terminal_punctuation,
        c4_javascript=rules.javascript,
        c4_policy=rules.policy,
        as_written=counting.lines == "as_written",
        exact_stops=counting.stop_words == "as_written",
        line_end=given(counting.line_ends, LINE_END_CHARACTERS),
        fineweb_end=given(counting.fineweb_line_ends, LINE_END_CHARACTERS),
        bullets=given(counting.bullets, BULLETS),
        symbols=counting.symbols,
    )


def c4(
    texts: pa.Array,
    s: Statistics,
    kept: KeptLines,
    lexicon: Lexicon,
    rules: C4Rules,
    lines: LineRules,
) -> C4Result:
    """C4 on a batch; `s` and `kept` were read from `texts` with `lines`, from `line_rules`."""
    sentences = s["c4_sentences"].copy()
    changed = _changed(s, lines)
    values = np.where(changed[:, None], s.of_kept_lines().values, s.values)
    cut = np.flatnonzero(s["looks"] & LOOK_CITATION) if rules.citations else np.zeros(0, np.int64)
    bare = without_citations(texts, cut)
    if len(cut):
        again, kept_again = read(bare, lexicon, lines, words_only=True)
        sentences[cut] = again["c4_sentences"]
        fewer = _changed(again, lines)
        values[cut] = np.where(fewer[:, None], again.of_kept_lines().values, again.values)
        changed[cut] = True
        where = pa.array(np.where(fewer, np.cumsum(fewer) - 1, fewer.sum() + np.arange(len(cut))))
        bare = pa.concat_arrays([kept_again.texts(np.flatnonzero(fewer)), bare]).take(where)
    checks = []
    if rules.lorem_ipsum:
        checks += above("c4.lorem_ipsum", s["c4_lorem_ipsum"], 0)
    if rules.curly_brackets:
        checks += above("c4.curly_brackets", s["c4_curly_brackets"], 0)
    checks += below("c4.sentences", sentences, rules.min_sentences)
    if not rules.rewrite:
        return C4Result(checks, s, np.zeros(len(s), np.bool_), cut[:0])
    return C4Result(checks, Statistics(values, s.names), changed, cut, kept, bare)


def _changed(s: Statistics, lines: LineRules) -> Flags:
    """Whether the kept lines are less than the text."""
    if lines.as_written:
        return s["c4_characters"] + s["c4_newlines"] < s["characters"]
    return s["c4_lines"] < s["lines"]
