"""How the loss on each domain follows from the shares of all domains in training.

For domain i and shares w: L_i(w) = c_i + exp(sum_j t_ij w_j), the exponential form that fits best
of those compared in Ye et al. 2024, "Data mixing laws", section 3. c_i is what no mixture of
this size takes away; the t_ij say which text helps. Fitted to small proxy runs as RegMix does
(Liu et al. 2024), with a ridge that draws a domain's t_ij together where runs are few, and chosen
by leaving out one run at a time, so that what is said of its error holds for mixtures that it has
not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Of the lowest measured loss: how much of it may be the part that no mixture takes away.
_FLOORS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
_RIDGES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class MixingLaw:
    """floor_D: c_i. level_D and pull_DK: t_ij = level_i + pull_ij. ridge_D: the penalty on the
    pulls that was chosen. D domains that are scored, K that are mixed."""

    floor_D: Floats
    level_D: Floats
    pull_DK: Floats
    ridge_D: Floats

    def losses(self, mixtures_NK: Floats) -> Floats:
        """Predicted losses, float64 [N, D]."""
        # Far from all runs the exponential could overflow; nothing there is believed anyway.
        exponent = np.minimum(self.level_D + mixtures_NK @ self.pull_DK.T, 50.0)
        found: Floats = self.floor_D + np.exp(exponent)
        return found


@dataclass(frozen=True)
class FittedLaw:
    """A law, and what it predicted for each run when that run was left out: float64 [N, D]."""

    law: MixingLaw
    left_out_ND: Floats


def fit_mixing_law(mixtures_NK: Floats, losses_ND: Floats) -> FittedLaw:
    """The law of these runs. ValueError for fewer than 4 runs or losses that are not above 0."""
    runs, domains = losses_ND.shape
    if runs < 4 or len(mixtures_NK) != runs:
        raise ValueError(f"{runs} runs are too few for a law")
    if not np.all(np.isfinite(losses_ND)) or losses_ND.min() <= 0:
        raise ValueError("losses must be above 0")
    law = MixingLaw(
        np.zeros(domains),
        np.zeros(domains),
        np.zeros((domains, mixtures_NK.shape[1])),
        np.zeros(domains),
    )
    left_out_ND = np.zeros_like(losses_ND)
    for i in range(domains):
        best = np.inf
        for share in _FLOORS:
            floor = share * float(losses_ND[:, i].min())
            logs = np.log(losses_ND[:, i] - floor)
            for ridge in _RIDGES:
                level, pull, left_out = _ridge(mixtures_NK, logs, ridge)
                predicted = floor + np.exp(np.minimum(left_out, 50.0))
                error = float(np.mean((predicted - losses_ND[:, i]) ** 2))
                if error < best:
                    best = error
                    law.floor_D[i], law.level_D[i], law.ridge_D[i] = floor, level, ridge
                    law.pull_DK[i] = pull
                    left_out_ND[:, i] = predicted
    return FittedLaw(law, left_out_ND)


def refit(law: MixingLaw, mixtures_NK: Floats, losses_ND: Floats) -> MixingLaw:
    """The law of other runs with the same floors and ridges: for a bootstrap over runs."""
    level_D, pull_DK = np.zeros_like(law.level_D), np.zeros_like(law.pull_DK)
    for i in range(losses_ND.shape[1]):
        # A run below the floor of the whole fit cannot be: floors lie below the lowest loss.
        logs = np.log(losses_ND[:, i] - law.floor_D[i])
        level_D[i], pull_DK[i], _ = _ridge(mixtures_NK, logs, float(law.ridge_D[i]))
    return MixingLaw(law.floor_D, level_D, pull_DK, law.ridge_D)


def _ridge(x_NK: Floats, y_N: Floats, ridge: float) -> tuple[float, Floats, Floats]:
    """(intercept, slopes, prediction of each row without it). The intercept is not penalised.

    Shares add up to 1, so the slopes are settled only by the penalty, which takes those of least
    size: those that add up to 0 over equal columns.
    """
    mean_K, mean = x_NK.mean(axis=0), float(y_N.mean())
    centred = x_NK - mean_K
    # By the spread of the shares, so that the same ridges suit few domains and many.
    scale = max(1e-12, float((centred**2).sum(axis=0).mean()))
    gram = centred.T @ centred + ridge * scale * np.eye(x_NK.shape[1])
    solved = np.linalg.solve(gram, centred.T)
    slopes = solved @ (y_N - mean)
    fitted = mean + centred @ slopes
    leverage = np.einsum("nk,kn->n", centred, solved) + 1.0 / len(y_N)
    left_out = y_N - (y_N - fitted) / np.maximum(1e-6, 1.0 - leverage)
    return mean - float(mean_K @ slopes), slopes, left_out


def best_mixture(
    law: MixingLaw, target_D: Floats, candidates_MK: Floats, *, top: int = 100
) -> Floats:
    """The mean of the `top` candidates of least predicted loss, weighted over domains by `target`.

    A mean of many, not the single lowest, as in RegMix (section 3.3): the lowest of very many
    guesses is the one where the law errs most.
    """
    predicted = law.losses(candidates_MK) @ target_D
    order = np.argsort(predicted, kind="stable")[: max(1, min(top, len(predicted)))]
    found: Floats = candidates_MK[order].mean(axis=0)
    return found / found.sum()


def bootstrap(
    law: MixingLaw,
    mixtures_NK: Floats,
    losses_ND: Floats,
    said: Callable[[MixingLaw], Floats],
    *,
    resamples: int,
    seed: int,
) -> Floats:
    """What `said` gives for laws of runs drawn again with replacement: float64 [resamples, ...]."""
    random = np.random.default_rng(seed)
    runs = len(losses_ND)
    found = []
    for _ in range(resamples):
        rows = random.integers(0, runs, runs)
        found.append(said(refit(law, mixtures_NK[rows], losses_ND[rows])))
    return np.array(found)


def linear_left_out(mixtures_NK: Floats, target_N: Floats) -> Floats:
    """What a plain linear regression from shares to loss predicts for each run without it: what a
    law has to beat."""
    best, chosen = np.inf, target_N
    for ridge in _RIDGES:
        _, _, left_out = _ridge(mixtures_NK, target_N, ridge)
        error = float(np.mean((left_out - target_N) ** 2))
        if error < best:
            best, chosen = error, left_out
    return chosen


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's; nan where one of them is constant. Equal values share their mean rank."""
    first, second = _ranks(a), _ranks(b)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return found
