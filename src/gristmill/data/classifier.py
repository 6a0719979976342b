"""A linear text classifier on hashed word n-grams, trained here: softmax regression with AdaGrad.

The family of fastText's supervised models (Joulin et al. 2017, "Bag of tricks for efficient text
classification": hashed n-grams, a softmax over labels) without the hidden layer, which for a few
labels only writes the same linear function otherwise. Each word and word pair counts
1/sqrt(length), so that long and short texts have inputs of about the same norm. AdaGrad (Duchi
et al. 2011) gives rare n-grams the larger steps that inverse document frequency would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from safetensors import safe_open
from safetensors.numpy import save_file

from gristmill.core.canonical import canonical_json
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.data.ngrams import Offsets, Texts, mix_array, ngram_hashes, word_hashes

Buckets = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

FORMAT = "gristmill hashed linear classifier 1"


@dataclass(frozen=True)
class Features:
    """Hashed n-grams of texts: text i has buckets[starts[i]:starts[i + 1]]."""

    buckets: Buckets
    starts: Offsets

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """The texts of all parts, in order."""
        lengths = [np.zeros(1, np.int64), *(np.diff(part.starts) for part in parts)]
        buckets = [np.zeros(0, np.int32), *(part.buckets for part in parts)]
        return cls(np.concatenate(buckets), np.cumsum(np.concatenate(lengths)))

    def take(self, rows: npt.NDArray[np.int64]) -> Features:
        """The features of these texts, in this order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        at = np.arange(starts[-1]) + np.repeat(self.starts[:-1][rows] - starts[:-1], lengths)
        return Features(self.buckets[at], starts)


def hashed_features(
    texts: Texts,
    *,
    bits: int = 18,
    ngrams: int = 2,
    max_words: int = 2000,
) -> Features:
    """The 1- to `ngrams`-grams of each text's first `max_words` words, in 2^bits buckets."""
    words, starts = word_hashes(texts)
    lengths = np.minimum(np.diff(starts), max_words)
    if np.any(lengths < np.diff(starts)):
        inside = np.arange(len(words)) - np.repeat(starts[:-1], np.diff(starts))
        words = words[inside < max_words]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    found, ends = [], np.zeros(len(starts), np.int64)
    for n in range(1, ngrams + 1):
        hashes, ngram_starts = ngram_hashes(words, starts, n)
        # The order is part of the hash, so that a text of one word is not also its own pair.
        bucket = (mix_array(hashes + np.uint64(n)) >> np.uint64(64 - bits)).astype(np.int32)
        found.append((bucket, ngram_starts))
        ends += ngram_starts
    out = np.empty(ends[-1], np.int32)
    begin = ends[:-1].copy()
    for bucket, ngram_starts in found:
        counts = np.diff(ngram_starts)
        place = np.arange(len(bucket)) + np.repeat(begin - ngram_starts[:-1], counts)
        out[place] = bucket
        begin += counts
    return Features(out, ends)


@njit(cache=True, nogil=True)
def _scores(
    buckets: Buckets, start: int, stop: int, weights: Floats, bias: Floats, out: Floats
) -> None:
    out[:] = 0.0
    for i in range(start, stop):
        row = weights[buckets[i]]
        for k in range(len(out)):
            out[k] += row[k]
    scale = np.float32(1.0 / np.sqrt(max(1, stop - start)))
    for k in range(len(out)):
        out[k] = out[k] * scale + bias[k]


@njit(cache=True, nogil=True)
def _predict(buckets: Buckets, starts: Offsets, weights: Floats, bias: Floats, out: Floats) -> None:
    for i in range(len(starts) - 1):
        _scores(buckets, starts[i], starts[i + 1], weights, bias, out[i])


@njit(cache=True, nogil=True)
def _train(
    buckets: Buckets,
    starts: Offsets,
    labels: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    label_weights: Floats,
    rate: float,
    decay: float,
    weights: Floats,
    bias: Floats,
    squares: Floats,
) -> None:
    label_count = len(bias)
    scores = np.zeros(label_count, np.float32)
    bias_squares = np.zeros(label_count, np.float32)
    for i in order:
        start, stop = starts[i], starts[i + 1]
        _scores(buckets, start, stop, weights, bias, scores)
        highest = scores[0]
        for k in range(1, label_count):
            highest = max(highest, scores[k])
        total = np.float32(0.0)
        for k in range(label_count):
            scores[k] = np.exp(scores[k] - highest)
            total += scores[k]
        weight = label_weights[labels[i]]
        for k in range(label_count):
            # Now the gradient of the cross-entropy by each score.
            scores[k] = weight * (scores[k] / total - (1.0 if k == labels[i] else 0.0))
            bias_squares[k] += scores[k] * scores[k]
            bias[k] -= np.float32(rate) * scores[k] / np.sqrt(bias_squares[k] + 1e-6)
        scale = np.float32(1.0 / np.sqrt(max(1, stop - start)))
        for j in range(start, stop):
            bucket = buckets[j]
            row = weights[bucket]
            for k in range(label_count):
                gradient = scores[k] * scale + np.float32(decay) * row[k]
                squares[bucket, k] += gradient * gradient
                row[k] -= np.float32(rate) * gradient / np.sqrt(squares[bucket, k] + 1e-6)


@dataclass(frozen=True)
class Classifier:
    """labels: names of the columns of the scores. weights: float32[2^bits, labels]."""

    labels: tuple[str, ...]
    bits: int
    ngrams: int
    weights: Floats
    bias: Floats

    def features(self, texts: Texts) -> Features:
        """The features that this classifier reads."""
        return hashed_features(texts, bits=self.bits, ngrams=self.ngrams)

    def scores(self, features: Features) -> Floats:
        """Log-probabilities up to a constant per text: float32[texts, labels]."""
        out = np.empty((len(features), len(self.labels)), np.float32)
        _predict(features.buckets, features.starts, self.weights, self.bias, out)
        return out

    def sparse(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """What a file holds of it: numbers and names, and arrays of the rows of `weights` that
        training touched (most buckets of a small set are empty)."""
        rows = np.flatnonzero(self.weights.any(axis=1)).astype(np.int32)
        about = {"labels": list(self.labels), "bits": self.bits, "ngrams": self.ngrams}
        return about, {"rows": rows, "weights": self.weights[rows], "bias": self.bias}

    @classmethod
    def of_sparse(
        cls, about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Classifier:
        """The opposite of `sparse`. Raises ValueError for sizes that no training here makes: a
        file from elsewhere does not decide how much memory is taken."""
        bits, ngrams, labels = about["bits"], about["ngrams"], tuple(about["labels"])
        if not (8 <= bits <= 24 and 1 <= ngrams <= 8):
            raise ValueError(f"2^{bits} rows for runs of {ngrams}")
        weights = np.zeros((1 << bits, len(labels)), np.float32)
        weights[arrays["rows"]] = arrays["weights"]
        return cls(labels, bits, ngrams, weights, arrays["bias"])

    def save(self, path: Path) -> None:
        """Writes one safetensors file that holds everything, labels in its metadata."""
        about = {"labels": list(self.labels), "bits": self.bits, "ngrams": self.ngrams}
        # One metadata key: with several, the order in the file would vary from process to process.
        save_file(
            {"weights": self.weights, "bias": self.bias},
            path,
            metadata={"classifier": canonical_json({"format": FORMAT, **about})},
        )

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Reads what `save` wrote. Raises GristmillError for any other file."""
        import json

        try:
            with safe_open(str(path), framework="numpy") as file:
                about = json.loads((file.metadata() or {})["classifier"])
                weights, bias = file.get_tensor("weights"), file.get_tensor("bias")
            if about["format"] != FORMAT or weights.shape != (1 << about["bits"], len(bias)):
                raise ValueError(f"format {about['format']}, weights {weights.shape}")
        except Exception as error:  # safetensors raises its own types
            raise GristmillError(
                f"not a classifier of ours: {error}", where=path, mend="train it again"
            ) from error
        return cls(tuple(about["labels"]), about["bits"], about["ngrams"], weights, bias)


def train_classifier(
    features: Features,
    labels: npt.NDArray[np.int64],
    names: Sequence[str],
    *,
    rows: npt.NDArray[np.int64] | None = None,
    bits: int = 18,
    ngrams: int = 2,
    epochs: int = 5,
    rate: float = 0.3,
    decay: float = 0.0,
    balance: bool = False,
    seed: int = 0,
) -> Classifier:
    """Softmax regression of `labels` (indices into `names`) on `features`.

    rows: the texts to learn from, by default all; as `features.take(rows)` with no second copy.
    decay: L2 penalty on the n-grams of each text in turn. balance: each label weighs the same in
    total, however many texts carry it. One thread and a seeded order: equal input, equal weights.
    """
    chosen = np.arange(len(labels)) if rows is None else rows
    weights = np.zeros((1 << bits, len(names)), np.float32)
    bias = np.zeros(len(names), np.float32)
    counts = np.bincount(labels[chosen], minlength=len(names)).astype(np.float64)
    label_weights = np.ones(len(names), np.float32)
    if balance:
        label_weights = (len(chosen) / len(names) / np.maximum(counts, 1.0)).astype(np.float32)
    random = np.random.default_rng(derive_seed(seed, "classifier"))
    order = np.concatenate([chosen[random.permutation(len(chosen))] for _ in range(epochs)])
    _train(
        features.buckets,
        features.starts,
        labels.astype(np.int64),
        order,
        label_weights,
        rate,
        decay,
        weights,
        bias,
        np.zeros_like(weights),
    )
    return Classifier(tuple(names), bits, ngrams, weights, bias)


def log_softmax(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Log-probabilities along the last axis."""
    scores = scores.astype(np.float64)
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def folds(groups: Sequence[str], count: int, seed: int) -> npt.NDArray[np.int64]:
    """A fold in 0..count-1 for each document; documents of one group share theirs.

    By hash, so that a document's fold does not depend on which others there are.
    """
    return np.array([derive_seed(seed, "fold", group) % count for group in groups], dtype=np.int64)
