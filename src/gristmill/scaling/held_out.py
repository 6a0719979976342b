"""A law's test: the largest run, predicted from the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.scaling.parametric import fit_parametric
from gristmill.scaling.points import Point
from gristmill.scaling.power_law import RESAMPLES, fit_line

_FEWEST = 7


@dataclass(frozen=True)
class HeldOut:
    """The largest run by FLOPs and what the others say of it.

    predicted: with a 95% interval for one new run, the law's uncertainty and the runs' scatter.
    """

    point: Point
    runs: int
    """Seeds of the largest run, all held out; `measured` is their mean."""
    fitted: int
    measured: float
    predicted: Figure
    by: str
    reach: float
    """How many times the FLOPs of the largest fitted run."""

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted.value / self.measured - 1.0

    @property
    def inside(self) -> bool | None:
        """Whether the measured loss lies in the interval; None without one."""
        if self.predicted.low is None or self.predicted.high is None:
            return None
        return self.predicted.low <= self.measured <= self.predicted.high


def predict_largest(
    points: Sequence[Point], *, resamples: int = RESAMPLES, seed: int = 0
) -> HeldOut:
    """Fits all but the largest run (all its seeds) and predicts it.

    By the parametric law where seven runs or more of three sizes and three token counts are left,
    else by the line of log loss over log FLOPs. Raises GristmillError with fewer than three runs
    left.
    """
    largest = max(points, key=lambda point: (point.compute, point.parameters))
    same = [p for p in points if (p.parameters, p.tokens) == (largest.parameters, largest.tokens)]
    rest = [p for p in points if (p.parameters, p.tokens) != (largest.parameters, largest.tokens)]
    measured = float(np.mean([point.loss for point in same]))
    if len(rest) < 3:
        raise GristmillError(
            f"{len(rest)} runs are too few to predict another", mend="train smaller runs first"
        )
    sizes = {point.parameters for point in rest}
    tokens = {point.tokens for point in rest}
    if len(rest) >= _FEWEST and len(sizes) >= 3 and len(tokens) >= 3:
        law = fit_parametric(rest, resamples=resamples, seed=seed)
        predicted = law.figure(largest.parameters, largest.tokens, scatter=True, seed=seed)
        by = "the parametric law"
    else:
        predicted, by = _by_line(rest, largest.compute), "the line of log loss over log FLOPs"
    reach = largest.compute / max(point.compute for point in rest)
    return HeldOut(largest, len(same), len(rest), measured, predicted, by, reach)


def frontier(points: Sequence[Point]) -> list[Point]:
    """The runs that no other beats with as little compute, the smallest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.compute, p.loss)):
        if not best or point.loss < best[-1].loss:
            best.append(point)
    return best


def _by_line(points: Sequence[Point], flops: float) -> Figure:
    """Extrapolates the line through the frontier; through all runs where it has too few."""
    best = frontier(points)
    used = best if len(best) >= 3 else list(points)
    log_C = np.log([point.compute for point in used])
    log_L = np.log([point.loss for point in used])
    line = fit_line(log_C, log_L)
    at = math.log(flops)
    value = math.exp(line.at(at))
    n = len(used)
    if n < 3:
        return Figure(value, n=n)
    from scipy.special import stdtrit

    spread = float(((log_C - log_C.mean()) ** 2).sum())
    error = line.residual * math.sqrt(1 + 1 / n + (at - float(log_C.mean())) ** 2 / spread)
    half = float(stdtrit(n - 2, 0.975)) * error
    return Figure(value, value * math.exp(-half), value * math.exp(half), n)
