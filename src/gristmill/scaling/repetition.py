"""What a token is worth when it is seen again: the half-life R* of repeated text, and how poorly
runs tell it.

Muennighoff et al. 2023, equation 5: D tokens in passes over U unique ones count as
D' = U + U R* (1 - exp(-(D / U - 1) / R*)). Their R* is 15.4. Refitted to their own runs, values
over more than two orders of magnitude fit about as well, so what is shown is the whole profile, and
a value is never given without its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.progress import progress
from gristmill.scaling.log_sum_fit import Array, LogSum, fit_log_sum, refit
from gristmill.scaling.points import Point
from gristmill.scaling.power_law import RESAMPLES, resample

GRID = np.geomspace(1.0, 10_000.0, 33)
"""Values of R* tried: at 1 a second pass is worth little, at 10,000 as much as new text."""
PUBLISHED = 15.4
_IDENTIFIED = 10.0


@dataclass(frozen=True)
class Repetition:
    """The objective at each R* of GRID, the best one, and the 95% range of it over resamples."""

    objective_G: Array
    best: float
    low: float
    high: float
    repeated: int
    """Runs that saw text twice or more."""

    @property
    def identified(self) -> bool:
        """Whether the range spans less than a factor of 10 and does not touch the grid's ends."""
        narrow = self.high / self.low < _IDENTIFIED
        return narrow and self.low > float(GRID[0]) and self.high < float(GRID[-1])


def effective_tokens(tokens_R: Array, unique_R: Array, half_life: float) -> Array:
    """D': tokens worth as much as D tokens in passes over U unique ones."""
    repeats_R = np.maximum(0.0, tokens_R / unique_R - 1.0)
    worth_R = unique_R * (1.0 + half_life * -np.expm1(-repeats_R / half_life))
    return np.asarray(np.where(repeats_R > 0, worth_R, tokens_R))


def fit_repetition(
    points: Sequence[Point], *, resamples: int = RESAMPLES, seed: int = 0
) -> Repetition:
    """The profile of R* from runs whose unique tokens are known, some of them repeated.

    Raises GristmillError where no run repeats its text or too few runs say so.
    """
    known = [point for point in points if point.unique_tokens is not None]
    N_R = np.array([point.parameters for point in known])
    D_R = np.array([point.tokens for point in known])
    U_R = np.array([point.unique_tokens for point in known], np.float64)
    loss_R = np.array([point.loss for point in known])
    repeated = int((D_R > 1.01 * U_R).sum())
    if repeated < 3 or len(known) < 8:
        raise GristmillError(
            f"{repeated} of {len(known)} runs with a column unique_tokens repeat their text",
            mend="eight runs, three of them repeating, are the least",
        )
    picked_SR = resample(len(known), resamples, seed)
    objectives, resampled = [], []
    law: LogSum | None = None
    bar = progress("repetition", GRID.size, "half-lives")
    try:
        for half_life in GRID:
            x = [N_R, effective_tokens(D_R, U_R, float(half_life))]
            law = fit_log_sum(x, loss_R, start=law)
            objectives.append(law.objective)
            # Whether a resample holds a law does not depend on R*, so the rows stay aligned.
            resampled.append([one.objective for one in refit(law, x, loss_R, picked_SR)])
            bar.advance()
    finally:
        bar.close()
    objective_G = np.array(objectives)
    found = GRID[np.argmin(np.array(resampled), axis=0)]
    best = float(GRID[int(np.argmin(objective_G))])
    low, high = np.quantile(found, [0.025, 0.975]) if found.size else (GRID[0], GRID[-1])
    return Repetition(objective_G, best, float(low), float(high), repeated)
