"""Adult and toxic text by a classifier, trained here on anybody's labelled texts.

The classifier of `data quality` (hashed word n-grams, softmax regression), calibrated on texts that
it was not trained on, so that its score is a probability: of being adult among texts that are mixed
as the labelled ones were, or as `base_rate` says of the corpus. One safetensors file holds it all
and can be used again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from gristmill.core.canonical import canonical_json
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.data.calibration import Isotonic
from gristmill.data.classifier import Classifier, hashed_features
from gristmill.data.filters.labelled import Labelled
from gristmill.data.ngrams import Texts
from gristmill.data.quality import Labels, QualityModel, train_quality

FORMAT = "gristmill text classifier 1"
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TextClassifier:
    """`probabilities` of the label `name`."""

    name: str
    model: QualityModel
    shift: float = 0.0
    """Added to the log-odds, for a corpus that is mixed otherwise than the labelled texts."""

    def probabilities(self, texts: Texts) -> Floats:
        """Of each text's first 2,000 words: float64 [n], 0..1."""
        classifier = self.model.classifier
        features = hashed_features(texts, bits=classifier.bits, ngrams=classifier.ngrams)
        return shifted(self.model.quality(features), self.shift)

    def save(self, path: Path) -> None:
        """Writes one safetensors file; equal classifiers give equal bytes."""
        calibration = self.model.calibration
        about, arrays = self.model.classifier.sparse()
        about |= {
            "format": FORMAT,
            "name": self.name,
            "slope": calibration.slope,
            "shift": self.shift,
        }
        save_file(
            {
                **arrays,
                "knots": np.array(calibration.knots, np.float64),
                "log_odds": np.array(calibration.log_odds, np.float64),
            },
            path,
            # One metadata key: with several, their order in the file would vary.
            metadata={"classifier": canonical_json(about)},
        )

    @classmethod
    def load(cls, path: Path) -> TextClassifier:
        """Reads what `save` wrote. Raises GristmillError for any other file."""
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = json.loads((file.metadata() or {})["classifier"])
                if about["format"] != FORMAT:
                    raise ValueError(f"its format is {about['format']}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            calibration = Isotonic(
                tuple(tensors["knots"].tolist()),
                tuple(tensors["log_odds"].tolist()),
                float(about["slope"]),
            )
            classifier = Classifier.of_sparse(about, tensors)
            return cls(about["name"], QualityModel(classifier, calibration), float(about["shift"]))
        except Exception as error:  # safetensors raises its own types
            raise GristmillError(
                f"not a text classifier of ours: {error}",
                where=path,
                mend="make one with gristmill data filter --train.adult FILE.jsonl",
            ) from error


@dataclass(frozen=True)
class Trained:
    """A classifier, and what it reached on texts that it was not trained on: the probability that
    each labelled text got there, with its label."""

    classifier: TextClassifier
    held_out: Floats
    labels: Bools
    area: Figure
    average_precision: float
    calibration_error: float


@dataclass(frozen=True)
class Point:
    """What a threshold does: shares of the held-out labelled texts."""

    threshold: float
    precision: float | None
    """None where nothing reaches the threshold."""
    recall: float
    false_alarms: float
    """Of the honest texts, those that reach it."""


def train_text_classifier(
    labelled: Labelled,
    name: str,
    *,
    bits: int = 18,
    ngrams: int = 2,
    epochs: int = 5,
    folds: int = 5,
    base_rate: float | None = None,
    seed: int = 0,
) -> Trained:
    """Trains on all labelled texts, and measures each by a classifier that did not see it.

    base_rate: the share of such documents in the corpus, where it is not that of the labelled
    texts. Equal input gives an equal classifier.
    """
    labels = labelled.labels
    features = hashed_features(labelled.texts, bits=bits, ngrams=ngrams)
    order = np.concatenate([np.flatnonzero(labels), np.flatnonzero(~labels)])
    split = int(labels.sum())
    trained = train_quality(
        features,
        Labels(order[:split], order[split:]),
        labelled.groups,
        bits=bits,
        ngrams=ngrams,
        fold_count=folds,
        epochs=epochs,
        seed=seed,
        names=("other", name),
    )
    shift = 0.0 if base_rate is None else log_odds_of(base_rate) - log_odds_of(split / len(labels))
    return Trained(
        TextClassifier(name, trained.model, shift),
        shifted(trained.held_out, shift),
        trained.labels,
        trained.auc,
        average_precision(trained.held_out, trained.labels),
        trained.error,
    )


def log_odds_of(probability: float) -> float:
    """ln(p / (1 - p))."""
    return float(np.log(probability) - np.log1p(-probability))


def shifted(probabilities: Floats, shift: float) -> Floats:
    """The probabilities under other prior odds: `shift` is added to their log-odds."""
    if shift == 0.0:
        return probabilities
    odds = probabilities * np.exp(shift)
    return odds / (odds + (1.0 - probabilities))


def average_precision(scores: Floats, labels: Bools) -> float:
    """The area under the precision-recall curve as a sum of steps; equal scores are one step."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(labels[order])
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    precision = hits[last] / (last + 1)
    recall = hits[last] / max(1, int(labels.sum()))
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def operating_points(
    scores: Floats, labels: Bools, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[Point]:
    """What each threshold does to the labelled texts."""
    points = []
    for threshold in thresholds:
        taken = scores >= threshold
        right = int((taken & labels).sum())
        points.append(
            Point(
                threshold,
                right / int(taken.sum()) if taken.any() else None,
                right / max(1, int(labels.sum())),
                int((taken & ~labels).sum()) / max(1, int((~labels).sum())),
            )
        )
    return points


def model_file(path: Path, name: str) -> Path:
    """The classifier `name` at a path that is its file, or a layer that was made with it."""
    if path.is_dir():
        path = path / f"{name}.safetensors"
    if not path.is_file():
        raise GristmillError(
            f"there is no classifier '{name}' here", where=path, mend="give its .safetensors file"
        )
    return path


@lru_cache(maxsize=4)
def loaded(path: Path) -> TextClassifier:
    """The classifier of a file, read once in each process."""
    return TextClassifier.load(path)
