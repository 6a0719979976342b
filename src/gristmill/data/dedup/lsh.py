"""Locality-sensitive hashing of signatures: candidate pairs, and groups by connected components.

Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4:
b bands of r rows make a pair of Jaccard s a candidate with probability 1 - (1 - s^r)^b. Candidates
are checked against exact Jaccard, so the bands set the recall and the threshold the precision; the
default (25 x 4) finds 99.9998% of the pairs at 0.8, 97% at 0.6 and 80% at 0.5, the threshold. A
check costs about a microsecond, which is why the curve may rise well before it.

The index is one 32-bit key per band and document (100 bytes at 25 bands). Two documents that
share a key by accident are a candidate more and nothing else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.data.dedup.minhash import EMPTY, Signatures
from gristmill.data.ngrams import BASE, mix_array

Keys = npt.NDArray[np.uint32]
Pairs = npt.NDArray[np.int64]

# Up to this size every pair of a bucket is a candidate; larger buckets (pages that exist hundreds
# of times) are tied to their first member and in a chain, so that the work stays linear.
ALL_PAIRS_UP_TO = 32


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair of this Jaccard similarity is looked at: 1 - (1 - s^r)^b."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def band_keys(signatures: Signatures, bands: int, rows: int) -> Keys:
    """The index: uint32[documents, bands]. Band k hashes rows k*r .. k*r + r - 1 of the signature.

    signatures: uint32[documents, at least bands * rows].
    """
    keys = np.zeros((len(signatures), bands), np.uint64)
    for row in range(rows):
        keys = keys * BASE + signatures[:, row : bands * rows : rows].astype(np.uint64)
    return (mix_array(keys) >> np.uint64(32)).astype(np.uint32)


def has_shingles(signatures: Signatures) -> npt.NDArray[np.bool_]:
    """Documents that have words at all: those without are nobody's copies."""
    return ~np.all(signatures == EMPTY, axis=1)


@njit(cache=True, nogil=True)
def _bucket_pairs(
    keys: Keys, order: Pairs, all_pairs: int, out: npt.NDArray[np.uint64], write: bool
) -> int:
    """Pairs of documents with equal keys, packed (smaller << 32 | larger); returns their number.

    keys: sorted; order: the documents in that order, ascending within equal keys.
    """
    count = 0
    start = 0
    n = len(keys)
    while start < n:
        stop = start + 1
        while stop < n and keys[stop] == keys[start]:
            stop += 1
        for i in range(start, stop):
            for j in range(i + 1, stop):
                if stop - start > all_pairs and not (i == start or j == i + 1):
                    break
                if write:
                    out[count] = (np.uint64(order[i]) << np.uint64(32)) | np.uint64(order[j])
                count += 1
        start = stop
    return count


def candidate_pairs(
    keys: Keys, eligible: npt.NDArray[np.bool_], all_pairs: int = ALL_PAIRS_UP_TO
) -> Pairs:
    """Pairs (smaller, larger) that share a band, once each, sorted: int64[pairs, 2]."""
    documents = np.flatnonzero(eligible)
    found = np.zeros(0, np.uint64)
    for band in range(keys.shape[1]):
        column = keys[documents, band]
        by_key = np.argsort(column, kind="stable")
        ordered, order = column[by_key], documents[by_key]
        # Most keys occur once; leaving them out makes the rest small.
        same = ordered[1:] == ordered[:-1]
        twin = np.zeros(len(ordered), np.bool_)
        twin[1:] |= same
        twin[:-1] |= same
        ordered, order = ordered[twin], order[twin]
        count = _bucket_pairs(ordered, order, all_pairs, np.zeros(0, np.uint64), False)
        packed = np.empty(count, np.uint64)
        _bucket_pairs(ordered, order, all_pairs, packed, True)
        # Band by band, so that a pair that shares all bands is held once.
        found = np.unique(np.concatenate([found, packed]))
    left = (found >> np.uint64(32)).astype(np.int64)
    right = (found & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return np.stack([left, right], axis=1)


@njit(cache=True, nogil=True)
def _unite(pairs: Pairs, parent: npt.NDArray[np.int64]) -> None:
    for k in range(len(pairs)):
        i, j = pairs[k, 0], pairs[k, 1]
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        # The smaller index becomes the root, whatever the order of the pairs.
        if i < j:
            parent[j] = i
        elif j < i:
            parent[i] = j
    for i in range(len(parent)):
        # Roots come before their members: one step is enough.
        parent[i] = parent[parent[i]]


def connected_components(count: int, pairs: Pairs) -> npt.NDArray[np.int64]:
    """For each of `count` documents the smallest index of its component (union-find)."""
    parent = np.arange(count, dtype=np.int64)
    _unite(np.ascontiguousarray(pairs), parent)
    return parent
