"""Text with slips of the hand: what a tokenizer of whole words falls over, and one of bytes hardly.

Four slips, equally often: two neighbouring letters change places, one is left out, one is doubled,
one becomes another of the same word.
"""

from __future__ import annotations

import random
import re

from gristmill.core.seeds import derive_seed

_WORD = re.compile(r"[^\W\d_]{4,}")


def misspelled(text: str, share: float, seed: int) -> str:
    """`text` with a slip in that share of its words of four letters and more; the first letter of a
    word stays."""
    rng = random.Random(derive_seed(seed, "misspelled"))

    def slip(found: re.Match[str]) -> str:
        word = found.group()
        # Drawn for every word, so that a larger share keeps the slips of a smaller one.
        chance, kind, at = rng.random(), rng.randrange(4), rng.randrange(1, len(word) - 1)
        if chance >= share:
            return word
        if kind == 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if kind == 1:
            return word[:at] + word[at + 1 :]
        if kind == 2:
            return word[:at] + word[at] + word[at:]
        return word[:at] + word[(at + 2) % len(word)].lower() + word[at + 1 :]

    return _WORD.sub(slip, text)
