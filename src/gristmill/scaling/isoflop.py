"""IsoFLOP profiles: for each budget of compute a parabola in log N, and how its minimum moves.

Hoffmann et al. 2022, approach 2. The parabola is exact only near the minimum: sizes far from it, or
on one side of it, bias the exponents, so a minimum outside the sizes that were trained is not used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.scaling.log_sum_fit import Array
from gristmill.scaling.parametric import parameters_of
from gristmill.scaling.points import Point
from gristmill.scaling.power_law import RESAMPLES, interval, with_interval

TOLERANCE = 0.1
"""Runs belong to one budget where their FLOPs lie within this share of one run's."""
_FEWEST_SIZES = 4


@dataclass(frozen=True)
class Profile:
    """One budget: its runs, and loss = loss_optimal + curvature * (log N - log N_optimal)^2."""

    flops: float
    parameters_R: Array
    tokens_R: Array
    loss_R: Array
    N_optimal: float
    D_optimal: float
    loss_optimal: float
    curvature: float

    @property
    def inside(self) -> bool:
        """Whether it is a minimum, at a size between those trained."""
        return self.curvature > 0 and bool(
            self.parameters_R.min() <= self.N_optimal <= self.parameters_R.max()
        )

    def loss(self, parameters: Array | float) -> Array:
        """The parabola."""
        away = np.log(parameters) - math.log(self.N_optimal)
        return np.asarray(self.loss_optimal + self.curvature * away**2)


@dataclass(frozen=True)
class IsoFlop:
    """N_opt = exp(intercept) C^a and D_opt ~ C^b, from the minima of the profiles.

    a and b are nan where fewer than two budgets have a minimum inside.
    """

    profiles: tuple[Profile, ...]
    a: Figure
    b: Figure
    N_intercept: float
    D_intercept: float
    counted: str = "all parameters"

    def optimal(self, flops: float) -> tuple[float, float]:
        """(N, D) at a budget by the lines through the minima."""
        log_C = math.log(flops)
        return (
            math.exp(self.N_intercept + self.a.value * log_C),
            math.exp(self.D_intercept + self.b.value * log_C),
        )


def group_budgets(
    points: Sequence[Point], tolerance: float = TOLERANCE
) -> list[tuple[float, list[Point]]]:
    """(FLOPs, runs) of each budget that four sizes or more were trained at, the smallest first.

    The fullest window of FLOPs is taken first, then the fullest of what is left: budgets stand out
    even where other runs lie between them.
    """
    left = sorted(points, key=lambda point: (point.compute, point.parameters))
    groups: list[tuple[float, list[Point]]] = []
    while len(left) >= _FEWEST_SIZES:
        flops = np.array([point.compute for point in left])
        firsts = np.searchsorted(flops, flops * (1 - tolerance))
        ends = np.searchsorted(flops, flops * (1 + tolerance), side="right")
        fullest = int(np.argmax(ends - firsts))
        first, end = int(firsts[fullest]), int(ends[fullest])
        window = left[first:end]
        if len(window) < _FEWEST_SIZES:
            break
        del left[first:end]
        if len({point.parameters for point in window}) >= _FEWEST_SIZES:
            groups.append((float(np.median(flops[first:end])), window))
    return sorted(groups, key=lambda group: group[0])


def fit_isoflop(
    points: Sequence[Point],
    *,
    tolerance: float = TOLERANCE,
    non_embedding: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> IsoFlop:
    """A parabola for each budget, and the exponents of its minimum, intervals by the bootstrap.

    Each resample draws runs within each budget. Raises GristmillError where no budget has four
    sizes.
    """
    groups = group_budgets(points, tolerance)
    if not groups:
        raise GristmillError(
            "no budget of FLOPs has runs of four sizes",
            mend="train four sizes or more at the same FLOPs, or use the parametric law alone",
        )
    arrays = [
        (
            flops,
            parameters_of(runs, non_embedding),
            np.array([run.tokens for run in runs]),
            np.array([run.loss for run in runs]),
        )
        for flops, runs in groups
    ]
    profiles = tuple(_profile(*group) for group in arrays)
    a, b, N_intercept, D_intercept = _exponents(profiles)
    rng = np.random.default_rng(seed)
    draws: list[tuple[float, float]] = []
    for _ in range(resamples):
        drawn = []
        for flops, N_R, D_R, loss_R in arrays:
            picked = rng.integers(0, N_R.size, N_R.size)
            if np.unique(N_R[picked]).size >= 3:
                drawn.append(_profile(flops, N_R[picked], D_R[picked], loss_R[picked]))
        one = _exponents(drawn)
        if math.isfinite(one[0]):
            draws.append(one[:2])
    figures = [Figure(a), Figure(b)]
    if len(draws) >= resamples / 2 and math.isfinite(a):
        low, high = interval(np.array(draws))
        figures = [with_interval(v, low[i], high[i]) for i, v in enumerate((a, b))]
    counted = "without embedding and head" if non_embedding else "all parameters"
    return IsoFlop(profiles, figures[0], figures[1], N_intercept, D_intercept, counted)


def _profile(flops: float, N_R: Array, D_R: Array, loss_R: Array) -> Profile:
    log_N = np.log(N_R)
    middle = float(log_N.mean())
    curvature, slope, height = np.polyfit(log_N - middle, loss_R, 2)
    away = -slope / (2 * curvature) if curvature else math.nan
    # Tokens at the minimum follow the runs themselves: C = 6 N D holds only as they count N.
    at = middle + float(np.clip(away, -50.0, 50.0))
    d_slope, d_height = np.polyfit(log_N - middle, np.log(D_R), 1)
    return Profile(
        flops,
        N_R,
        D_R,
        loss_R,
        math.exp(at),
        math.exp(d_height + d_slope * (at - middle)),
        float(height - slope * slope / (4 * curvature)) if curvature else math.nan,
        float(curvature),
    )


def _exponents(profiles: Sequence[Profile]) -> tuple[float, float, float, float]:
    good = [profile for profile in profiles if profile.inside]
    if len({profile.flops for profile in good}) < 2:
        return (math.nan,) * 4
    log_C = np.log([profile.flops for profile in good])
    a, N_intercept = np.polyfit(log_C, np.log([p.N_optimal for p in good]), 1)
    b, D_intercept = np.polyfit(log_C, np.log([p.D_optimal for p in good]), 1)
    return float(a), float(b), float(N_intercept), float(D_intercept)
