"""Which documents hold text of evaluation sets, and which items they hold, by n-gram overlap.

Two published rules, both on by default: a shared run of 13 words (Brown et al. 2020, appendix C),
and 70% of an item's 8-grams (Chowdhery et al. 2022, section 8). The second also finds items of
fewer than 13 words; items of fewer than 8 words cannot be found by overlap and are counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.core.errors import GristmillError
from gristmill.data.dedup.minhash import shingle_sets
from gristmill.data.ngrams import Texts, ngram_hashes, word_hashes
from gristmill.data.postings import Indices, Postings

# An n-gram of more items than this is the set's template ("Which of the following ..."), not an
# item (Brown et al. 2020 use 10).
MAX_ITEMS = 10


def read_items(path: Path, fields: Sequence[str]) -> list[str]:
    """The items of a JSONL file: of each line the texts of `fields` that it has, joined by a space.

    Raises GristmillError for a missing file, a line that is no JSON object, or an item that has
    none of the fields.
    """
    items = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GristmillError(f"cannot read the evaluation set: {error}", where=path) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise GristmillError("this line is no JSON object", where=f"{path}:{number}")
        found = [record[name] for name in fields if isinstance(record.get(name), str)]
        if not found:
            raise GristmillError(
                f"the item has none of the fields {', '.join(fields)}",
                where=f"{path}:{number}",
                mend=f"name them in `fields`; it has {', '.join(record)}",
            )
        items.append(" ".join(found))
    return items


@dataclass(frozen=True)
class EvaluationIndex:
    """The items of all sets. set_of: the set of each item (index into names). words: item lengths.
    long: n-grams for the any-match rule; short: for the share rule."""

    names: tuple[str, ...]
    set_of: Indices
    words: Indices
    long_n: int
    short_n: int
    long: Postings
    short: Postings

    @classmethod
    def build(
        cls, sets: Mapping[str, Sequence[str]], *, long_n: int = 13, short_n: int = 8
    ) -> EvaluationIndex:
        """From the items' texts by name of set."""
        names = tuple(sorted(sets))
        texts = [text for name in names for text in sets[name]]
        set_of = np.repeat(np.arange(len(names)), [len(sets[name]) for name in names])
        _, starts = word_hashes(texts)
        words = np.diff(starts)

        def postings(n: int) -> Postings:
            # An item of fewer than n words must not match as a whole: it has no n-gram.
            long_enough = [t if w >= n else "" for t, w in zip(texts, words, strict=True)]
            return Postings.build([shingle_sets(long_enough, n)], MAX_ITEMS)

        return cls(names, set_of, words, long_n, short_n, postings(long_n), postings(short_n))

    def too_short(self, number: int) -> int:
        """Items of the set that no rule can find."""
        return int(np.sum((self.words < self.short_n) & (self.set_of == number)))


@dataclass(frozen=True)
class Overlap:
    """For each document: the number of distinct long n-grams that it shares with its worst item,
    the largest share of an item's short n-grams that it holds, and that item (-1: none). pairs:
    every (document, item) that a rule of `contaminated` could name."""

    long_hits: Indices
    short_share: npt.NDArray[np.float64]
    worst_item: Indices
    pairs: tuple[Indices, Indices, Indices, npt.NDArray[np.float64]]

    def contaminated(self, min_long: int = 1, min_share: float = 0.7) -> npt.NDArray[np.bool_]:
        """Documents with at least that many shared long n-grams, or that share of an item."""
        return (self.long_hits >= min_long) | (self.short_share >= min_share)

    def findings(
        self, min_long: int = 1, min_share: float = 0.7
    ) -> list[tuple[int, int, int, float]]:
        """(document, item, shared long n-grams, share of short ones) of each pair that a rule
        names, by document and item."""
        document, item, hits, shares = self.pairs
        named = np.flatnonzero((hits >= min_long) | (shares >= min_share))
        columns = (document[named], item[named], hits[named], shares[named])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def leaked_items(self, min_long: int = 1, min_share: float = 0.7) -> Indices:
        """The items that some document holds, ascending."""
        _, items, hits, shares = self.pairs
        return np.unique(items[(hits >= min_long) | (shares >= min_share)])


@dataclass(frozen=True)
class SharedLines:
    """Where a document shares text with an item: line numbers from 1, and the first of them."""

    lines: tuple[int, ...]
    first: str


def shared_lines(text: str, item: int, index: EvaluationIndex) -> SharedLines:
    """The lines of a document on which n-grams begin that it shares with the item: long ones, or
    short ones where it shares no long one."""
    lines = text.split("\n")
    # A line break only separates words, so the words of the lines are those of the text.
    words, line_starts = word_hashes(lines)
    for n, postings in ((index.long_n, index.long), (index.short_n, index.short)):
        if len(words) < n:
            continue
        grams, _ = ngram_hashes(words, np.array([0, len(words)], np.int64), n)
        of_item = postings.hashes[postings.owners == item]
        at = np.flatnonzero(np.isin(grams, of_item))
        if len(at):
            found = np.unique(np.searchsorted(line_starts, at, side="right") - 1)
            return SharedLines(tuple((found + 1).tolist()), lines[int(found[0])])
    return SharedLines((), "")


def overlap(texts: Texts, index: EvaluationIndex) -> Overlap:
    """The overlap of each text with the index."""
    count, items = len(texts), max(1, len(index.words))
    document, item, hits = index.long.shared(*shingle_sets(texts, index.long_n))
    key = document * items + item
    document, item, shared = index.short.shared(*shingle_sets(texts, index.short_n))
    short_key = document * items + item
    share = shared / np.maximum(1, index.short.sizes[item])
    every = np.union1d(key, short_key)
    all_hits, all_shares = np.zeros(len(every), np.int64), np.zeros(len(every))
    all_hits[np.searchsorted(every, key)] = hits
    all_shares[np.searchsorted(every, short_key)] = share
    document, item = every // items, every % items
    long_hits, short_share = np.zeros(count, np.int64), np.zeros(count)
    np.maximum.at(long_hits, document, all_hits)
    np.maximum.at(short_share, document, all_shares)
    worst = np.full(count, -1, np.int64)
    # Ascending by evidence, so that the last writer of a document is its worst item.
    order = np.lexsort((-item, all_shares, all_hits))
    worst[document[order]] = item[order]
    return Overlap(long_hits, short_share, worst, (document, item, all_hits, all_shares))
