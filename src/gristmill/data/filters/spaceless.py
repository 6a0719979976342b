"""Word lists in scripts that part no words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.

Their entries are looked for anywhere in a text, and what they cover is measured against the text's
characters of these scripts, because there are no words to count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import re2

from gristmill.data.filters.checks import Check
from gristmill.data.filters.rules import WordListRules

# Kana, Han with its extensions, Thai, Lao, Burmese, Khmer. Hangul has spaces.
_SCRIPTS: Final = (
    r"\x{0E00}-\x{0EFF}\x{1000}-\x{109F}\x{1780}-\x{17FF}\x{3005}-\x{3007}\x{3040}-\x{30FF}"
    r"\x{31F0}-\x{31FF}\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{323AF}"
)
_ANY: Final = re2.compile(f"[{_SCRIPTS}]")
_RUNS: Final = re2.compile(f"[{_SCRIPTS}]+")
# One character of these scripts is in too many honest words.
_LEAST_CHARACTERS: Final = 2


def spaceless_entries(words: Iterable[str]) -> list[str]:
    """Those of a list that are written in such a script, longest first."""
    found = {word for word in words if _ANY.search(word) and len(word) >= _LEAST_CHARACTERS}
    return sorted(found, key=lambda word: (-len(word), word))


def spaceless_list(
    name: str, texts: Sequence[str], words: Sequence[str], rules: WordListRules
) -> list[Check]:
    """The check on texts in these scripts; none where the list has no entry in them."""
    pattern = _pattern(tuple(words))
    if pattern is None:
        return []
    share = np.zeros(len(texts))
    enough = np.zeros(len(texts), np.bool_)
    for row, text in enumerate(texts):
        if text.isascii() or not _ANY.search(text):
            continue
        found = pattern.findall(text)
        if found:
            characters = sum(len(run) for run in _RUNS.findall(text))
            share[row] = sum(len(match) for match in found) / max(1, characters)
            enough[row] = len(found) >= rules.min_matches
    return [Check(f"{name}.words", share, ">", rules.max_share, enough & (share > rules.max_share))]


@lru_cache(maxsize=4)
def _pattern(words: tuple[str, ...]) -> Any:
    entries = spaceless_entries(words)
    if not entries:
        return None
    return re2.compile("|".join(re2.escape(entry) for entry in entries))
