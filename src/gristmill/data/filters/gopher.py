"""Gopher's quality and repetition rules (Rae et al. 2021, appendix A.1.1).

The paper leaves open what a word is; here words are what white space separates, words of
punctuation alone are not counted, and lines are those that are not blank.
"""

from __future__ import annotations

import numpy as np

from gristmill.data.filters.checks import Check, above, below, ratio
from gristmill.data.filters.rules import GopherQualityRules, GopherRepetitionRules
from gristmill.data.filters.statistics import Statistics


def gopher_quality(
    s: Statistics, rules: GopherQualityRules, *, of_all_words: bool = False
) -> list[Check]:
    """The checks of 'quality filtering', in the paper's order.

    of_all_words: number signs and ellipses are divided by all words, symbols too.
    """
    words = s["words"] - s["symbol_words"]
    counted = s["words"] if of_all_words else words
    mean_length = ratio(s["word_characters"], words)
    return [
        *below("gopher_quality.words", words, rules.min_words),
        *above("gopher_quality.words", words, rules.max_words),
        *below("gopher_quality.mean_word_length", mean_length, rules.min_mean_word_length),
        *above("gopher_quality.mean_word_length", mean_length, rules.max_mean_word_length),
        *above("gopher_quality.hashes", ratio(s["hashes"], counted), rules.max_symbol_ratio),
        *above("gopher_quality.ellipses", ratio(s["ellipses"], counted), rules.max_symbol_ratio),
        *above(
            "gopher_quality.bullet_lines",
            ratio(s["bullet_lines"], s["split_lines"]),
            rules.max_bullet_lines,
        ),
        *above(
            "gopher_quality.ellipsis_lines",
            ratio(s["ellipsis_lines"], s["split_lines"]),
            rules.max_ellipsis_lines,
        ),
        *below(
            "gopher_quality.alpha_words", ratio(s["alpha_words"], s["words"]), rules.min_alpha_words
        ),
        *below("gopher_quality.stop_words", s["stop_words"], rules.min_stop_words),
    ]


def gopher_repetition(s: Statistics, rules: GopherRepetitionRules) -> list[Check]:
    """The checks of table A1, in its order."""
    characters = s["characters"]
    shares = {
        "duplicate_lines": ratio(s["duplicate_lines"], s["lines"]),
        "duplicate_paragraphs": ratio(s["duplicate_paragraphs"], s["paragraphs"]),
    }
    for name in ("duplicate_line_characters", "duplicate_paragraph_characters"):
        shares[name] = ratio(s[name], characters)
    for n in (2, 3, 4):
        share = ratio(s[f"top_{n}_gram"], characters)
        if not rules.count_single:
            share = np.where(s[f"top_{n}_gram_count"] > 1, share, 0.0)
        shares[f"top_{n}_gram"] = share
    for n in range(5, 11):
        shares[f"duplicate_{n}_grams"] = ratio(s[f"duplicate_{n}_grams"], characters)
    return [
        check
        for name, share in shares.items()
        for check in above(f"gopher_repetition.{name}", share, getattr(rules, f"max_{name}"))
    ]
