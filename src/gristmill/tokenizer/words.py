"""Vocabularies of whole words: which words they keep, and how much of a text they do not know.

A word is a piece of the pre-tokenizer, its leading blank with it. In a language that sets no spaces
a piece is a stretch of many words, so nearly every one is new.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gristmill.tokenizer.counting import PretokenCounter, PretokenCounts
from gristmill.tokenizer.tokenizer import Tokenizer, utf8

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def frequent_words(
    counts: PretokenCounts, most: int, min_frequency: int, lengths: range
) -> list[bytes]:
    """The most frequent pretokens of these lengths in bytes; of equally frequent ones those whose
    bytes come first."""
    fits = (counts.lengths >= lengths.start) & (counts.lengths < lengths.stop)
    wanted = np.flatnonzero(fits & (counts.counts >= min_frequency))
    if wanted.size > most > 0:
        # Not all of them are made into Python's objects: those with the last count that fits.
        least = np.partition(counts.counts[wanted], wanted.size - most)[wanted.size - most]
        wanted = wanted[counts.counts[wanted] >= least]
    found = []
    for start, length, count in zip(
        counts.starts[wanted].tolist(),
        counts.lengths[wanted].tolist(),
        counts.counts[wanted].tolist(),
        strict=True,
    ):
        found.append((-count, counts.arena[start : start + length].tobytes()))
    return [word for _, word in sorted(found)[:most]]


@dataclass(frozen=True)
class Coverage:
    """words: pieces of the text. unknown: those that are no token. bytes_unknown: the bytes of
    these. tokens: what the text became, unknown words by bytes or by one token each."""

    words: int
    unknown: int
    bytes: int
    bytes_unknown: int
    tokens: int

    @property
    def rate(self) -> float:
        """The out-of-vocabulary rate: the share of words that are no token."""
        return self.unknown / self.words if self.words else float("nan")

    @property
    def lost(self) -> float:
        """The share of the bytes that stand in words that are no token: what a vocabulary with one
        token for the unknown does not give back."""
        return self.bytes_unknown / self.bytes if self.bytes else float("nan")


def coverage(tokenizer: Tokenizer, texts: Iterable[str], pattern: str | None = None) -> Coverage:
    """How many words of a text are tokens. pattern: what cuts the words, where not its own."""
    counter = PretokenCounter(pattern or tokenizer.vocabulary.pattern)
    tokens = 0
    for text in texts:
        counter.add([utf8(text)])
        tokens += len(tokenizer.encode(text))
    known = tokenizer.vocabulary.ordinary
    words = unknown = size = unknown_size = 0
    for word, count in counter.result().as_dict().items():
        words += count
        size += count * len(word)
        if word not in known:
            unknown += count
            unknown_size += count * len(word)
    return Coverage(words, unknown, size, unknown_size, tokens)


def misspelled(text: str, share: float = 0.1, seed: int = 0) -> str:
    """The text with a letter changed in so many of its words: one is left out, doubled, swapped
    with the next or put in another's place, as people mistype (Damerau 1964). Words of fewer than
    four letters stay."""
    draw = random.Random(f"misspelled {seed}")
    parts = text.split(" ")
    for i, word in enumerate(parts):
        if len(word) < 4 or draw.random() >= share:
            continue
        at = draw.randrange(1, len(word) - 1)
        how = draw.randrange(4)
        if how == 0:
            parts[i] = word[:at] + word[at + 1 :]
        elif how == 1:
            parts[i] = word[:at] + word[at] + word[at:]
        elif how == 2:
            parts[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        else:
            parts[i] = word[:at] + draw.choice(_LETTERS) + word[at + 1 :]
    return " ".join(parts)
