"""How well extracted text equals the text that it should be: shingles of four words.

The metric of the article-extraction benchmark (Scrapinghub, 2020): words are runs of `\\w`,
a page's text is the multiset of its runs of four consecutive words, precision and recall are
means over pages, and F1 is the harmonic mean of these two means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
SHINGLE_WORDS = 4


@dataclass(frozen=True)
class Overlap:
    """Shingles of one page: in both texts, only in the prediction, only in the truth."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """1 where there was nothing to predict and nothing was."""
        predicted = self.true_positives + self.false_positives
        return self.true_positives / predicted if predicted else float(not self.false_negatives)

    @property
    def recall(self) -> float:
        """1 where there is nothing to find."""
        actual = self.true_positives + self.false_negatives
        return self.true_positives / actual if actual else float(not self.false_positives)

    @property
    def f1(self) -> float:
        """Harmonic mean of the page's precision and recall."""
        return _harmonic(self.precision, self.recall)


@dataclass(frozen=True)
class Score:
    """Means over pages; `f1` is the harmonic mean of the two means."""

    precision: float
    recall: float
    pages: int

    @property
    def f1(self) -> float:
        """F1 of the mean precision and the mean recall, not the mean of the pages' F1."""
        return _harmonic(self.precision, self.recall)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Multiset of runs of four words; a text of fewer words is one shingle of all of them."""
    words = _WORD.findall(text)
    if not words:
        return Counter()
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return Counter(tuple(words[i : i + SHINGLE_WORDS]) for i in range(last))


def overlap(predicted: str, truth: str) -> Overlap:
    """Compares two texts of one page."""
    ours, theirs = shingles(predicted), shingles(truth)
    common = sum(min(count, theirs[key]) for key, count in ours.items() if key in theirs)
    return Overlap(common, sum(ours.values()) - common, sum(theirs.values()) - common)


def score(overlaps: Iterable[Overlap]) -> Score:
    """Means over pages; a page of which nothing was extracted counts 0 in both."""
    pages = list(overlaps)
    precision = _mean([page.precision for page in pages])
    recall = _mean([page.recall for page in pages])
    return Score(precision, recall, len(pages))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
