"""An inverted index of n-grams: which of a few indexed texts share n-grams with many others.

The indexed side (a sample, an evaluation set, held-out pages) is in memory; the other side is read
part by part. Used wherever an exact overlap is wanted instead of an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.data.ngrams import Hashes, Offsets

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Postings:
    """hashes: sorted n-gram hashes; owners: the indexed text of each; sizes: distinct n-grams of
    each indexed text."""

    hashes: Hashes
    owners: Indices
    sizes: Indices

    @classmethod
    def build(
        cls, sets: Sequence[tuple[Hashes, Offsets]], max_owners: int | None = None
    ) -> Postings:
        """From `shingle_sets` of the texts, part after part.

        max_owners: n-grams of more texts than this (phrases of a template) are left out of the
        index and of the sizes.
        """
        sizes = np.concatenate([np.zeros(0, np.int64), *(np.diff(starts) for _, starts in sets)])
        values = np.concatenate([np.zeros(0, np.uint64), *(hashes for hashes, _ in sets)])
        owners = np.repeat(np.arange(len(sizes)), sizes)
        order = np.argsort(values, kind="stable")
        values, owners = values[order], owners[order]
        if max_owners is not None and len(values):
            _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
            rare = counts[inverse] <= max_owners
            values, owners = values[rare], owners[rare]
            sizes = np.bincount(owners, minlength=len(sizes))
        return cls(values, owners, sizes)

    def shared(self, hashes: Hashes, starts: Offsets) -> tuple[Indices, Indices, Indices]:
        """Pairs that share an n-gram: (text, indexed text, number of shared distinct n-grams).

        hashes, starts: `shingle_sets` of the texts. Sorted by text, then indexed text.
        """
        document = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        # Most n-grams are not in the index: a table of 22 bits of those that are tells at once.
        table = np.zeros(1 << 22, np.bool_)
        table[self.hashes >> np.uint64(42)] = True
        likely = np.flatnonzero(table[hashes >> np.uint64(42)])
        hashes, document = hashes[likely], document[likely]
        low = np.searchsorted(self.hashes, hashes, "left")
        hits = np.flatnonzero(low < len(self.hashes))
        hits = hits[self.hashes[low[hits]] == hashes[hits]]
        hashes, document, low = hashes[hits], document[hits], low[hits]
        runs = np.searchsorted(self.hashes, hashes, "right") - low
        entry = np.arange(runs.sum()) - np.repeat(np.cumsum(runs) - runs, runs)
        owner = self.owners[entry + np.repeat(low, runs)]
        # One key per pair; how often it occurs is the size of the intersection.
        count = max(1, len(self.sizes))
        key, shared = np.unique(np.repeat(document, runs) * count + owner, return_counts=True)
        return key // count, key % count, shared
