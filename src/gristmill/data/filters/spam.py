"""Keyword stuffing: one word over and over, words without grammar, the same sentence again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gristmill.data.filters.checks import Check, above, below, only_where, ratio
from gristmill.data.filters.rules import SpamRules
from gristmill.data.filters.statistics import Statistics
from gristmill.data.filters.word_lists import FUNCTION_WORDS

# A word that stands five times in a short text is its subject, not stuffing.
_LEAST_REPEATS = 6


def spam(s: Statistics, languages: Sequence[str | None], rules: SpamRules) -> list[Check]:
    """`languages` are ISO codes; None or a language without a list leaves out the rule on
    function words."""
    words = s["words"]
    known = np.array([language in FUNCTION_WORDS for language in languages], dtype=np.bool_)
    top = ratio(s["top_word"], words)
    function = ratio(s["covered:function"], words)
    repeated = ratio(s["duplicate_5_grams"], s["characters"])
    checks = [
        *only_where(
            s["top_word"] >= _LEAST_REPEATS, above("spam.top_word", top, rules.max_top_word_share)
        ),
        *only_where(known, below("spam.function_words", function, rules.min_function_share)),
        *above("spam.repeated", repeated, rules.max_repeated_share),
    ]
    return only_where(words >= rules.min_words, checks)
