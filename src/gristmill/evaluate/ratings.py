"""Ratings from battles: Bradley-Terry by Newton's method, with honest intervals.

    P(a beats b) = sigmoid(r_a - r_b)                        (Bradley and Terry 1952)

A tie is half a win for each; or, with `ties="davidson"`, an outcome of its own with
P(tie) = nu exp((r_a + r_b) / 2) / Z (Davidson 1970). What is fitted are counts of unique
(pair, outcome) cells, so 200,000 battles cost as much as 200.

Ratings are only as bounded as the battles make them. A model that won everything has no finite
rating: it is said to be unbounded, unless a prior is asked for, which is then named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.core.seeds import derive_seed
from gristmill.evaluate.tally import Bound, Tally, bounds, groups

Floats = NDArray[np.float64]
Ties = Literal["half", "davidson"]
Intervals = Literal["sandwich", "bootstrap"]

ELO_SCALE, ELO_MEAN = 400 / math.log(10), 1000.0
"""A difference of 400 is odds of ten to one; ratings are anchored at a mean of 1000."""
_Z = 1.959963984540054
_NO_WIDTH = 1e-6


@dataclass(frozen=True)
class Rating:
    """One model. rating: on the scale asked for; infinite where `bound` says `above` (it never
    lost to the rated group) or `below`, nan where `bound` is `apart` (no battle connects it).

    best_rank, worst_rank: ranks that the intervals allow; 0 where there is no rating.
    """

    model: str
    rating: Figure
    battles: int
    wins: float
    bound: Bound = ""
    best_rank: int = 0
    worst_rank: int = 0


@dataclass(frozen=True)
class Ratings:
    """All models, the best first. strength: the fitted r by model, mean 0 over the rated. tie: the
    fitted nu of Davidson's model, nan without it. groups: models that battles connect, largest
    first. prior: virtual games that each model played against one of mean strength."""

    ratings: list[Rating]
    strength: Mapping[str, float]
    tie: float
    groups: list[list[str]]
    prior: float


def rate(
    counted: Tally,
    *,
    ties: Ties = "half",
    prior: float = 0.0,
    intervals: Intervals = "sandwich",
    resamples: int = 200,
    elo: bool = True,
    seed: int = 0,
) -> Ratings:
    """Bradley-Terry ratings with 95% intervals.

    prior: that many virtual games of each model against one of mean strength, half won; 0 for
    none. intervals: `sandwich` (Huber 1967; robust where the model does not hold) or `bootstrap`
    over battles. elo: on the scale of Elo, else natural logarithms of odds with mean 0. Raises
    GristmillError where there is no battle or the prior is negative.
    """
    if not len(counted.counts_C):
        raise GristmillError("no battles to rate", mend="vote on some battles first")
    if prior < 0:
        raise GristmillError(f"the prior must be 0 or more, not {prior}")
    fit = _fit(counted, counted.counts_C, ties, prior)
    if intervals == "sandwich":
        half_M = _Z * np.sqrt(np.maximum(0, np.diag(_sandwich(counted, fit, ties, prior))))
        low_M, high_M = fit.strength_M - half_M, fit.strength_M + half_M
    else:
        low_M, high_M = _bootstrap(counted, ties, prior, resamples, seed)
    size, middle = (ELO_SCALE, ELO_MEAN) if elo else (1.0, 0.0)
    found = []
    for place, model in enumerate(counted.models):
        first, second, outcome = counted.cells_CX.T
        here = (first == place) | (second == place)
        won = ((first == place) & (outcome == 0)) | ((second == place) & (outcome == 1))
        wins = (counted.counts_C * (won + 0.5 * (here & (outcome == 2)))).sum()
        number = int(counted.counts_C[here].sum())
        value = float(fit.strength_M[place] * size + middle)
        # One model that no other is rated with stands at the anchor by definition. Votes that are
        # all as the ratings expect, such as one tie, give an interval of no width: they are too
        # few to tell one.
        bounded = (
            fit.bound[place] == ""
            and sum(one == "" for one in fit.bound) > 1
            and not high_M[place] - low_M[place] < _NO_WIDTH
        )
        figure = Figure(
            value,
            float(low_M[place] * size + middle) if bounded else None,
            float(high_M[place] * size + middle) if bounded else None,
            number,
        )
        found.append(Rating(model, figure, number, float(wins), fit.bound[place]))
    strength = {m: float(s) for m, s in zip(counted.models, fit.strength_M, strict=True)}
    return Ratings(_ranked(found), strength, fit.tie, groups(counted), prior)


def win_probability(ratings: Ratings, a: str, b: str) -> float:
    """P(a beats b) with half of P(tie); nan where no battle connects the two."""
    gap = ratings.strength[a] - ratings.strength[b]
    if math.isnan(gap):
        return math.nan
    if math.isnan(ratings.tie):
        return 0.5 * (1 + math.tanh(gap / 2))
    wins, losses, tied = (float(p[0]) for p in _davidson(np.array([gap]), ratings.tie))
    return wins + tied / 2 if math.isfinite(gap) else float(wins > losses)


@dataclass(frozen=True)
class _Fit:
    strength_M: Floats
    tie: float
    bound: list[Bound]


def _fit(counted: Tally, counts_C: Floats, ties: Ties, prior: float) -> _Fit:
    """The most probable strengths of the rated group, mean 0; infinite or nan outside it."""
    free: list[Bound] = [""] * len(counted.models)
    bound = free if prior > 0 else bounds(counted, counts_C)
    inside = np.array([one == "" for one in bound])
    strength = np.array(
        [{"": 0.0, "above": math.inf, "below": -math.inf, "apart": math.nan}[b] for b in bound]
    )
    first, second, outcome = counted.cells_CX.T
    kept = inside[first] & inside[second]
    place = np.cumsum(inside) - 1
    size = int(inside.sum())
    cells = np.stack([place[first[kept]], place[second[kept]], outcome[kept]], axis=1)
    counts = counts_C[kept]
    # The tie's weight is finite only where there was a tie and a decision.
    tied = float(counts[cells[:, 2] == 2].sum())
    with_ties = ties == "davidson" and 0 < tied < counts.sum()
    theta = np.zeros(size + with_ties)
    for _ in range(200):
        slope, bend, _ = _derivatives(cells, counts, theta, size, with_ties, prior)
        step = np.linalg.lstsq(bend, slope, rcond=1e-12)[0]
        # Far from the solution a full step may overshoot; one of at most 2 cannot run away.
        step *= min(1.0, 2.0 / max(1e-300, float(np.abs(step).max())))
        theta = theta + step
        if prior == 0:
            theta[:size] -= theta[:size].mean()
        if float(np.abs(step).max()) < 1e-12:
            break
    strength[inside] = theta[:size] - theta[:size].mean()
    tie = math.exp(theta[size]) if with_ties else (0.0 if ties == "davidson" else math.nan)
    return _Fit(strength, tie, bound)


def _derivatives(
    cells_CX: NDArray[np.int64],
    counts_C: Floats,
    theta: Floats,
    size: int,
    with_ties: bool,
    prior: float,
) -> tuple[Floats, Floats, Floats]:
    """Gradient of the log-likelihood, minus its Hessian, and the sum of squared scores of single
    battles (the meat of the sandwich)."""
    first, second, outcome = cells_CX.T
    gap_C = theta[first] - theta[second]
    if with_ties:
        wins_C, losses_C, tied_C = _davidson(gap_C, math.exp(theta[size]))
        score_C = np.choose(outcome, [0.5, -0.5, 0.0]) - (wins_C - losses_C) / 2
        bend_C = (wins_C + losses_C) / 4 - ((wins_C - losses_C) / 2) ** 2
        tie_score_C = (outcome == 2) - tied_C
        cross_C = -(wins_C - losses_C) / 2 * tied_C
    else:
        p_C = 0.5 * (1 + np.tanh(gap_C / 2))
        score_C = np.choose(outcome, [1.0, 0.0, 0.5]) - p_C
        bend_C = p_C * (1 - p_C)
        tie_score_C = tied_C = cross_C = np.zeros(0)
    # One row for each cell: +1 at the first model, -1 at the second.
    rows = np.arange(len(cells_CX))
    design = np.zeros((len(cells_CX), len(theta)))
    design[rows, first], design[rows, second] = 1.0, -1.0
    scores = design * score_C[:, None]
    bend = design.T @ (design * (counts_C * bend_C)[:, None])
    if with_ties:
        scores[:, size] = tie_score_C
        mixed = design.T @ (counts_C * cross_C)
        bend[:, size] += mixed
        bend[size, :] += mixed
        bend[size, size] += float((counts_C * tied_C * (1 - tied_C)).sum())
    slope = scores.T @ counts_C
    meat = scores.T @ (scores * counts_C[:, None])
    if prior > 0:
        p_M = 0.5 * (1 + np.tanh(theta[:size] / 2))
        slope[:size] += prior * (0.5 - p_M)
        bend[range(size), range(size)] += prior * p_M * (1 - p_M)
    return slope, bend, meat


def _davidson(gap_C: Floats, nu: float) -> tuple[Floats, Floats, Floats]:
    """P(first wins), P(second wins), P(tie)."""
    # Divided by the larger of the two strengths, so that nothing overflows.
    small_C = np.exp(-np.abs(gap_C))
    tie_C = nu * np.exp(-np.abs(gap_C) / 2)
    total_C = 1 + small_C + tie_C
    ahead = gap_C >= 0
    return (
        np.where(ahead, 1, small_C) / total_C,
        np.where(ahead, small_C, 1) / total_C,
        tie_C / total_C,
    )


def _sandwich(counted: Tally, fit: _Fit, ties: Ties, prior: float) -> Floats:
    """The covariance of the strengths about their mean: inverse Hessian, meat, inverse Hessian."""
    inside = np.isfinite(fit.strength_M)
    first, second, outcome = counted.cells_CX.T
    kept = inside[first] & inside[second]
    place = np.cumsum(inside) - 1
    cells = np.stack([place[first[kept]], place[second[kept]], outcome[kept]], axis=1)
    size = int(inside.sum())
    with_ties = ties == "davidson" and fit.tie > 0
    theta = np.append(fit.strength_M[inside], [math.log(fit.tie)] if with_ties else [])
    _, bend, meat = _derivatives(cells, counted.counts_C[kept], theta, size, with_ties, prior)
    inverse = np.linalg.pinv(bend, rcond=1e-12, hermitian=True)
    centre = np.eye(len(theta))
    centre[:size, :size] -= 1 / size
    covariance = centre @ inverse @ meat @ inverse @ centre.T
    whole = np.zeros((len(inside), len(inside)))
    whole[np.ix_(inside, inside)] = covariance[:size, :size]
    return whole


def _bootstrap(
    counted: Tally, ties: Ties, prior: float, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """The middle 95% of the strengths over battles drawn with replacement. Where a draw leaves a
    model unbounded the interval may be infinite."""
    rng = np.random.default_rng(derive_seed(seed, "battles"))
    total = int(counted.counts_C.sum())
    draws = rng.multinomial(total, counted.counts_C / total, size=max(2, resamples))
    found = [_fit(counted, draw.astype(np.float64), ties, prior).strength_M for draw in draws]
    strengths_RM = np.sort(np.stack(found), axis=0)  # nan sorts last
    low = strengths_RM[int(0.025 * (len(draws) - 1))]
    high = strengths_RM[math.ceil(0.975 * (len(draws) - 1))]
    return low, high


def _ranked(found: Sequence[Rating]) -> list[Rating]:
    """The best first, each with the ranks that the intervals leave open."""
    rank = {"above": 0, "": 1, "below": 2, "apart": 3}
    order = sorted(found, key=lambda r: (rank[r.bound], -r.rating.value, r.model))
    rated = [r for r in order if r.bound == ""]
    ahead = sum(r.bound == "above" for r in order)
    ranked = []
    for one in order:
        low, high = one.rating.low, one.rating.high
        if one.bound != "" or low is None or high is None:
            ranked.append(one)
            continue
        better = sum(r.rating.low is not None and r.rating.low > high for r in rated)
        worse = sum(r.rating.high is not None and r.rating.high < low for r in rated)
        ranked.append(
            Rating(
                one.model,
                one.rating,
                one.battles,
                one.wins,
                "",
                ahead + 1 + better,
                ahead + len(rated) - worse,
            )
        )
    return ranked
