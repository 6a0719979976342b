"""C4's rules (Raffel et al. 2020, section 2.2): lines are removed, then pages are judged.

The shared pass judges the lines, those with citation marks without them. A text that is kept and
lost such a mark is read once more, to write what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.characters import BULLETS, LINE_END_CHARACTERS
from gristmill.data.filters.checks import Check, Flags, above, below
from gristmill.data.filters.kept_lines import without_citations
from gristmill.data.filters.rules import C4Rules, CountingRules
from gristmill.data.filters.statistics import LineRules, Reading, Statistics, read

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
    _write: Callable[[Rows], pa.Array] | None = None

    def texts(self, rows: Rows) -> pa.Array:
        """The new texts of some rows of `changed`, ascending."""
        return pa.array([], pa.string()) if self._write is None else self._write(rows)


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
        c4_citations=rules.enabled and rules.citations,
        as_written=counting.lines == "as_written",
        exact_stops=counting.stop_words == "as_written",
        line_end=given(counting.line_ends, LINE_END_CHARACTERS),
        fineweb_end=given(counting.fineweb_line_ends, LINE_END_CHARACTERS),
        bullets=given(counting.bullets, BULLETS),
        symbols=counting.symbols,
    )


def c4(texts: pa.Array, reading: Reading, rules: C4Rules, lines: LineRules) -> C4Result:
    """C4 on a batch; `reading` is of `texts` with `lines`, from `line_rules`."""
    s, cut, bare = reading.statistics, reading.cited, reading.bare
    sentences = s["c4_sentences"].copy()
    sentences[cut] = bare["c4_sentences"]
    checks = []
    if rules.lorem_ipsum:
        checks += above("c4.lorem_ipsum", s["c4_lorem_ipsum"], 0)
    if rules.curly_brackets:
        checks += above("c4.curly_brackets", s["c4_curly_brackets"], 0)
    checks += below("c4.sentences", sentences, rules.min_sentences)
    if not rules.rewrite:
        return C4Result(checks, s, np.zeros(len(s), np.bool_), cut[:0])
    changed, fewer = _changed(s, lines), _changed(bare, lines)
    values = np.where(changed[:, None], s.of_kept_lines().values, s.values)
    values[cut] = np.where(fewer[:, None], bare.of_kept_lines().values, bare.values)
    changed[cut] = True

    def write(rows: Rows) -> pa.Array:
        in_cut = np.isin(rows, cut)
        whole, parts = rows[~in_cut], rows[in_cut]
        without = without_citations(texts, parts)
        left = read(without, None, replace(lines, c4_citations=False)).kept
        cited = fewer[np.searchsorted(cut, parts)]
        found = pa.concat_arrays(
            [reading.kept.texts(whole), left.texts(np.flatnonzero(cited)), without]
        )
        place = np.empty(len(rows), np.int64)
        place[~in_cut] = np.arange(len(whole))
        of_lines = len(whole) + np.cumsum(cited) - 1
        place[in_cut] = np.where(cited, of_lines, len(whole) + cited.sum() + np.arange(len(parts)))
        return found.take(pa.array(place))

    return C4Result(checks, Statistics(values, s.names), changed, cut, write)


def _changed(s: Statistics, lines: LineRules) -> Flags:
    """Whether the kept lines are less than the text."""
    if lines.as_written:
        return s["c4_characters"] + s["c4_newlines"] < s["characters"]
    return s["c4_lines"] < s["lines"]
