"""Win rates against a baseline, raw and with the judge's taste for long answers taken out.

    logit P(the model wins) = w1 tanh(delta length / deviation) + w2 difficulty + w3

(Dubois et al. 2024, "Length-Controlled AlpacaEval", section 3). It is fitted to the judge's soft
preferences, by logistic regression with an L1 penalty and no intercept, whose weight is chosen over
5 folds of the prompts. The length-controlled rate is the mean prediction with the length term at 0:
what the model would win if it wrote as much as the baseline.

Lengths are differences, the model's answer less the baseline's, so a positive w1 is a judge that
likes length. (AlpacaEval subtracts the other way round: its first weight has the other sign.)

What is not here of AlpacaEval: it also draws each fit towards judged answers of the baseline that
were asked to be long or short, which no one has for a baseline of one's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.core.seeds import derive_seed

Floats = NDArray[np.float64]

PENALTIES: tuple[float, ...] = tuple(10.0 ** (k * 8 / 9 - 4) for k in range(10))
"""Weights of the loss beside the L1 norm, from strong to weak regularisation."""
FOLDS = 5
_RESAMPLES = 400
_ONE_SIDED = 0.1
_STEPS, _ENOUGH = 3000, 1e-7


@dataclass(frozen=True)
class RawRate:
    """The mean preference for the model with its standard error, both in [0, 1]; n prompts."""

    rate: float
    standard_error: float
    n: int


@dataclass(frozen=True)
class Weights:
    """w1, w2 and w3 of the formula at the top of the file."""

    length: float
    difficulty: float
    quality: float


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate in [0, 1] with a bootstrap interval over prompts, the weights
    behind it, and the weight of the loss that cross-validation chose.

    extrapolated: nearly all of the model's answers are longer than the baseline's, or nearly all
    shorter. Then length and quality cannot be told apart: the rate at equal lengths is what the
    formula says of prompts that are not there, and the interval knows nothing of it.
    """

    rate: Figure
    weights: Weights
    penalty: float
    extrapolated: bool = False


def raw_rate(preference_P: Sequence[float] | Floats) -> RawRate:
    """The win rate as the judge gave it. What is nan (an unreadable verdict) does not count.

    standard_error: the deviation (n - 1) over the root of n, as AlpacaEval reports it.
    """
    known = np.asarray(preference_P, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return RawRate(math.nan, math.nan, 0)
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan
    return RawRate(float(known.mean()), error, len(known))


def length_term(delta_P: Sequence[float] | Floats) -> Floats:
    """tanh of length differences over their own deviation; 0 where all are equal."""
    delta = np.asarray(delta_P, dtype=np.float64)
    deviation = float(delta.std(ddof=1)) if len(delta) > 1 else 0.0
    term: Floats = np.tanh(delta / deviation) if deviation > 0 else np.zeros(len(delta))
    return term


def length_controlled(
    preference_P: Sequence[float] | Floats,
    delta_P: Sequence[float] | Floats,
    difficulty_P: Sequence[float] | Floats | None = None,
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> LengthControlled:
    """The length-controlled rate of one model against the baseline.

    preference_P: the judge's preference for the model in [0, 1], nan where it was unreadable.
    delta_P: length of the model's answer less the baseline's, in characters. difficulty_P: of the
    prompts, of about deviation 1; one model alone says nothing about it, and the term is left out.
    Raises GristmillError for fewer readable preferences than folds.
    """
    preference, term = np.asarray(preference_P, dtype=np.float64), length_term(delta_P)
    difficulty = np.zeros(len(term)) if difficulty_P is None else np.asarray(difficulty_P)
    design_PK = np.stack([term, difficulty, np.ones(len(term))], axis=1)
    known = ~np.isnan(preference)
    if known.sum() < FOLDS:
        raise GristmillError(
            f"{int(known.sum())} readable verdicts are too few to control for length",
            mend=f"judge {FOLDS} prompts or more",
        )
    labels, rows = preference[known], design_PK[known]
    penalty = _choose_penalty(rows, labels, seed)
    w = _fit(rows, labels, np.ones((1, len(rows))), np.array([penalty]))[0]
    rate = _controlled(w, design_PK)
    weights = Weights(*(float(value) for value in w))
    one_sided = min(float((rows[:, 0] <= 0).mean()), float((rows[:, 0] >= 0).mean())) < _ONE_SIDED
    if resamples < 1:
        return LengthControlled(Figure(rate, n=len(rows)), weights, penalty, one_sided)
    rng = np.random.default_rng(derive_seed(seed, "length controlled"))
    draws_RP = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples)
    drawn_RK = _fit(rows, labels, draws_RP.astype(np.float64), np.full(resamples, penalty))
    rates = [
        float(np.average(_sigmoid(rows[:, 1:] @ each[1:]), weights=draw))
        for each, draw in zip(drawn_RK, draws_RP, strict=True)
    ]
    low, high = np.percentile(rates, [2.5, 97.5])
    figure = Figure(rate, float(low), float(high), len(rows))
    return LengthControlled(figure, weights, penalty, one_sided)


def predicted_rate(weights: Weights, difficulty_P: Sequence[float] | Floats) -> float:
    """The mean prediction at equal lengths, of weights that were fitted elsewhere."""
    logits = weights.difficulty * np.asarray(difficulty_P, dtype=np.float64) + weights.quality
    return float(_sigmoid(logits).mean())


def difficulty_of_others(preferences_MP: Floats, model: int) -> Floats:
    """How hard prompts are for the baseline to lose, seen by the models other than `model`.

    The mean preference of the others on each prompt, centred, with deviation 1; zeros where there
    is no other. A model's own verdicts stay out, or their noise would explain themselves.
    """
    others = np.delete(preferences_MP, model, axis=0)
    if not len(others):
        return np.zeros(preferences_MP.shape[1])
    known = ~np.isnan(others)
    count_P = known.sum(axis=0)
    mean_P = np.where(count_P, np.where(known, others, 0).sum(axis=0) / np.maximum(count_P, 1), 0.0)
    if count_P.any():
        mean_P = np.where(count_P > 0, mean_P, mean_P[count_P > 0].mean())
    centred: Floats = mean_P - mean_P.mean()
    deviation = float(centred.std())
    return centred / deviation if deviation > 0 else np.zeros(len(centred))


def _controlled(w: Floats, design_PK: Floats) -> float:
    return float(_sigmoid(design_PK[:, 1:] @ w[1:]).mean())


def _choose_penalty(rows: Floats, labels: Floats, seed: int) -> float:
    """The weight of the loss with the least held-out loss over folds of the prompts."""
    rng = np.random.default_rng(derive_seed(seed, "folds"))
    fold_P = rng.permutation(len(rows)) % FOLDS
    inside_FP = np.stack([fold_P != fold for fold in range(FOLDS)]).astype(np.float64)
    weights = np.tile(inside_FP, (len(PENALTIES), 1))
    penalties = np.repeat(PENALTIES, FOLDS)
    found = _fit(rows, labels, weights, penalties)
    logits = found @ rows.T
    loss = np.logaddexp(0, logits) - labels * logits
    held_out = (loss * (1 - weights)).reshape(len(PENALTIES), FOLDS, -1).sum(axis=(1, 2))
    return PENALTIES[int(np.argmin(held_out))]


def _fit(rows_PK: Floats, labels_P: Floats, weights_RP: Floats, penalties_R: Floats) -> Floats:
    """R logistic regressions with an L1 penalty at once, (R, K), by FISTA with restarts.

    Each minimises penalty * sum(weight * cross-entropy) + |w|_1 (Beck and Teboulle 2009;
    O'Donoghue and Candes 2015 for the restarts).
    """
    norms = np.einsum("rp,pk,pl->rkl", weights_RP, rows_PK, rows_PK)
    curvature_R = np.maximum(np.linalg.eigvalsh(norms)[:, -1] / 4, 1e-12)[:, None]
    shrink = 1 / (penalties_R[:, None] * curvature_R)
    w = np.zeros((len(weights_RP), rows_PK.shape[1]))
    ahead, momentum = w, np.ones((len(w), 1))
    for _ in range(_STEPS):
        slope = (weights_RP * (_sigmoid(ahead @ rows_PK.T) - labels_P)) @ rows_PK
        there = ahead - slope / curvature_R
        new = np.sign(there) * np.maximum(np.abs(there) - shrink, 0)
        turned = ((ahead - new) * (new - w)).sum(axis=1, keepdims=True) > 0
        momentum = np.where(turned, 1.0, momentum)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - w)
        moved = float(np.abs(new - w).max())
        w, momentum = new, following
        if moved < _ENOUGH:
            break
    return w


def _sigmoid(x: Floats) -> Floats:
    value: Floats = 0.5 * (1 + np.tanh(x / 2))
    return value
