"""A language model of one's own, trained here on anybody's labelled texts: for languages and
dialects that lid.176 does not know, or where it may not be used.

Runs of one to four characters, hashed, and a softmax over the languages (the family of Cavnar and
Trenkle 1994 and of fastText's models, Joulin et al. 2017, without a hidden layer). Every labelled
text is judged by a model that had not seen it; those judgements say how good the model is, and
their temperature (Guo et al. 2017) makes the scores probabilities.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from gristmill.core.canonical import canonical_json
from gristmill.core.errors import GristmillError
from gristmill.data.classifier import (
    Classifier,
    Features,
    folds,
    log_softmax,
    train_classifier,
)
from gristmill.data.filters.labelled import LEAST_OF_EACH, Named
from gristmill.data.ngrams import mix_array, ngram_hashes

FORMAT = "gristmill language model 1"
FILE = "language.safetensors"
# A text's language is clear from its beginning.
CHARACTERS = 500
_NO_LETTERS = re.compile(r"[\W\d_]+")
_TEMPERATURES = np.geomspace(0.05, 5.0, 60)

Floats = npt.NDArray[np.float64]


def character_features(texts: Sequence[str], *, bits: int, ngrams: int) -> Features:
    """The runs of 1 to `ngrams` characters of each text's first CHARACTERS, in 2^bits buckets; in
    lower case, what is no letter as one space."""
    plain = [" " + _NO_LETTERS.sub(" ", text[:CHARACTERS].lower()).strip() + " " for text in texts]
    starts = np.zeros(len(plain) + 1, np.int64)
    np.cumsum([len(text) for text in plain], out=starts[1:])
    points = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = mix_array(points.astype(np.uint64) + np.uint64(1))
    found = [_buckets(hashes, starts, n, bits) for n in range(1, ngrams + 1)]
    ends = np.sum([ngram_starts for _, ngram_starts in found], axis=0)
    out = np.empty(ends[-1], np.int32)
    filled = ends[:-1].copy()
    for buckets, ngram_starts in found:
        lengths = np.diff(ngram_starts)
        out[np.arange(len(buckets)) + np.repeat(filled - ngram_starts[:-1], lengths)] = buckets
        filled += lengths
    return Features(out, ends)


def _buckets(
    hashes: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64], n: int, bits: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    grams, ngram_starts = ngram_hashes(hashes, starts, n)
    # The length is part of the hash, so that a short text is not also its own longer runs.
    return (mix_array(grams + np.uint64(n)) >> np.uint64(64 - bits)).astype(np.int32), ngram_starts


@dataclass(frozen=True)
class OwnLanguageModel:
    """Languages of texts, with their probabilities."""

    classifier: Classifier
    temperature: float
    """What differences of scores are divided by, so that they are probabilities."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The languages that it can give."""
        return self.classifier.labels

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Of each language: float64 [texts, labels]."""
        bits, ngrams = self.classifier.bits, self.classifier.ngrams
        scores = self.classifier.scores(character_features(texts, bits=bits, ngrams=ngrams))
        return np.exp(log_softmax(scores / self.temperature))

    def best_of(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """The most likely language of each text and its probability."""
        chances = self.probabilities(texts)
        places = chances.argmax(axis=1)
        highest = chances.max(axis=1).tolist()
        return [(self.labels[place], score) for place, score in zip(places, highest, strict=True)]

    def save(self, path: Path) -> None:
        """Writes one safetensors file; equal models give equal bytes."""
        about, arrays = self.classifier.sparse()
        about |= {"format": FORMAT, "temperature": self.temperature}
        save_file(
            arrays,
            path,
            # One metadata key: with several, their order in the file would vary.
            metadata={"model": canonical_json(about)},
        )

    @classmethod
    def load(cls, path: Path) -> OwnLanguageModel:
        """Reads what `save` wrote. Raises GristmillError for any other file."""
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = json.loads((file.metadata() or {})["model"])
                if about["format"] != FORMAT:
                    raise ValueError(f"its format is {about['format']}")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(Classifier.of_sparse(about, arrays), float(about["temperature"]))
        except Exception as error:  # safetensors raises its own types
            raise GristmillError(
                f"not a language model of ours: {error}",
                where=path,
                mend="make one with gristmill data filter --own_language.train FILE.jsonl",
            ) from error


@dataclass(frozen=True)
class TrainedLanguages:
    """A model, and what it says of the labelled texts where it had not seen them: places in
    `model.labels` of what is so and what was said, and the probability of the latter."""

    model: OwnLanguageModel
    true: npt.NDArray[np.int64]
    said: npt.NDArray[np.int64]
    score: Floats

    def mistakes(self) -> list[tuple[str, str, int]]:
        """(language, taken for, texts), the commonest first."""
        pairs = Counter(zip(self.true.tolist(), self.said.tolist(), strict=True))
        wrong = sorted((-n, a, b) for (a, b), n in pairs.items() if a != b)
        labels = self.model.labels
        return [(labels[a], labels[b], -n) for n, a, b in wrong]


def train_language_model(
    named: Named,
    *,
    bits: int = 18,
    ngrams: int = 4,
    epochs: int = 5,
    fold_count: int = 5,
    seed: int = 0,
) -> TrainedLanguages:
    """Trains on all texts, each language weighing the same, and judges each by a model of the other
    folds. Equal input gives an equal model.

    Raises GristmillError where there are fewer than two languages, or few texts of one.
    """
    counts = Counter(named.labels)
    few = sorted(label for label, count in counts.items() if count < LEAST_OF_EACH)
    if few or len(counts) < 2:
        told = f"of '{few[0]}' there are {counts[few[0]]} texts" if few else "there is one language"
        raise GristmillError(
            f"{told}; at least two languages are needed, and {LEAST_OF_EACH} texts of each",
            where=named.path,
            mend="add texts of it, or leave it out",
        )
    labels = tuple(sorted(counts))
    true = np.array([labels.index(label) for label in named.labels], np.int64)
    features = character_features(named.texts, bits=bits, ngrams=ngrams)

    def train(rows: npt.NDArray[np.int64]) -> Classifier:
        return train_classifier(
            features, true, labels, rows=rows, bits=bits, ngrams=ngrams, epochs=epochs,
            balance=True, seed=seed,
        )  # fmt: skip

    fold = folds(named.groups, fold_count, seed)
    scores = np.zeros((len(true), len(labels)), np.float32)
    for number in range(fold_count):
        held = np.flatnonzero(fold == number)
        if len(held):
            scores[held] = train(np.flatnonzero(fold != number)).scores(features.take(held))
    temperature = _temperature(scores, true)
    chances = np.exp(log_softmax(scores / temperature))
    said = chances.argmax(axis=1)
    return TrainedLanguages(
        OwnLanguageModel(train(np.arange(len(true))), temperature),
        true,
        said,
        chances[np.arange(len(said)), said],
    )


def _temperature(scores: npt.NDArray[np.float32], true: npt.NDArray[np.int64]) -> float:
    """That under which the labels of held-out texts are most likely."""
    rows = np.arange(len(true))
    losses = [-log_softmax(scores / t)[rows, true].mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])
