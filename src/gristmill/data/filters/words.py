"""Adult and toxic text by the density of the user's words, milder in honest contexts.

Whole words only: 'Scunthorpe', 'puberty' and 'Sussex' hold no word of a list.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gristmill.data.filters.checks import Check, ratio
from gristmill.data.filters.rules import WordListRules
from gristmill.data.filters.statistics import Statistics


def with_plurals(words: Iterable[str]) -> list[str]:
    """The words, and each single word with an s."""
    out = list(words)
    return out + [f"{word}s" for word in out if len(word) > 2 and not word.endswith("s")]


def word_list(name: str, s: Statistics, rules: WordListRules) -> list[Check]:
    """`name` is a category of the lexicon ('adult', 'toxic'); `context` must be one too."""
    share = ratio(s[f"covered:{name}"], s["words"])
    honest = ratio(s["covered:context"], s["words"]) >= rules.context_share
    limit = np.where(honest, rules.max_share * rules.context_factor, rules.max_share)
    failed = (share > limit) & (s[f"hits:{name}"] >= rules.min_matches)
    return [
        Check(f"{name}.words", share, ">", rules.max_share, failed & ~honest),
        Check(
            f"{name}.words_in_context",
            share,
            ">",
            rules.max_share * rules.context_factor,
            failed & honest,
        ),
    ]
