"""How good a binary score is, and what probability it stands for: ROC area, calibration, its error.

Pure functions on arrays; scores are any real numbers, labels are booleans.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gristmill.core.figure import Figure

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def ranks(values: Floats) -> Floats:
    """1-based ranks; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - (counts - 1) / 2.0)[inverse]).astype(np.float64)


def roc_auc(scores: Floats, labels: Bools, groups: Sequence[str] | None = None) -> Figure:
    """The probability that a positive outscores a negative (ties a half).

    95% interval from Hanley and McNeil 1982, equations 1 to 3, or, where documents of one of
    `groups` are not independent (copies, pages of a site), from Obuchowski 1997 by group. nan where
    a class is empty.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if positives == 0 or negatives == 0:
        return Figure(math.nan, n=len(labels))
    wins = ranks(scores)[labels].sum() - positives * (positives + 1) / 2
    area = float(wins / (positives * negatives))
    if groups is not None and len(set(groups)) > 1:
        variance = _variance_by_group(scores, labels, groups, area)
    else:
        q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
        variance = area * (1 - area) + (positives - 1) * (q1 - area * area)
        variance = (variance + (negatives - 1) * (q2 - area * area)) / (positives * negatives)
    half = 1.96 * math.sqrt(max(0.0, variance))
    return Figure(area, max(0.0, area - half), min(1.0, area + half), len(labels))


def _variance_by_group(scores: Floats, labels: Bools, groups: Sequence[str], area: float) -> float:
    """Of the area, with documents of a group taken together (Obuchowski 1997, section 2)."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    everyone, positive, negative = (ranks(s) for s in (scores, scores[labels], scores[~labels]))
    # Of each positive: the share of negatives that it beats; of each negative: that beat it.
    won = np.zeros(len(scores))
    won[labels] = (everyone[labels] - positive) / negatives
    won[~labels] = 1.0 - (everyone[~labels] - negative) / positives
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group.max()) + 1

    def excess(chosen: Bools) -> Floats:
        return np.bincount(group[chosen], won[chosen] - area, count).astype(np.float64)

    def spread(products: Floats, groups_with: int) -> float:
        return float(products.sum()) * groups_with / max(1, groups_with - 1)

    of_positives, of_negatives = excess(labels), excess(~labels)
    return (
        spread(of_positives**2, len(np.unique(group[labels]))) / positives**2
        + spread(of_negatives**2, len(np.unique(group[~labels]))) / negatives**2
        + 2 * spread(of_positives * of_negatives, count) / (positives * negatives)
    )


def roc_curve(scores: Floats, labels: Bools, points: int = 101) -> tuple[Floats, Floats]:
    """False and true positive rates at evenly spaced ranks of the score, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([[0], np.cumsum(labels[order])])
    false = np.concatenate([[0], np.cumsum(~labels[order])])
    # Only between different scores does a threshold exist.
    ordered = scores[order]
    edges = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(order)]])
    chosen = edges[np.linspace(0, len(edges) - 1, min(points, len(edges))).astype(np.int64)]
    return false[chosen] / max(1, false[-1]), hits[chosen] / max(1, hits[-1])


@dataclass(frozen=True)
class Sigmoid:
    """probability = 1 / (1 + exp(-(slope * score + offset)))."""

    slope: float
    offset: float

    def __call__(self, scores: Floats) -> Floats:
        return sigmoid(self.slope * np.asarray(scores, np.float64) + self.offset)


def sigmoid(values: Floats) -> Floats:
    """The logistic function without overflow."""
    half = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, half) / (1.0 + half)


def fit_sigmoid(scores: Floats, labels: Bools, steps: int = 50) -> Sigmoid:
    """Platt's calibration (Platt 1999, with his smoothed targets), by Newton's method.

    Fit it on scores that the classifier gave to documents that it was not trained on. A falling
    sigmoid would say that the score is worse than chance; the slope is then 0 (the base rate).
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    high, low = (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)
    target = np.where(labels, high, low)
    base = math.log((positives + 1.0) / (negatives + 1.0))
    centre, spread = float(scores.mean()), float(scores.std())
    if spread == 0.0:
        return Sigmoid(0.0, base)
    x = (scores - centre) / spread
    slope, offset = 0.0, base

    def loss(slope: float, offset: float) -> float:
        z = slope * x + offset
        return float(np.sum(np.logaddexp(0.0, z) - target * z))

    current = loss(slope, offset)
    for _ in range(steps):
        p = sigmoid(slope * x + offset)
        residual, weight = p - target, p * (1 - p)
        gradient = np.array([residual @ x, residual.sum()])
        cross = float(weight @ x)
        hessian = np.array([[weight @ (x * x), cross], [cross, weight.sum()]])
        step = np.linalg.solve(hessian + 1e-9 * np.eye(2), gradient)
        size = 1.0
        while size > 1e-6 and loss(slope - size * step[0], offset - size * step[1]) > current:
            size /= 2
        slope, offset = slope - size * float(step[0]), offset - size * float(step[1])
        previous, current = current, loss(slope, offset)
        if previous - current < 1e-10:
            break
    if slope <= 0.0:
        return Sigmoid(0.0, base)
    return Sigmoid(slope / spread, offset - slope * centre / spread)


@dataclass(frozen=True)
class Isotonic:
    """Piecewise linear from score to log-odds through (knots, log_odds), both rising; outside the
    knots the line goes on with `slope`. Strictly rising, so that it keeps the order of the scores.
    """

    knots: tuple[float, ...]
    log_odds: tuple[float, ...]
    slope: float

    def __call__(self, scores: Floats) -> Floats:
        scores = np.asarray(scores, np.float64)
        first, last = self.knots[0], self.knots[-1]
        inside = np.interp(scores, self.knots, self.log_odds)
        below = self.slope * np.minimum(0.0, scores - first)
        above = self.slope * np.maximum(0.0, scores - last)
        return sigmoid(inside + below + above)


def fit_isotonic(scores: Floats, labels: Bools, bins: int = 40) -> Isotonic:
    """Isotonic calibration (Zadrozny and Elkan 2002) of binned scores, joined by lines.

    A page is good for several reasons, so the score has several humps, which one sigmoid cannot
    follow. Bins of equal size (at least 20 scores) are pooled until their shares rise; the pools'
    means are the knots. Each bin's share is smoothed by one positive and one negative.
    """
    base = fit_sigmoid(scores, labels)
    slope = max(base.slope, 1e-6)
    order = np.argsort(scores, kind="stable")
    # Each pool: sum of scores, number, smoothed positives.
    pools: list[tuple[float, float, float]] = []
    for part in np.array_split(order, max(1, min(bins, len(order) // 20))):
        share = (labels[part].sum() + 1.0) / (len(part) + 2.0)
        pools.append((float(scores[part].sum()), float(len(part)), float(share * len(part))))
        # Equal shares are pooled too, for which their last bits must not count.
        while len(pools) > 1 and _share(pools[-1]) < _share(pools[-2]) * (1 + 1e-9):
            second, first = pools.pop(), pools.pop()
            pools.append((first[0] + second[0], first[1] + second[1], first[2] + second[2]))
    knots: list[float] = []
    log_odds: list[float] = []
    for total, count, positives in pools:
        # Equal scores in two pools cannot be told apart: the first speaks for both.
        if not knots or total / count > knots[-1]:
            knots.append(total / count)
            log_odds.append(math.log(positives / (count - positives)))
    return Isotonic(tuple(knots), tuple(log_odds), slope)


def _share(pool: tuple[float, float, float]) -> float:
    return pool[2] / pool[1]


def calibration_bins(
    probabilities: Floats, labels: Bools, bins: int = 10
) -> list[tuple[float, float, int]]:
    """(mean probability, observed share, count) of bins of equal size, lowest first."""
    order = np.argsort(probabilities, kind="stable")
    return [
        (float(probabilities[part].mean()), float(labels[part].mean()), len(part))
        for part in np.array_split(order, bins)
        if len(part)
    ]


def calibration_error(probabilities: Floats, labels: Bools, bins: int = 10) -> float:
    """Expected calibration error over bins of equal size (Naeini et al. 2015)."""
    found = calibration_bins(probabilities, labels, bins)
    total = sum(count for _, _, count in found)
    return sum(abs(p - share) * count for p, share, count in found) / max(1, total)
