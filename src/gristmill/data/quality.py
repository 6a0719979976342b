"""Quality as a trained judgement: does this page read like those that a reference links to?

GPT-2's and GPT-3's recipe (Radford et al. 2019, section 2.1; Brown et al. 2020, appendix A): pages
that people chose to link to against pages that nobody chose. Every labelled page is scored by a
model that was not trained on it (cross-fitting), so that the area under the ROC curve, the
calibration and the pages' own scores are all honest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.core.figure import Figure
from gristmill.core.seeds import derive_seed
from gristmill.data.calibration import Isotonic, calibration_error, fit_isotonic, roc_auc
from gristmill.data.classifier import Classifier, Features, folds, train_classifier
from gristmill.data.links import bare_host, same_page

NAMES = ("other", "reference-linked")


@dataclass(frozen=True)
class Labels:
    """Rows of the corpus: pages that a reference links to, and random other pages."""

    positives: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeptShare:
    """What a share of the corpus keeps: documents and bytes of it, and shares of the labelled
    pages that reach its threshold, each scored by a model that had not seen it."""

    share: float
    threshold: float
    documents: int
    bytes: int
    linked: float
    others: float


def kept_shares(
    quality: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int64],
    labelled: npt.NDArray[np.float64],
    truth: npt.NDArray[np.bool_],
    shares: Sequence[float],
) -> list[KeptShare]:
    """The table by which a kept share is chosen. labelled, truth: held-out quality and label of
    the labelled pages."""
    found = []
    for share in shares:
        threshold = threshold_for_share(quality, share)
        kept = quality >= threshold
        linked, others = labelled[truth] >= threshold, labelled[~truth] >= threshold
        found.append(
            KeptShare(
                share,
                threshold,
                int(kept.sum()),
                int(sizes[kept].sum()),
                float(linked.mean()) if len(linked) else float("nan"),
                float(others.mean()) if len(others) else float("nan"),
            )
        )
    return found


def choose_labels(
    ids: Sequence[str],
    urls: Sequence[str],
    hosts: Sequence[str],
    linked: Collection[str],
    reference_hosts: Collection[str],
    *,
    also: int = 0,
    negatives_per_positive: float = 3.0,
    seed: int = 0,
) -> Labels:
    """Positives are linked pages; negatives are drawn by hash from the rest.

    Pages of the reference itself are neither: the classifier would learn its house style. also:
    positives that are no pages, for which negatives are drawn too.
    """
    own = {bare_host(host) for host in reference_hosts}
    positives, others = [], []
    for row, (identity, url, host) in enumerate(zip(ids, urls, hosts, strict=True)):
        if bare_host(host) in own:
            continue
        if same_page(url) in linked:
            positives.append(row)
        else:
            others.append((derive_seed(seed, "negative", identity), row))
    wanted = round(negatives_per_positive * (len(positives) + also))
    negatives = sorted(row for _, row in sorted(others)[:wanted])
    return Labels(np.array(positives, np.int64), np.array(negatives, np.int64))


@dataclass(frozen=True)
class QualityModel:
    """`classifier`'s log-odds through `calibration`: probability of being linked, among the mix of
    positives and negatives that it was trained on."""

    classifier: Classifier
    calibration: Isotonic

    def quality(self, features: Features) -> npt.NDArray[np.float64]:
        """0..1 for each text."""
        return self.calibration(log_odds(self.classifier, features))


@dataclass(frozen=True)
class TrainedQuality:
    """The model; what it reached on labelled pages it had not seen: `auc`, calibration `error`,
    and each labelled page's (`rows`, `labels`) held-out quality."""

    model: QualityModel
    auc: Figure
    error: float
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.bool_]
    held_out: npt.NDArray[np.float64]


def log_odds(classifier: Classifier, features: Features) -> npt.NDArray[np.float64]:
    """Score of the positive label over the other."""
    scores = classifier.scores(features).astype(np.float64)
    return scores[:, 1] - scores[:, 0]


def train_quality(
    features: Features,
    labels: Labels,
    groups: Sequence[str],
    *,
    bits: int,
    ngrams: int,
    fold_count: int = 5,
    epochs: int = 3,
    rate: float = 0.1,
    seed: int = 0,
    names: Sequence[str] = NAMES,
) -> TrainedQuality:
    """Trains on all labelled pages, and measures by cross-fitting over `fold_count` folds.

    features: of the labelled documents at least, by which `labels` number them. groups: for each of
    these what may not be split between folds (its near-duplicate group, or its host). Folds that
    lack a class train on what there is. names: of the negative and of the positive label.
    """
    rows = np.concatenate([labels.positives, labels.negatives])
    truth = np.zeros(len(rows), np.bool_)
    truth[: len(labels.positives)] = True
    positive = np.zeros(len(features), np.int64)
    positive[labels.positives] = 1
    fold = folds([groups[row] for row in rows], fold_count, seed)
    held_out = np.zeros(len(rows), np.float64)

    def fit(chosen: npt.NDArray[np.int64]) -> Classifier:
        return train_classifier(
            features,
            positive,
            names,
            rows=rows[chosen],
            bits=bits,
            ngrams=ngrams,
            epochs=epochs,
            rate=rate,
            balance=True,
            seed=seed,
        )

    for k in range(fold_count):
        inside, outside = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        if len(inside) and len(outside):
            held_out[inside] = log_odds(fit(outside), features.take(rows[inside]))
    calibration = fit_isotonic(held_out, truth)
    # The error is measured on curves that did not see the fold either.
    probability = np.zeros(len(rows), np.float64)
    for k in range(fold_count):
        inside, outside = fold == k, fold != k
        if inside.any() and outside.any():
            probability[inside] = fit_isotonic(held_out[outside], truth[outside])(held_out[inside])
    return TrainedQuality(
        model=QualityModel(fit(np.arange(len(rows))), calibration),
        auc=roc_auc(held_out, truth, [groups[row] for row in rows]),
        error=calibration_error(probability, truth),
        rows=rows,
        labels=truth,
        held_out=calibration(held_out),
    )


def threshold_for_share(quality: npt.NDArray[np.float64], share: float) -> float:
    """The quality that `share` of the documents reach; -inf for 1, +inf for none."""
    keep = round(share * len(quality))
    if keep >= len(quality):
        return float("-inf")
    if keep <= 0:
        return float("inf")
    return float(np.sort(quality)[len(quality) - keep])
