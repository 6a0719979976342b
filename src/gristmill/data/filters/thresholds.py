"""Which number decides under which threshold, so that a threshold can be set by looking.

The layer of `data filter` has these numbers as columns, float32, null where a rule did not judge
the document. What another limit would drop is told from them alone; limits on the lines that C4
keeps (`c4.min_words_per_line` and the like) change the text, and need a new run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.data.filters.checks import Check, Flags


@dataclass(frozen=True)
class Threshold:
    """`rule`: its name in the config of `data filter`, such as `gopher_quality.min_words`."""

    rule: str
    column: str
    """Of the layer."""
    fails: str
    """How the number stands to the limit where a document is dropped: <, <=, > or >=."""
    reason: str
    """As the layer's columns `reason` and `reasons_all` have it."""
    alone: bool = True
    """Whether the number alone decides; a word list's verdict also depends on the context."""

    def failing(self, values: npt.NDArray[np.floating], limit: float) -> Flags:
        """Which documents another limit would drop; none that the rule did not judge (NaN).

        The columns have single precision: a number that differs from the limit by less than a
        ten-millionth part counts as equal to it.
        """
        single = values.astype(np.float32)
        at = np.float32(limit)
        with np.errstate(invalid="ignore"):
            found: Flags = {
                "<": single < at,
                "<=": single <= at,
                ">": single > at,
                ">=": single >= at,
            }[self.fails]
        return found


def _group(group: str, *limits: tuple[str, str, str]) -> list[Threshold]:
    """(field of the config, name in the reason, sign)."""
    return [
        Threshold(f"{group}.{field}", column_of(f"{group}.{name}"), fails, f"{group}.{name}")
        for field, name, fails in limits
    ]


def column_of(reason: str) -> str:
    """The column that has what was measured for a reason."""
    return reason.replace(".", "_")


_REPEATED: Final = (
    "duplicate_lines", "duplicate_paragraphs", "duplicate_line_characters",
    "duplicate_paragraph_characters", "top_2_gram", "top_3_gram", "top_4_gram",
    *(f"duplicate_{n}_grams" for n in range(5, 11)),
)  # fmt: skip

THRESHOLDS: Final[tuple[Threshold, ...]] = (
    *_group(
        "boilerplate",
        ("max_phrase_share", "phrases", ">"),
        ("min_prose_share", "prose", "<"),
        ("min_prose_words", "prose_words", "<"),
    ),
    *_group(
        "spam",
        ("max_top_word_share", "top_word", ">"),
        ("min_function_share", "function_words", "<"),
        ("max_repeated_share", "repeated", ">"),
    ),
    Threshold("adult.max_share", "adult_words", ">", "adult.words", alone=False),
    Threshold("toxic.max_share", "toxic_words", ">", "toxic.words", alone=False),
    Threshold("language.min_score", "language_score", "<", "language.score"),
    *_group("gopher_repetition", *((f"max_{name}", name, ">") for name in _REPEATED)),
    *_group(
        "gopher_quality",
        ("min_words", "words", "<"),
        ("max_words", "words", ">"),
        ("min_mean_word_length", "mean_word_length", "<"),
        ("max_mean_word_length", "mean_word_length", ">"),
        ("max_symbol_ratio", "hashes", ">"),
        ("max_bullet_lines", "bullet_lines", ">"),
        ("max_ellipsis_lines", "ellipsis_lines", ">"),
        ("min_alpha_words", "alpha_words", "<"),
        ("min_stop_words", "stop_words", "<"),
    ),
    Threshold(
        "gopher_quality.max_symbol_ratio",
        column_of("gopher_quality.ellipses"),
        ">",
        "gopher_quality.ellipses",
    ),
    *_group("c4", ("min_sentences", "sentences", "<")),
    *_group(
        "fineweb",
        ("min_ended_lines", "ended_lines", "<="),
        ("max_short_lines", "short_lines", ">="),
        ("max_duplicate_line_characters", "duplicate_line_characters", ">="),
        ("max_newlines_per_word", "newlines_per_word", ">"),
    ),
    *_group(
        "outliers",
        ("max_length_deviation", "length_deviation", ">"),
        ("max_byte_divergence", "byte_divergence", ">"),
        ("max_word_bits", "word_bits", ">"),
        ("min_word_bits", "word_bits", "<"),
    ),
)


def statistic(rule: str) -> Threshold:
    """What decides under a threshold of the config; the first, where it stands for two numbers
    (`gopher_quality.max_symbol_ratio`: number signs and ellipses).

    Raises GristmillError, with the nearest name, where there is no such threshold.
    """
    for threshold in THRESHOLDS:
        if threshold.rule == rule:
            return threshold
    raise GristmillError(
        f"'{rule}' is no threshold of data filter",
        mend=did_you_mean(rule, [threshold.rule for threshold in THRESHOLDS]),
    )


def columns_of_groups(groups: Iterable[str]) -> list[str]:
    """The columns of these groups of rules, in order."""
    wanted = set(groups)
    named = (t for t in THRESHOLDS if t.rule.partition(".")[0] in wanted)
    return list(dict.fromkeys(t.column for t in named if t.column != "language_score"))


def measured(checks: Iterable[Check], columns: Iterable[str], count: int) -> dict[str, pa.Array]:
    """Each of the columns, for `count` documents, from the check that it belongs to; null where
    that did not judge."""
    found: dict[str, pa.Array] = {}
    for check in checks:
        name = column_of(check.reason)
        if name not in found:
            mask = None if check.applies is None else ~check.applies
            found[name] = pa.array(check.value.astype(np.float32), mask=mask)
    return {name: found.get(name, pa.nulls(count, pa.float32())) for name in columns}
