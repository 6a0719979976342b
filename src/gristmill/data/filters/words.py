"""Adult and toxic text by the density of the user's words, milder in honest contexts.

Whole words only: 'Scunthorpe', 'puberty' and 'Sussex' hold no word of a list. What the density
would drop is looked at again (`context`); scripts without spaces are matched otherwise
(`spaceless`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gristmill.data.filters.characters import core
from gristmill.data.filters.checks import Check, ratio
from gristmill.data.filters.context import second_look
from gristmill.data.filters.lexicon import Lexicon
from gristmill.data.filters.rules import WordListRules
from gristmill.data.filters.spaceless import spaceless_list
from gristmill.data.filters.statistics import Statistics

_AROUND_WORDS = ".,;:!?\"'()[]-*_“”‘’«»…"


def listed_text(
    name: str,
    words: Sequence[str],
    rules: WordListRules,
    texts: Sequence[str],
    s: Statistics,
    lexicon: Lexicon,
) -> list[Check]:
    """All checks of a list; `name` is its category in the lexicon."""
    checks = word_list(name, s, rules)
    if rules.second_look:
        checks = second_look(
            checks, texts, lexicon, name, words=s["words"].tolist(), least=rules.min_matches
        )
    return checks + spaceless_list(name, texts, words, rules)


def with_plurals(words: Iterable[str]) -> list[str]:
    """The words, and each single word with an s; without those that signs make up ('a$$'), which
    would be found as what is left of them."""
    out = [word for word in words if all(_is_word(part) for part in word.split())]
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


def _is_word(part: str) -> bool:
    return len(core(part)) == len(part.strip(_AROUND_WORDS))
