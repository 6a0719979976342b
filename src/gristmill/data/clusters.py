"""Domains where nothing names any: hashed TF-IDF, spherical k-means, names from telling words.

Documents are directions in the space of hashed words (TF-IDF, unit length); spherical k-means
(Dhillon and Modha 2001) maximises the cosine of each to its cluster's direction, from k-means++
seeds (Arthur and Vassilvitskii 2007). The number of clusters is the largest at which two halves of
the documents, clustered apart, still agree (Lange et al. 2004), by the adjusted Rand index (Hubert
and Arabie 1985), which counts chance as 0. Equal input and seed give equal clusters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.seeds import derive_seed
from gristmill.data.classifier import Features

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# A word of more documents than this share tells nothing of any; one of fewer than two neither.
# Between 0.05 and 0.3 the clusters of 9,795 articles fit their topics alike.
_MOST = 0.15
_LEAST = 2
CHOICES = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_TOO_COMMON = 0.1
_STARTS = 2
_CHOSEN_BY = 10_000
_ROUNDS = 60
_WORD = re.compile(r"[^\W\d_]{3,30}")


@dataclass(frozen=True)
class Sparse:
    """Unit vectors: text i has values[starts[i]:starts[i + 1]] at columns[...]. A text without a
    word that counts is the zero vector."""

    columns: npt.NDArray[np.int32]
    values: Floats
    starts: Ints
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, rows: Ints) -> Sparse:
        """These texts, in this order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        at = np.arange(starts[-1]) + np.repeat(self.starts[:-1][rows] - starts[:-1], lengths)
        return Sparse(self.columns[at], self.values[at], starts, self.width)


def tf_idf(features: Features, bits: int) -> Sparse:
    """(1 + ln count) * ln(documents / documents with it), scaled to unit length.

    features: of one-word n-grams, in 2^bits buckets.
    """
    texts = len(features)
    text_of = np.repeat(np.arange(texts), np.diff(features.starts))
    pairs, counts = np.unique(
        (text_of.astype(np.int64) << bits) | features.buckets.astype(np.int64), return_counts=True
    )
    text_of, bucket = pairs >> bits, pairs & ((1 << bits) - 1)
    found_in = np.bincount(bucket, minlength=1 << bits)
    # Of very few documents any word is in many.
    counts_for = (found_in >= min(_LEAST, texts)) & (found_in <= max(_MOST * texts, 1))
    chosen = counts_for[bucket]
    text_of, bucket, counts = text_of[chosen], bucket[chosen], counts[chosen]
    new = np.cumsum(counts_for) - 1
    idf = np.log(max(1, texts) / np.maximum(1, found_in))
    values = (1.0 + np.log(counts)) * idf[bucket]
    norms = np.sqrt(np.bincount(text_of, weights=values**2, minlength=texts))
    starts = np.zeros(texts + 1, np.int64)
    np.cumsum(np.bincount(text_of, minlength=texts), out=starts[1:])
    return Sparse(
        new[bucket].astype(np.int32),
        (values / np.maximum(norms[text_of], 1e-12)).astype(np.float32),
        starts,
        max(1, int(counts_for.sum())),
    )


@njit(cache=True, nogil=True)
def _assign(
    columns: npt.NDArray[np.int32],
    values: Floats,
    starts: Ints,
    centres: Floats,
    label: Ints,
    cosine: Floats,
) -> None:
    """label, cosine: of the nearest centre. centres: float32[width, clusters], unit columns."""
    clusters = centres.shape[1]
    near = np.zeros(clusters, np.float32)
    for i in range(len(starts) - 1):
        near[:] = 0.0
        for j in range(starts[i], starts[i + 1]):
            row = centres[columns[j]]
            value = values[j]
            for k in range(clusters):
                near[k] += value * row[k]
        best = 0
        for k in range(1, clusters):
            if near[k] > near[best]:
                best = k
        label[i] = best
        cosine[i] = near[best]


@njit(cache=True, nogil=True)
def _sum_up(
    columns: npt.NDArray[np.int32], values: Floats, starts: Ints, label: Ints, centres: Floats
) -> None:
    """Adds each text to its cluster's column and scales the columns to unit length."""
    centres[:] = 0.0
    for i in range(len(starts) - 1):
        for j in range(starts[i], starts[i + 1]):
            centres[columns[j], label[i]] += values[j]
    for k in range(centres.shape[1]):
        total = 0.0
        for row in range(centres.shape[0]):
            total += centres[row, k] * centres[row, k]
        if total > 0.0:
            scale = np.float32(1.0 / np.sqrt(total))
            for row in range(centres.shape[0]):
                centres[row, k] *= scale


@dataclass(frozen=True)
class Clusters:
    """centres: float32[width, clusters]. label, cosine: of each text; clusters are numbered from
    the largest. objective: mean cosine."""

    centres: Floats
    label: Ints
    cosine: Floats
    objective: float

    def assign(self, texts: Sparse) -> tuple[Ints, Floats]:
        """The nearest cluster of other texts of the same width, and the cosine to it."""
        label, cosine = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.float32)
        _assign(texts.columns, texts.values, texts.starts, self.centres, label, cosine)
        return label, cosine


def cluster(texts: Sparse, clusters: int, seed: int, *, starts: int = _STARTS) -> Clusters:
    """Spherical k-means, the best of several starts. Fewer texts than clusters is a ValueError."""
    if len(texts) < clusters:
        raise ValueError(f"{clusters} clusters of {len(texts)} texts")
    found = [_once(texts, clusters, derive_seed(seed, "start", n)) for n in range(starts)]
    best = max(found, key=lambda one: one.objective)
    order = np.argsort(-np.bincount(best.label, minlength=clusters), kind="stable")
    place = np.argsort(order, kind="stable")
    return Clusters(
        np.ascontiguousarray(best.centres[:, order]), place[best.label], best.cosine, best.objective
    )


def _once(texts: Sparse, clusters: int, seed: int) -> Clusters:
    """One start, then clusters are split and merged as long as that helps: texts are nearly at
    right angles to each other, so that seeds often lie in one theme and none in another."""
    random = np.random.default_rng(seed)
    best = _rounds(texts, _seeds(texts, clusters, random))
    if clusters < 3:
        return best
    tried: set[tuple[int, int, int]] = set()
    for _ in range(2 * clusters):
        split, (kept, freed) = _loosest(best, tried)
        if split < 0:
            break
        centres = best.centres.copy()
        inside = np.flatnonzero(best.label == split)
        both = _rounds(texts.take(inside), _seeds(texts.take(inside), 2, random))
        merged = centres[:, kept] + centres[:, freed]
        centres[:, kept] = merged / max(1e-12, float(np.linalg.norm(merged)))
        centres[:, split], centres[:, freed] = both.centres[:, 0], both.centres[:, 1]
        found = _rounds(texts, centres)
        if found.objective > best.objective + 1e-6:
            best, tried = found, set()
        else:
            tried.add((split, kept, freed))
    return best


def _loosest(found: Clusters, tried: set[tuple[int, int, int]]) -> tuple[int, tuple[int, int]]:
    """The cluster that loses most by its spread, and the two closest of the others; -1 where all
    likely choices were tried."""
    clusters = found.centres.shape[1]
    loss = np.bincount(found.label, weights=1.0 - found.cosine, minlength=clusters)
    size = np.bincount(found.label, minlength=clusters)
    near = found.centres.T @ found.centres
    pairs = sorted(
        (-float(near[i, j]), i, j) for i in range(clusters) for j in range(i + 1, clusters)
    )
    for split in np.argsort(-loss, kind="stable").tolist()[:2]:
        others = [(i, j) for _, i, j in pairs if split not in (i, j)][:2]
        for i, j in others:
            if size[split] > 1 and (split, i, j) not in tried:
                return split, (i, j)
    return -1, (0, 0)


def _seeds(texts: Sparse, clusters: int, random: np.random.Generator) -> Floats:
    """k-means++: each next centre a text, drawn by its squared distance to the nearest."""
    centres = np.zeros((texts.width, clusters), np.float32)
    label, cosine = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.float32)
    nearest = np.full(len(texts), -1.0, np.float32)
    row = int(random.integers(len(texts)))
    for k in range(clusters):
        _set_centre(centres, k, texts, row)
        one = np.ascontiguousarray(centres[:, k : k + 1])
        _assign(texts.columns, texts.values, texts.starts, one, label, cosine)
        nearest = np.maximum(nearest, cosine)
        # The squared distance of two unit vectors is 2 - 2 cos.
        far = np.maximum(0.0, 1.0 - nearest.astype(np.float64))
        row = int(np.searchsorted(np.cumsum(far), random.random() * far.sum(), side="right"))
        row = min(row, len(texts) - 1)
    return centres


def _rounds(texts: Sparse, centres: Floats) -> Clusters:
    """Assignment and means in turn until nothing moves."""
    clusters = centres.shape[1]
    label, cosine = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.float32)
    before = np.full(len(texts), -1, np.int64)
    for _ in range(_ROUNDS):
        _assign(texts.columns, texts.values, texts.starts, centres, label, cosine)
        if np.array_equal(label, before):
            break
        before[:] = label
        _sum_up(texts.columns, texts.values, texts.starts, label, centres)
        empty = np.flatnonzero(np.bincount(label, minlength=clusters) == 0)
        # A cluster that lost all its texts begins again at those that fit theirs least.
        worst = np.argsort(cosine, kind="stable")[: len(empty)]
        for k, worst_row in zip(empty.tolist(), worst.tolist(), strict=True):
            _set_centre(centres, k, texts, worst_row)
    _assign(texts.columns, texts.values, texts.starts, centres, label, cosine)
    return Clusters(centres, label, cosine, float(cosine.mean()))


def _set_centre(centres: Floats, k: int, texts: Sparse, row: int) -> None:
    centres[:, k] = 0.0
    inside = slice(texts.starts[row], texts.starts[row + 1])
    centres[texts.columns[inside], k] = texts.values[inside]


def choose_clusters(
    texts: Sparse, seed: int, *, agreement: float = 0.5, choices: Sequence[int] = CHOICES
) -> tuple[int, dict[int, float]]:
    """(the number of clusters, agreement of the halves at each number that was tried).

    Two random halves are clustered apart; each clustering then labels all texts. The best
    agreement is nearly always that of two clusters, so the number taken is the largest that reaches
    `agreement`, or the best where none does. Numbers that would leave fewer than 20 texts a cluster
    in a half are not tried.
    """
    order = np.random.default_rng(derive_seed(seed, "halves")).permutation(len(texts))
    # Fewer texts agree on fewer clusters (4,000 articles on 4, 7,272 on 8); more cost more.
    order = order[:_CHOSEN_BY]
    whole = texts.take(np.sort(order))
    halves = [texts.take(np.sort(half)) for half in np.array_split(order, 2)]
    found: dict[int, float] = {}
    for clusters in choices:
        if found and len(order) // 2 < 20 * clusters:
            break
        labels = [
            cluster(half, clusters, derive_seed(seed, "half", which, clusters), starts=1).assign(
                whole
            )[0]
            for which, half in enumerate(halves)
        ]
        found[clusters] = adjusted_rand(*labels)
    enough = [clusters for clusters, value in found.items() if value >= agreement]
    return max(enough) if enough else max(found, key=lambda k: found[k]), found


def adjusted_rand(a: Ints, b: Ints) -> float:
    """Agreement of two partitions of the same things: 1 where equal, 0 as by chance."""
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1)

    def pairs(counts: npt.NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, of_a, of_b = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = of_a * of_b / max(1.0, len(a) * (len(a) - 1) / 2)
    most = (of_a + of_b) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def telling_words(
    texts: Iterable[tuple[str, int]], clusters: int, *, words: int = 3, shown: int = 8
) -> tuple[list[str], list[list[str]]]:
    """(a name, the most telling words) of each cluster, from (text, its cluster).

    A word counts once a text. It tells of a cluster by the log-odds of meeting it there against
    elsewhere, over their error (Monroe, Colaresi and Quinn 2008, section 3.5), with all texts as
    the prior. Words of every tenth text or more are too common to name anything. Names are unique:
    `sea-river-lake`, a number added where two are equal.
    """
    each: list[Counter[str]] = [Counter() for _ in range(clusters)]
    sizes = [0] * clusters
    for text, label in texts:
        each[label].update({word.lower() for word in _WORD.findall(text)})
        sizes[label] += 1
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    everything = sum(sizes)
    telling: list[list[str]] = []
    for counts, size in zip(each, sizes, strict=True):
        scored = []
        for word, count in counts.items():
            if total[word] > max(_TOO_COMMON * everything, _LEAST):
                continue
            prior = total[word] / max(1, everything)
            here, there = count + prior, total[word] - count + prior
            odds = np.log(here / (size - count + 1.0)) - np.log(
                there / (everything - size - (total[word] - count) + 1.0)
            )
            scored.append((-odds / np.sqrt(1.0 / here + 1.0 / there), word))
        telling.append([word for _, word in sorted(scored)[:shown]])
    names: list[str] = []
    for number, found in enumerate(telling):
        name = "-".join(found[:words]) or f"cluster {number + 1}"
        names.append(name if name not in names else f"{name} {number + 1}")
    return names, telling


@dataclass(frozen=True)
class Found:
    """Clusters of all texts. label, cosine: of each. agreement: of two halves, by the numbers of
    clusters that were tried; empty where the number was given."""

    clusters: int
    label: Ints
    cosine: Floats
    agreement: dict[int, float]


def cluster_texts(
    features: Features,
    bits: int,
    *,
    clusters: int | None = None,
    agreement: float = 0.5,
    seed: int = 0,
    sample: int = 100_000,
) -> Found:
    """Clusters of texts from their words, fitted on `sample` of them at most; all get a label.

    clusters: their number; None chooses it. Fewer texts than clusters gives a cluster each.
    """
    texts = tf_idf(features, bits)
    some = texts
    if len(texts) > sample:
        random = np.random.default_rng(derive_seed(seed, "sample"))
        some = texts.take(np.sort(random.choice(len(texts), sample, replace=False)))
    tried: dict[int, float] = {}
    if clusters is None and len(some) >= 4:
        clusters, tried = choose_clusters(some, seed, agreement=agreement)
    clusters = max(1, min(clusters or 1, len(some)))
    label, cosine = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.float32)
    if len(texts):
        label, cosine = cluster(some, clusters, seed).assign(texts)
    return Found(clusters, label, cosine, tried)
