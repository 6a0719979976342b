"""Pages without text of their own: notices, forms, empty results, lists of links."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gristmill.data.filters.checks import Check, above, below, only_where, ratio
from gristmill.data.filters.rules import BoilerplateRules
from gristmill.data.filters.statistics import Statistics


def boilerplate(lowered: Sequence[str], s: Statistics, rules: BoilerplateRules) -> list[Check]:
    """`lowered`: the texts in lower case that `s` was counted from, with 'boilerplate' a category
    of its lexicon."""
    words = s["words"]
    short = words <= rules.max_words
    share = ratio(s["covered:boilerplate"], words)
    # An empty text has no prose either.
    prose = ratio(s["prose_words"], words)
    checks = [
        *above("boilerplate.phrases", share, rules.max_phrase_share),
        *below("boilerplate.prose", prose, rules.min_prose_share),
        *below("boilerplate.prose_words", s["prose_words"], rules.min_prose_words),
    ]
    if rules.lorem_ipsum:
        lorem = np.array(["lorem ipsum dolor" in text for text in lowered], dtype=np.int64)
        checks += above("boilerplate.lorem_ipsum", lorem, 0)
    return only_where(short, checks)
