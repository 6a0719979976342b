"""Near duplicates of a corpus that is read part by part, and what a sample says of the result.

Steps: 1 sign, 2 index by bands, 3 candidates, 4 their exact Jaccard, 5 connected components. The
index (4 bytes a band and document) and the shingles of candidates stand in scratch files; in memory
are a part, one band, the candidate pairs, and 8 bytes a document. Groups are the same however the
documents are ordered and cut into parts.

Documents of an earlier snapshot may stand before them. They are known to differ from each other, so
pairs of two of them are not looked at, and keys that are still there are not made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.figure import Figure, proportion
from gristmill.core.seeds import derive_seed
from gristmill.data.dedup.band_index import BandIndex, SpilledSets
from gristmill.data.dedup.exact import digest_numbers, text_digest
from gristmill.data.dedup.lsh import (
    Keys,
    Pairs,
    band_keys,
    candidate_pairs,
    connected_components,
)
from gristmill.data.dedup.minhash import shingle_sets, signatures
from gristmill.data.ngrams import Hashes, Texts, mix_array
from gristmill.data.postings import Postings

_DRAWN_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class NearSettings:
    """n: words per shingle. threshold: smallest Jaccard similarity of a near duplicate."""

    n: int = 5
    threshold: float = 0.5
    bands: int = 25
    rows: int = 4
    seed: int = 0


@dataclass(frozen=True)
class EarlierPart:
    """A part of an earlier snapshot. read: its texts; keys: their band keys under the same
    settings, uint32[bands, count], or None where they are to be made. Called when wanted."""

    count: int
    read: Callable[[], Texts]
    keys: Callable[[], Keys] | None = None


@dataclass(frozen=True)
class NearGroups:
    """groups: for each document the smallest index of its group. pairs: candidates that passed,
    with their similarity. candidates: how many pairs were looked at. index: the keys of all; read
    it while its folder is there. Earlier documents come first in the numbering."""

    groups: npt.NDArray[np.int64]
    pairs: Pairs
    similarity: npt.NDArray[np.float64]
    candidates: int
    index: BandIndex


def near_groups(
    parts: Callable[[], Iterable[Texts]],
    settings: NearSettings,
    *,
    workers: int = 1,
    earlier: Sequence[EarlierPart] = (),
    content: Callable[[], Hashes] | None = None,
    folder: Path | None = None,
) -> NearGroups:
    """Groups of near duplicates among all texts of all parts, numbered in order.

    `parts` is called twice: once to sign, once to fetch the shingles of candidates. content: gives
    a number of each text, earlier ones first, that equal texts share; by default they are made from
    the texts, which reads the earlier ones too. folder: where the scratch files stand, by default a
    temporary one.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            return near_groups(
                parts,
                settings,
                workers=workers,
                earlier=earlier,
                content=content,
                folder=Path(temporary),
            )
    index = BandIndex(folder, settings.bands)
    old = 0
    for part in earlier:
        kept = part.keys
        index.append(sign_part(part.read(), settings, workers) if kept is None else kept())
        old += part.count
    assert index.documents == old
    for texts in parts():
        index.append(sign_part(texts, settings, workers))
    numbers = content() if content else _content(_readers(earlier, parts))
    pairs = candidate_pairs(index, numbers)
    del numbers
    # The smaller index stands first: where the larger is of the earlier snapshot, both are.
    pairs = pairs[pairs[:, 1] >= old]
    similarity = _similarity(_readers(earlier, parts), pairs, index.documents, settings.n, folder)
    passed = similarity >= settings.threshold
    return NearGroups(
        groups=connected_components(index.documents, pairs[passed]),
        pairs=pairs[passed],
        similarity=similarity[passed],
        candidates=len(pairs),
        index=index,
    )


def sign_part(texts: Texts, settings: NearSettings, workers: int = 1) -> Keys:
    """From text to the keys that the index holds: uint32[bands, texts]."""
    count = settings.bands * settings.rows
    signed = signatures(texts, n=settings.n, count=count, seed=settings.seed, workers=workers)
    return band_keys(signed, settings.bands, settings.rows)


Reader = tuple[int, Callable[[], Texts]]


def _readers(
    earlier: Sequence[EarlierPart], parts: Callable[[], Iterable[Texts]]
) -> Iterator[Reader]:
    """How many texts each part has, and what gives them."""
    for part in earlier:
        yield part.count, part.read
    for texts in parts():
        yield len(texts), partial(_itself, texts)


def _itself(texts: Texts) -> Texts:
    return texts


def _similarity(
    readers: Iterable[Reader], pairs: Pairs, documents: int, n: int, folder: Path
) -> npt.NDArray[np.float64]:
    wanted = np.zeros(documents, np.bool_)
    wanted[pairs.ravel()] = True
    spilled = SpilledSets(folder / "shingles")
    first = 0
    for count, read in readers:
        chosen = np.flatnonzero(wanted[first : first + count])
        first += count
        if len(chosen):
            spilled.append(*shingle_sets(_take(read(), chosen), n))
    return spilled.jaccard(np.searchsorted(np.flatnonzero(wanted), pairs))


def _content(readers: Iterable[Reader]) -> Hashes:
    numbers = [np.zeros(0, np.uint64)]
    for _, read in readers:
        texts = read()
        found = texts.to_pylist() if isinstance(texts, pa.Array | pa.ChunkedArray) else texts
        numbers.append(digest_numbers(map(text_digest, found))[0])
    return np.concatenate(numbers)


def _take(texts: Texts, chosen: npt.NDArray[np.int64]) -> Texts:
    if isinstance(texts, pa.Array | pa.ChunkedArray):
        return texts.take(pa.array(chosen))
    return [texts[i] for i in chosen]


@dataclass(frozen=True)
class SampleEstimate:
    """Of sampled documents against the whole corpus.

    precision: of the pairs that share a group, those whose exact similarity reaches the threshold
    (less than 1 where a chain of copies ties ends that differ). recall: of the pairs whose exact
    similarity reaches the threshold, those that share a group. similarities: exact Jaccard of every
    sampled pair of at least `floor`, for the histogram. Pairs of one group are not independent, so
    the intervals are too narrow where few large groups hold the pairs.
    """

    precision: Figure
    recall: Figure
    sampled: int
    similarities: npt.NDArray[np.float64]
    found: npt.NDArray[np.bool_]


def sample_estimate(
    parts: Callable[[], Iterable[Texts]],
    groups: npt.NDArray[np.int64],
    settings: NearSettings,
    *,
    content: Hashes | None = None,
    sample: int = 1000,
    floor: float = 0.3,
) -> SampleEstimate:
    """Exact Jaccard of `sample` random documents with every document, without any hashing scheme.

    An inverted index of the sample's shingles is run over the corpus; linear in the corpus.
    content: a number of each text; the sample is drawn by it, whatever the order of documents.
    """
    documents = len(groups)
    if content is None:
        content = _content((len(texts), partial(_itself, texts)) for texts in parts())
    chosen = _drawn(content, min(sample, documents), derive_seed(settings.seed, "sample"))
    index = _index(parts, chosen, settings.n)
    similarities, left, right = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    first = 0
    for texts in parts():
        hashes, starts = shingle_sets(texts, settings.n)
        document, member, shared = index.shared(hashes, starts)
        similarity = shared / (np.diff(starts)[document] + index.sizes[member] - shared)
        document = document + first
        # A pair of two sampled documents is met from both ends and counted once.
        again = np.isin(document, chosen) & (document < chosen[member])
        pair = (similarity >= floor) & (document != chosen[member]) & ~again
        similarities.append(similarity[pair])
        left.append(chosen[member[pair]])
        right.append(document[pair])
        first += len(texts)
    exact = np.concatenate(similarities)
    together = groups[np.concatenate(left)] == groups[np.concatenate(right)]
    similar = exact >= settings.threshold
    in_group = _pairs_within_groups(groups, chosen)
    hits = int(np.sum(together & similar))
    return SampleEstimate(
        precision=proportion(hits, in_group),
        recall=proportion(hits, int(np.sum(similar))),
        sampled=len(chosen),
        similarities=exact,
        found=together,
    )


def _drawn(content: Hashes, count: int, seed: int) -> npt.NDArray[np.int64]:
    """The `count` documents of the smallest hashes of `content` and the seed, ascending."""
    chosen = np.zeros(0, np.int64)
    for first in range(0, len(content), _DRAWN_AT_ONCE):
        last = min(len(content), first + _DRAWN_AT_ONCE)
        chosen = np.concatenate([chosen, np.arange(first, last)])
        hashes = mix_array(content[chosen] ^ np.uint64(seed))
        chosen = chosen[np.argsort(hashes, kind="stable")[:count]]
    return np.sort(chosen)


def _index(parts: Callable[[], Iterable[Texts]], chosen: npt.NDArray[np.int64], n: int) -> Postings:
    sets = []
    first = 0
    for texts in parts():
        here = chosen[(chosen >= first) & (chosen < first + len(texts))] - first
        sets.append(shingle_sets(_take(texts, here), n))
        first += len(texts)
    return Postings.build(sets)


def _pairs_within_groups(groups: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]) -> int:
    """Pairs that share a group and of which at least one is in the sample."""
    if not len(chosen):
        return 0
    found, sampled = np.unique(groups[chosen], return_counts=True)
    outside = np.bincount(groups)[found] - sampled
    return int(np.sum(sampled * outside + sampled * (sampled - 1) // 2))
