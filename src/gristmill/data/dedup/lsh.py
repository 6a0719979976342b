"""Locality-sensitive hashing of signatures: candidate pairs, and groups by connected components.

Indyk and Motwani 1998; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4:
b bands of r rows make a pair of Jaccard s a candidate with probability 1 - (1 - s^r)^b. Candidates
are checked against exact Jaccard, so the bands set the recall and the threshold the precision; the
default (25 x 4) finds 99.9998% of the pairs at 0.8, 97% at 0.6 and 80% at 0.5, the threshold. A
check costs about a microsecond, which is why the curve may rise well before it.

The index is one 32-bit key per band and document (100 bytes at 25 bands), read band by band: the
memory is that of one band, 4 bytes a document and 8 while it is sorted. Two documents that share a
key by accident are a candidate more and nothing else. Groups do not depend on the order of the
documents: what is looked at of a large bucket is chosen by the documents' content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.data.dedup.minhash import EMPTY, Signatures
from gristmill.data.ngrams import BASE, Hashes, mix

Keys = npt.NDArray[np.uint32]
Pairs = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]

# Up to this size every pair of a bucket is a candidate. Larger buckets (pages that exist hundreds
# of times, or share a notice) are cut up by the key of the next band: pairs that agree in it too,
# up to this size again, and neighbours in the order of that key and then of content, so that the
# work stays linear. Where all 10 of the 25 bands that a pair at 0.8 shares are crowded, 0.5% of
# such pairs are missed.
ALL_PAIRS_UP_TO = 32
NEIGHBOURS = 2

# The key of a document without words, in every band: such documents are nobody's copies.
NO_KEY = np.uint32(0)


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair of this Jaccard similarity is looked at: 1 - (1 - s^r)^b."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


@njit(cache=True, nogil=True)
def _band_keys(signatures: Signatures, bands: int, rows: int, out: Keys) -> None:
    for document in range(len(signatures)):
        signature = signatures[document]
        empty = True
        for value in signature:
            if value != EMPTY:
                empty = False
                break
        for band in range(bands):
            key = np.uint64(0)
            for row in range(band * rows, band * rows + rows):
                key = key * BASE + np.uint64(signature[row])
            short = np.uint32(mix(key) >> np.uint64(32))
            out[band, document] = NO_KEY if empty else max(short, np.uint32(1))


def band_keys(signatures: Signatures, bands: int, rows: int) -> Keys:
    """The index: uint32[bands, documents]. Band k hashes rows k*r .. k*r + r - 1 of the signature;
    documents without words have NO_KEY.

    signatures: uint32[documents, at least bands * rows].
    """
    out = np.empty((bands, len(signatures)), np.uint32)
    _band_keys(signatures, bands, rows, out)
    return out


@njit(cache=True, nogil=True)
def _pack(keys: Keys, out: Packed) -> int:
    """key << 32 | document of each that has a key: once sorted, buckets in order of documents."""
    count = 0
    for document in range(len(keys)):
        if keys[document] != NO_KEY:
            out[count] = (np.uint64(keys[document]) << np.uint64(32)) | np.uint64(document)
            count += 1
    return count


def _sorted(keys: Keys, room: Packed) -> Packed:
    packed = room[: _pack(keys, room)]
    # Sorted as one number: no tie is left to the kind of sort, which may be the fastest.
    packed.sort()
    return packed


class Bands(Protocol):
    """The keys of all documents, band by band."""

    def __len__(self) -> int: ...

    def __getitem__(self, band: int, /) -> Keys: ...


@njit(cache=True, nogil=True)
def _bucket_pairs(
    packed: Packed, whole: bool, near: int, all_pairs: int, out: Packed, write: bool
) -> int:
    """Pairs of entries whose upper halves are equal, as smaller << 32 | larger of the lower halves;
    returns their number.

    whole: of runs up to `all_pairs` long every pair. Of longer ones, or all of them, each with the
    `near` entries behind it.
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    count = 0
    start = 0
    n = len(packed)
    while start < n:
        stop = start + 1
        while stop < n and packed[stop] >> half == packed[start] >> half:
            stop += 1
        reach = stop - start if whole and stop - start <= all_pairs else near
        for i in range(start, stop):
            for j in range(i + 1, min(stop, i + 1 + reach)):
                if write:
                    a, b = packed[i] & low, packed[j] & low
                    out[count] = (min(a, b) << half) | max(a, b)
                count += 1
        start = stop
    return count


def _pairs_of(packed: Packed, whole: bool, near: int, all_pairs: int) -> Packed:
    found = np.empty(_bucket_pairs(packed, whole, near, all_pairs, packed[:0], False), np.uint64)
    _bucket_pairs(packed, whole, near, all_pairs, found, True)
    return found


@njit(cache=True, nogil=True)
def _crowded(packed: Packed, all_pairs: int, out: Packed, write: bool) -> int:
    """The entries of buckets of more than `all_pairs` documents; returns their number."""
    half = np.uint64(32)
    count = 0
    start = 0
    for i in range(1, len(packed) + 1):
        if i == len(packed) or packed[i] >> half != packed[start] >> half:
            if i - start > all_pairs:
                if write:
                    out[count : count + i - start] = packed[start:i]
                count += i - start
            start = i
    return count


def _pairs_of_crowded(
    crowded: Packed, following: Keys, content: Hashes | None, all_pairs: int
) -> Iterable[Packed]:
    """following: the documents' keys in the next band."""
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    documents = (crowded & low).astype(np.int64)
    bucket = crowded >> half
    second = following[documents]
    third = content[documents] if content is not None else documents
    order = np.lexsort((third, second, bucket))
    bucket, second = bucket[order], second[order]
    documents_ = documents[order].astype(np.uint64)
    # Runs are numbered, so that bucket and second key fit into half a number.
    new = np.ones(len(order), np.bool_)
    new[1:] = bucket[1:] != bucket[:-1]
    buckets = np.cumsum(new).astype(np.uint64)
    new[1:] |= second[1:] != second[:-1]
    runs = np.cumsum(new).astype(np.uint64)
    yield _pairs_of((buckets << half) | documents_, False, NEIGHBOURS, all_pairs)
    yield _pairs_of((runs << half) | documents_, True, NEIGHBOURS, all_pairs)


def band_pairs(
    bands: Bands, content: Hashes | None = None, all_pairs: int = ALL_PAIRS_UP_TO
) -> Iterator[Packed]:
    """Pairs that share a band, as smaller << 32 | larger, in no order; several times where they
    share several bands.

    bands: the keys of all documents (fewer than 2^32). content: a number of each document that its
    text alone decides; without it the groups of crowded buckets follow the order of documents.
    Held beside one band are its pairs, 8 bytes each.
    """
    room = np.zeros(0, np.uint64)
    for band in range(len(bands)):
        keys = bands[band]
        room = room if len(room) >= len(keys) else np.empty(len(keys), np.uint64)
        packed = _sorted(keys, room)
        del keys
        yield _pairs_of(packed, True, 0, all_pairs)
        count = _crowded(packed, all_pairs, packed[:0], False)
        if count:
            crowded = np.empty(count, np.uint64)
            _crowded(packed, all_pairs, crowded, True)
            following = bands[(band + 1) % len(bands)]
            yield from _pairs_of_crowded(crowded, following, content, all_pairs)


def distinct(packed: Packed) -> Packed:
    """Sorts in place, and gives each number once."""
    packed.sort()
    first = np.ones(len(packed), np.bool_)
    first[1:] = packed[1:] != packed[:-1]
    return packed[first]


def unpacked(packed: Packed) -> Pairs:
    """(smaller, larger) of each: int64[pairs, 2]."""
    pairs = np.empty((len(packed), 2), np.int64)
    pairs[:, 0] = packed >> np.uint64(32)
    pairs[:, 1] = packed & np.uint64(0xFFFFFFFF)
    return pairs


def candidate_pairs(
    bands: Bands, content: Hashes | None = None, all_pairs: int = ALL_PAIRS_UP_TO
) -> Pairs:
    """`band_pairs` in memory, once each, sorted: int64[pairs, 2]."""
    return unpacked(distinct(np.concatenate([*band_pairs(bands, content, all_pairs)])))


@njit(cache=True, nogil=True)
def _root(parent: npt.NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _join(parent: npt.NDArray[np.int64], i: int, j: int) -> None:
    i, j = _root(parent, i), _root(parent, j)
    # The smaller index becomes the root, whatever the order of the pairs.
    if i < j:
        parent[j] = i
    elif j < i:
        parent[i] = j


@njit(cache=True, nogil=True)
def _unite_pairs(pairs: Pairs, parent: npt.NDArray[np.int64]) -> None:
    for k in range(len(pairs)):
        _join(parent, pairs[k, 0], pairs[k, 1])


@njit(cache=True, nogil=True)
def _unite_buckets(packed: Packed, parent: npt.NDArray[np.int64]) -> None:
    half = np.uint64(32)
    low = np.uint64(0xFFFFFFFF)
    for k in range(1, len(packed)):
        if packed[k] >> half == packed[k - 1] >> half:
            _join(parent, np.int64(packed[k - 1] & low), np.int64(packed[k] & low))


@njit(cache=True, nogil=True)
def _flatten(parent: npt.NDArray[np.int64]) -> None:
    # Roots come before their members: one step is enough.
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]


class Components:
    """Documents that pairs tie together (union-find); 8 bytes a document."""

    def __init__(self, count: int):
        self._parent = np.arange(count, dtype=np.int64)

    def unite(self, pairs: Pairs) -> None:
        """Ties the two of each pair; in any order and pieces."""
        _unite_pairs(np.ascontiguousarray(pairs), self._parent)

    def smallest(self) -> npt.NDArray[np.int64]:
        """For each document the smallest index of its component; to be called at the end."""
        _flatten(self._parent)
        return self._parent


def connected_components(count: int, pairs: Pairs) -> npt.NDArray[np.int64]:
    """For each of `count` documents the smallest index of its component."""
    components = Components(count)
    components.unite(pairs)
    return components.smallest()


def bucket_components(count: int, bands: Iterable[Keys]) -> npt.NDArray[np.int64]:
    """As `connected_components` over all pairs that share a band, unchecked, in memory that does
    not grow with the number of pairs (8 bytes a document, and 12 for the band at hand)."""
    parent = np.arange(count, dtype=np.int64)
    room = np.empty(count, np.uint64)
    for keys in bands:
        _unite_buckets(_sorted(keys, room), parent)
    _flatten(parent)
    return parent
