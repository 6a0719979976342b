"""Domains: a classifier learnt from the documents that name their topic labels the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.core.figure import Figure, proportion
from gristmill.data.calibration import Floats
from gristmill.data.classifier import Classifier, Features, folds, log_softmax, train_classifier

# The domain of everything where nothing is labelled.
ALL = "all"


def usable_labels(
    topics: Sequence[str | None], *, ignore: Collection[str], min_documents: int
) -> list[str | None]:
    """Each document's label: its topic, or None where it has none that counts.

    White space is collapsed; `ignore` (without regard to case) holds topics that say nothing, and a
    topic with fewer than `min_documents` is too rare to be learnt.
    """
    ignored = {name.casefold() for name in ignore}
    cleaned: list[str | None] = []
    for topic in topics:
        name = " ".join((topic or "").split())
        cleaned.append(name if name and name.casefold() not in ignored else None)
    counts = Counter(name for name in cleaned if name is not None)
    return [
        name if name is not None and counts[name] >= min_documents else None for name in cleaned
    ]


@dataclass(frozen=True)
class DomainModel:
    """A classifier and the temperature that makes its probabilities match its hits."""

    classifier: Classifier
    temperature: float

    def predict(self, features: Features) -> tuple[npt.NDArray[np.int64], Floats]:
        """Each text's likeliest label (index into `classifier.labels`), and its probability."""
        log_probabilities = log_softmax(self.classifier.scores(features) / self.temperature)
        best = log_probabilities.argmax(axis=1)
        return best, np.exp(log_probabilities[np.arange(len(best)), best])


@dataclass(frozen=True)
class TrainedDomains:
    """The model, and on labelled documents that its twin had not seen: accuracy, mean probability
    given to the guess, and confusion[true, guessed] counts."""

    model: DomainModel
    accuracy: Figure
    confidence: float
    confusion: npt.NDArray[np.int64]


def train_domains(
    features: Features,
    labels: Sequence[str | None],
    groups: Sequence[str],
    *,
    bits: int,
    ngrams: int,
    held_out: float = 0.1,
    epochs: int = 5,
    rate: float = 0.3,
    seed: int = 0,
) -> TrainedDomains:
    """Trains on the labelled documents; measures with a model that lacked the held-out share.

    features and labels: of the labelled documents at least. groups: documents of one group are held
    out together. At least one document must be labelled.
    """
    names = sorted({label for label in labels if label is not None})
    number = {name: i for i, name in enumerate(names)}
    rows = np.array([i for i, label in enumerate(labels) if label is not None], np.int64)
    numbers = np.array([-1 if label is None else number[label] for label in labels], np.int64)
    truth = numbers[rows]
    slices = 100
    fold = folds([groups[row] for row in rows], slices, seed)
    outside = fold < round(held_out * slices)

    def fit(chosen: npt.NDArray[np.int64]) -> Classifier:
        return train_classifier(
            features,
            numbers,
            names,
            rows=rows[chosen],
            bits=bits,
            ngrams=ngrams,
            epochs=epochs,
            rate=rate,
            seed=seed,
        )

    confusion = np.zeros((len(names), len(names)), np.int64)
    temperature, confidence = 1.0, float("nan")
    test, seen = np.flatnonzero(outside), np.flatnonzero(~outside)
    if len(test) and len(seen):
        twin = fit(seen)
        tested = features.take(rows[test])
        temperature = fit_temperature(twin.scores(tested), truth[test])
        guessed, probability = DomainModel(twin, temperature).predict(tested)
        np.add.at(confusion, (truth[test], guessed), 1)
        confidence = float(probability.mean())
    hits = int(np.trace(confusion))
    model = DomainModel(fit(np.arange(len(rows))), temperature)
    return TrainedDomains(model, proportion(hits, int(confusion.sum())), confidence, confusion)


def fit_temperature(scores: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> float:
    """The temperature of least cross-entropy (Guo et al. 2017), by golden-section search."""

    def loss(log_temperature: float) -> float:
        found = log_softmax(scores / np.exp(log_temperature))
        return float(-found[np.arange(len(labels)), labels].mean())

    low, high = np.log(0.1), np.log(10.0)
    ratio = (np.sqrt(5.0) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if loss(a) < loss(b):
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))
