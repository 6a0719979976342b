"""How much of a text another one holds already: copied n-grams, the longest shared run, copies.

Words are those of `data.ngrams`: case, punctuation and line breaks do not hide a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.minhash import Signatures, signatures
from gristmill.data.ngrams import Hashes, ngram_hashes, word_hashes

COPIED_WORDS = 8
"""A run that is hardly ever shared by chance, as `data mix` and decontamination take it."""
SHINGLE_WORDS = 5
BANDS, ROWS = 14, 8
"""Of the MinHash signatures; with 14 bands of 8 a pair of Jaccard similarity 0.8 is found with
probability 0.92, one of 0.9 with 0.9998."""

# An odd number, so that it has an inverse modulo 2^64; both from `data.ngrams.BASE`.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = np.uint64(pow(_BASE, -1, 1 << 64))


@dataclass(frozen=True)
class Likeness:
    """Of a text to another: copied: share of its 8-grams that stand there; run: words of the
    longest run that stands in both; jaccard: of their 5-grams."""

    copied: float
    run: int
    jaccard: float


class Compared:
    """One text that several others are held against."""

    def __init__(self, text: str):
        self.words = words_of(text)
        self._grams = _grams(self.words, COPIED_WORDS)
        self._shingles = _grams(self.words, SHINGLE_WORDS)

    def likeness(self, text: str) -> Likeness:
        """How much of `text` stands here."""
        words = words_of(text)
        grams, shingles = _grams(words, COPIED_WORDS), _grams(words, SHINGLE_WORDS)
        shared = len(np.intersect1d(shingles, self._shingles, assume_unique=True))
        either = len(shingles) + len(self._shingles) - shared
        copied = float(np.isin(grams, self._grams).mean()) if len(grams) else 0.0
        return Likeness(
            copied, longest_shared_run(words, self.words), shared / either if either else 0.0
        )


def words_of(text: str) -> Hashes:
    """The hashes of a text's words, in order: uint64 (words,)."""
    return word_hashes([text])[0]


def has_words(text: str, least: int) -> bool:
    """Whether a text has so many words; of Chinese and the like each character is one."""
    return len(text.split(None, least)) >= least or len(words_of(text)) >= least


def longest_shared_run(left: Hashes, right: Hashes) -> int:
    """Words of the longest run that stands in both texts.

    A shared run of k words holds shared runs of all shorter lengths, so the longest is found by
    halving; each length costs one pass over both texts and a sort.
    """
    low, high = 0, min(len(left), len(right))
    sums = _Sums(left), _Sums(right)
    while low < high:
        middle = (low + high + 1) // 2
        if np.isin(sums[0].windows(middle), sums[1].windows(middle)).any():
            low = middle
        else:
            high = middle - 1
    return low


def distinct_share(text: str, words: int = SHINGLE_WORDS) -> float:
    """Share of a text's runs of so many words that are different; 1 where there is none twice."""
    hashes = words_of(text)
    if len(hashes) < words:
        return 1.0
    starts = np.array([0, len(hashes)], np.int64)
    grams, _ = ngram_hashes(hashes, starts, words)
    return len(np.unique(grams)) / len(grams)


class Earlier:
    """The texts that were kept so far, by the bands of their signatures: some 2 kB for each.

    A text that is like one of them is not added, so a band's first text stands for its others.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self._signatures: list[Signatures] = []
        self._bands: dict[tuple[int, bytes], int] = {}

    def like(self, text: str) -> bool:
        """Whether one of them is a near-duplicate of this text."""
        signature = self._sign([text])[0]
        places = {self._bands.get(key) for key in _keys(signature)}
        return any(
            float((self._signatures[place] == signature).mean()) >= self.threshold
            for place in places
            if place is not None
        )

    def add(self, texts: Iterable[str]) -> None:
        """These were kept."""
        for signature in self._sign(list(texts)):
            for key in _keys(signature):
                self._bands.setdefault(key, len(self._signatures))
            self._signatures.append(signature)

    @staticmethod
    def _sign(texts: list[str]) -> Signatures:
        return signatures(texts, n=SHINGLE_WORDS, count=BANDS * ROWS)


def _keys(signature: Signatures) -> list[tuple[int, bytes]]:
    return [(band, signature[band * ROWS : (band + 1) * ROWS].tobytes()) for band in range(BANDS)]


def _grams(words: Hashes, n: int) -> Hashes:
    """The distinct n-grams of a text; a shorter text is one."""
    grams, _ = ngram_hashes(words, np.array([0, len(words)], np.int64), n)
    return np.unique(grams)


class _Sums:
    """The hash of any run of a text's words: differences of one sum, modulo 2^64.

    The run of k words at i has the hash w[i] + w[i+1] / B + ... + w[i+k-1] / B^(k-1).
    """

    def __init__(self, words: Hashes):
        powers = np.full(len(words) + 1, _INVERSE, np.uint64)
        powers[0] = 1
        powers = np.cumprod(powers, dtype=np.uint64)
        self._total: npt.NDArray[np.uint64] = np.zeros(len(words) + 1, np.uint64)
        np.cumsum(words * powers[:-1], dtype=np.uint64, out=self._total[1:])
        back = np.full(len(words) + 1, np.uint64(_BASE), np.uint64)
        back[0] = 1
        self._back = np.cumprod(back, dtype=np.uint64)

    def windows(self, k: int) -> Hashes:
        """The hash of each run of k words, k from 1 to the number of words."""
        count = len(self._total) - k
        return (self._total[k:] - self._total[:count]) * self._back[:count]
