"""One variable: L = E + A / x^alpha, and the straight line of logarithms, with intervals.

The line is what two architectures are compared by (Kaplan et al. 2020, figure 7): its slope says
how fast the loss falls, its intercept where. With the offset E the curve may bend, as it must where
the loss nears what no model can predict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.scaling.log_sum_fit import Array, LogSum, Picked, fit_log_sum, refit

RESAMPLES = 200
_LEVEL = 0.95


@dataclass(frozen=True)
class PowerLaw:
    """L = E + A / x^alpha; E is 0 where no offset was fitted. Draws are the fits of resamples."""

    E: float
    A: float
    alpha: float
    objective: float
    draws_S3: Array
    """E, A, alpha of each resample."""
    x_range: tuple[float, float]

    def loss(self, x: Array | float) -> Array:
        """The law at x."""
        return np.asarray(self.E + self.A * np.asarray(x, np.float64) ** -self.alpha)

    def band(self, x: Array | float) -> tuple[Array, Array]:
        """95% bounds of the law at each x, from the resamples."""
        E, A, alpha = (column[:, None] for column in self.draws_S3.T)
        return interval(E + A * np.atleast_1d(np.asarray(x, np.float64)) ** -alpha)

    def figures(self) -> dict[str, Figure]:
        """E, A and alpha with their intervals."""
        n = len(self.draws_S3)
        low, high = interval(self.draws_S3) if n else ([None] * 3, [None] * 3)
        values = (self.E, self.A, self.alpha)
        return {
            name: with_interval(value, low[i], high[i])
            for i, (name, value) in enumerate(zip(("E", "A", "alpha"), values, strict=True))
        }


@dataclass(frozen=True)
class Line:
    """y = intercept + slope * x by least squares, 95% intervals by Student's t."""

    slope: Figure
    intercept: Figure
    residual: float
    """Standard deviation of the points around the line; nan for two points."""

    def at(self, x: float) -> float:
        """The line at x."""
        return self.intercept.value + self.slope.value * x


def fit_line(x: Sequence[float] | Array, y: Sequence[float] | Array) -> Line:
    """The least-squares line through points, two at least with different x.

    The intercept is the line's value at x = 0, so it says most where x is measured from a size
    inside the data, such as log(N / N_0). No interval for two points, which a line always meets.
    """
    x_R, y_R = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n = x_R.size
    if n < 2 or float(np.ptp(x_R)) == 0.0:
        raise GristmillError("a line needs two points with different x", mend="add runs")
    mean = float(x_R.mean())
    spread = float(((x_R - mean) ** 2).sum())
    slope = float(((x_R - mean) * y_R).sum() / spread)
    intercept = float(y_R.mean()) - slope * mean
    if n == 2:
        return Line(Figure(slope, n=n), Figure(intercept, n=n), math.nan)
    from scipy.special import stdtrit

    residual = math.sqrt(float(((y_R - intercept - slope * x_R) ** 2).sum()) / (n - 2))
    t = float(stdtrit(n - 2, 0.5 + _LEVEL / 2))
    half = t * residual / math.sqrt(spread)
    half_0 = t * residual * math.sqrt(1 / n + mean * mean / spread)
    return Line(
        Figure(slope, slope - half, slope + half, n),
        Figure(intercept, intercept - half_0, intercept + half_0, n),
        residual,
    )


def fit_power_law(
    x: Sequence[float] | Array,
    loss: Sequence[float] | Array,
    offset: bool = True,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PowerLaw:
    """E + A / x^alpha through the losses at x; offset: whether E is fitted or 0.

    Intervals by the bootstrap over points. With an offset it is the fit of Hoffmann et al. (2022)
    with one term, three points at least; without, the line of logarithms. Raises GristmillError
    where there are too few points, or where all x are the same.
    """
    x_R, loss_R = np.asarray(x, np.float64), np.asarray(loss, np.float64)
    picked_SR = resample(x_R.size, resamples, seed)
    if offset:
        whole = fit_log_sum([x_R], loss_R)
        numbers, objective = _numbers(whole), whole.objective
        draws = [_numbers(law) for law in refit(whole, [x_R], loss_R, picked_SR)]
    else:
        numbers = _by_line(x_R, loss_R)
        residual_R = np.log(loss_R) - np.log(numbers[1] * x_R ** -numbers[2])
        objective = float(0.5 * (residual_R**2).sum())
        varied = [picked for picked in picked_SR if np.ptp(x_R[picked]) > 0]
        draws = [_by_line(x_R[picked], loss_R[picked]) for picked in varied]
    draws_S3 = np.array(draws, np.float64).reshape(-1, 3)
    return PowerLaw(*numbers, objective, draws_S3, (float(x_R.min()), float(x_R.max())))


def resample(points: int, resamples: int, seed: int) -> Picked:
    """Numbers of the points of each resample, one row each."""
    picked = np.random.default_rng(seed).integers(0, points, (resamples, points))
    return np.asarray(picked, np.int64)


def interval(draws_SN: Array) -> tuple[Array, Array]:
    """The 2.5% and 97.5% quantiles over resamples, for each column."""
    low, high = np.quantile(draws_SN, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


def with_interval(value: float, low: float | None, high: float | None) -> Figure:
    """A figure; bounds that are no numbers are left out."""
    known = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    return Figure(float(value), float(low), float(high)) if known else Figure(float(value))  # type: ignore[arg-type]


def _numbers(law: LogSum) -> tuple[float, float, float]:
    return law.E, float(np.exp(law.log_A_K[0])), float(law.alpha_K[0])


def _by_line(x_R: Array, loss_R: Array) -> tuple[float, float, float]:
    line = fit_line(np.log(x_R), np.log(loss_R))
    return 0.0, math.exp(line.intercept.value), -line.slope.value
