"""How good the groups are, by a sample that is compared exactly with all documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.core.figure import Figure, proportion
from gristmill.core.seeds import derive_seed
from gristmill.data.dedup.minhash import shingle_sets
from gristmill.data.dedup.near import NearSettings, chosen_texts, content_numbers
from gristmill.data.ngrams import Hashes, Texts, mix_array
from gristmill.data.postings import Postings

_DRAWN_AT_ONCE = 1 << 18


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
        content = content_numbers(parts())
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
        sets.append(shingle_sets(chosen_texts(texts, here), n))
        first += len(texts)
    return Postings.build(sets)


def _pairs_within_groups(groups: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]) -> int:
    """Pairs that share a group and of which at least one is in the sample."""
    if not len(chosen):
        return 0
    found, sampled = np.unique(groups[chosen], return_counts=True)
    outside = np.bincount(groups)[found] - sampled
    return int(np.sum(sampled * outside + sampled * (sampled - 1) // 2))
