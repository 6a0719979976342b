"""One fit for every law of the form L = E + sum over k of A_k / x_k^alpha_k.

Hoffmann et al. (2022, appendix D.3): the Huber loss of log L, predicted as the log-sum-exp of the
terms' logarithms, summed over the points, minimised by L-BFGS from a grid of starts. Summed and not
averaged: divided by the number of points, the objective falls below the default tolerances of an
optimiser, which then stops after two steps (Besiroglu et al. 2024 found the published fit so).

Two things make it quick and exact. Inside, each log x_k is measured from its mean, so that the
intercepts and the exponents hardly depend on each other. And many starts, or many resamples,
descend together by damped Gauss-Newton steps; of the starts only the best are then followed by
L-BFGS, to the end of double precision.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gristmill.core.errors import GristmillError

Array = NDArray[np.float64]
Picked = NDArray[np.int64]
"""Numbers of the points that a resample drew."""

DELTA = 1e-3
"""Where the Huber loss turns from squared to absolute (Hoffmann et al. 2022, appendix D.3)."""
_SHARES = (0.1, 0.35, 0.8)
_EXPONENTS = (0.05, 0.2, 0.5, 1.0)
_TOGETHER = 96
_FOLLOWED = 3
_STEPS = 100
_LEVELS = 3
# Far beyond any law of loss; keeps a step of the line search from overflowing.
_MOST = 60.0


@dataclass(frozen=True)
class LogSum:
    """A fitted law: E, and for each regressor log A_k and alpha_k; the objective at the minimum."""

    E: float
    log_A_K: Array
    alpha_K: Array
    objective: float

    def loss(self, *x: NDArray[np.float64] | float) -> Array:
        """The law at x_1, ..., x_K."""
        total = np.asarray(self.E, np.float64)
        for log_A, alpha, value in zip(self.log_A_K, self.alpha_K, x, strict=True):
            total = total + np.exp(log_A - alpha * np.log(value))
        return np.asarray(total)


def objective_and_gradient(
    theta: Array, log_x_KR: Array, log_loss_R: Array, delta: float = DELTA
) -> tuple[float, Array]:
    """Sum over points of Huber(log-sum-exp - log L), and its gradient by theta.

    theta: log E, log A_1..K, alpha_1..K.
    """
    count = len(log_x_KR)
    a_K, alpha_K = theta[1 : 1 + count], theta[1 + count :]
    terms_TR = np.empty((1 + count, log_loss_R.size))
    terms_TR[0] = theta[0]
    terms_TR[1:] = a_K[:, None] - alpha_K[:, None] * log_x_KR
    peak_R = terms_TR.max(axis=0)
    weights_TR = np.exp(terms_TR - peak_R)
    total_R = weights_TR.sum(axis=0)
    residual_R = peak_R + np.log(total_R) - log_loss_R
    value = _huber(residual_R, delta).sum()
    slope_R = np.clip(residual_R, -delta, delta)
    # Of the log-sum-exp by a term: the term's share of the predicted loss.
    pull_TR = weights_TR / total_R * slope_R
    gradient = np.concatenate([pull_TR.sum(axis=1), -(pull_TR[1:] * log_x_KR).sum(axis=1)])
    return float(value), gradient


def fit_log_sum(
    x: Sequence[Array], loss_R: Array, *, delta: float = DELTA, start: LogSum | None = None
) -> LogSum:
    """The law through points: x[k] are the values of regressor k, loss_R the losses, all above 0.

    start: a law of nearly the same points, to start from in place of the grid. Raises
    GristmillError where there are fewer points than numbers to fit, or fewer than three values of a
    regressor: two leave E and its term undecided.
    """
    log_x_KR = np.log(np.asarray(x, np.float64))
    log_loss_R = np.log(np.asarray(loss_R, np.float64))
    unknowns = 1 + 2 * len(log_x_KR)
    if log_loss_R.size < unknowns:
        raise GristmillError(
            f"{log_loss_R.size} points cannot give {unknowns} numbers",
            mend="add runs, or fit a law with fewer terms",
        )
    if any(np.unique(_levels(log_x_R)).size < _LEVELS for log_x_R in log_x_KR):
        raise GristmillError(
            "a law needs three different values of each thing that it is over",
            mend="train three sizes at three token counts or more",
        )
    mean_K = log_x_KR.mean(axis=1)
    centred_KR = log_x_KR - mean_K[:, None]
    if start is not None:
        starts_SP = _theta(start, mean_K)[None]
    else:
        starts_SP = _best_starts(centred_KR, log_loss_R, delta)
    counts_SR = np.ones((len(starts_SP), log_loss_R.size))
    near_SP, values_S = _descend_together(starts_SP, centred_KR, log_loss_R, counts_SR, delta)
    order = np.argsort(values_S, kind="stable")[:_FOLLOWED]
    found = [_descend(near_SP[i], centred_KR, log_loss_R, delta) for i in order]
    value, theta = min(found, key=lambda one: one[0])
    return _law(theta, mean_K, value)


def refit(
    law: LogSum, x: Sequence[Array], loss_R: Array, picked_SR: Picked, *, delta: float = DELTA
) -> list[LogSum]:
    """The law of each resample, all descending together from `law`, the fit of all points.

    picked_SR: numbers of the points in each resample. A resample with fewer distinct points than
    numbers to fit, or with two values of a regressor, holds no law and is left out.
    """
    log_x_KR = np.log(np.asarray(x, np.float64))
    log_loss_R = np.log(np.asarray(loss_R, np.float64))
    counts_SR = np.zeros((len(picked_SR), log_loss_R.size))
    np.add.at(counts_SR, (np.arange(len(picked_SR))[:, None], picked_SR), 1.0)
    seen_SR = counts_SR > 0
    enough_S = seen_SR.sum(axis=1) >= 1 + 2 * len(log_x_KR)
    for log_x_R in log_x_KR:
        levels_R = _levels(log_x_R)
        seen_LS = [seen_SR[:, levels_R == level].any(axis=1) for level in np.unique(levels_R)]
        enough_S &= np.sum(seen_LS, axis=0) >= _LEVELS
    counts_SR = counts_SR[enough_S]
    if not len(counts_SR):
        return []
    mean_K = log_x_KR.mean(axis=1)
    starts_SP = np.tile(_theta(law, mean_K), (len(counts_SR), 1))
    theta_SP, values_S = _descend_together(
        starts_SP, log_x_KR - mean_K[:, None], log_loss_R, counts_SR, delta
    )
    return [_law(theta, mean_K, value) for theta, value in zip(theta_SP, values_S, strict=True)]


def _levels(log_x_R: Array) -> Array:
    """Values that differ by less than a hundredth are one."""
    return np.asarray(np.round(log_x_R, 2))


def _law(theta: Array, mean_K: Array, value: float) -> LogSum:
    count = mean_K.size
    alpha_K = theta[1 + count :]
    log_A_K = theta[1 : 1 + count] + alpha_K * mean_K
    return LogSum(float(np.exp(theta[0])), log_A_K, alpha_K, float(value))


def _theta(law: LogSum, mean_K: Array) -> Array:
    return np.concatenate(
        [[np.log(max(law.E, 1e-20))], law.log_A_K - law.alpha_K * mean_K, law.alpha_K]
    )


def _best_starts(centred_KR: Array, log_loss_R: Array, delta: float) -> Array:
    """The best of a grid over each term's share of the mean loss and each exponent."""
    middle = float(log_loss_R.mean())
    count = len(centred_KR)
    logs = [middle + np.log(share) for share in _SHARES]
    grid_SP = np.array(list(itertools.product(*[logs] * (1 + count), *[_EXPONENTS] * count)))
    residual_SR, _ = _residuals(grid_SP, centred_KR, log_loss_R)
    values_S = _huber(residual_SR, delta).sum(axis=1)
    return np.asarray(grid_SP[np.argsort(values_S, kind="stable")[:_TOGETHER]])


def _descend_together(
    theta_SP: Array, centred_KR: Array, log_loss_R: Array, counts_SR: Array, delta: float
) -> tuple[Array, Array]:
    """Damped Gauss-Newton steps of S fits at once, each with its own counts of the points.

    The Huber loss enters by its weights, 1 or delta / |r| (iteratively reweighted least squares).
    """
    theta_SP = theta_SP.copy()
    residual_SR, slopes_SRP = _residuals(theta_SP, centred_KR, log_loss_R)
    values_S = (counts_SR * _huber(residual_SR, delta)).sum(axis=1)
    damping_S = np.full(len(theta_SP), 1e-2)
    diagonal = np.arange(theta_SP.shape[1])
    for _ in range(_STEPS):
        weights_SR = counts_SR * np.minimum(1.0, delta / np.maximum(np.abs(residual_SR), 1e-300))
        weighted_SRP = slopes_SRP * weights_SR[:, :, None]
        curvature_SPP = weighted_SRP.transpose(0, 2, 1) @ slopes_SRP
        gradient_SP = (weighted_SRP * residual_SR[:, :, None]).sum(axis=1)
        scale_SP = curvature_SPP[:, diagonal, diagonal]
        curvature_SPP[:, diagonal, diagonal] += damping_S[:, None] * scale_SP + 1e-14
        step_SP = np.linalg.solve(curvature_SPP, gradient_SP[:, :, None])[:, :, 0]
        tried_SP = np.clip(theta_SP - np.clip(step_SP, -1.0, 1.0), -_MOST, _MOST)
        tried_SR, tried_slopes_SRP = _residuals(tried_SP, centred_KR, log_loss_R)
        tried_S = (counts_SR * _huber(tried_SR, delta)).sum(axis=1)
        better_S = tried_S < values_S
        done = np.all(values_S - tried_S <= 1e-8 * values_S)
        theta_SP[better_S] = tried_SP[better_S]
        residual_SR[better_S] = tried_SR[better_S]
        slopes_SRP[better_S] = tried_slopes_SRP[better_S]
        values_S = np.where(better_S, tried_S, values_S)
        damping_S = np.clip(np.where(better_S, damping_S * 0.3, damping_S * 5.0), 1e-9, 1e9)
        if done and np.all(damping_S[~better_S] > 1e3):
            break
    return theta_SP, values_S


def _residuals(theta_SP: Array, centred_KR: Array, log_loss_R: Array) -> tuple[Array, Array]:
    """log-sum-exp less log L, and its slopes by theta, for each of S laws."""
    count = len(centred_KR)
    terms_STR = np.empty((len(theta_SP), 1 + count, log_loss_R.size))
    terms_STR[:, 0] = theta_SP[:, :1]
    terms_STR[:, 1:] = (
        theta_SP[:, 1 : 1 + count, None] - theta_SP[:, 1 + count :, None] * centred_KR
    )
    peak_SR = terms_STR.max(axis=1)
    shares_STR = np.exp(terms_STR - peak_SR[:, None])
    total_SR = shares_STR.sum(axis=1)
    shares_STR /= total_SR[:, None]
    slopes_SPR = np.concatenate([shares_STR, -shares_STR[:, 1:] * centred_KR], axis=1)
    return peak_SR + np.log(total_SR) - log_loss_R, slopes_SPR.transpose(0, 2, 1)


def _huber(residual: Array, delta: float) -> Array:
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))


def _descend(
    theta: Array, centred_KR: Array, log_loss_R: Array, delta: float
) -> tuple[float, Array]:
    """L-BFGS to the end of double precision; started again where its memory misled it."""
    count = len(centred_KR)
    bounds = [(-_MOST, _MOST)] * (1 + count) + [(-_MOST, _MOST)] * count
    value = np.inf
    for _ in range(4):
        result = minimize(
            objective_and_gradient, theta, args=(centred_KR, log_loss_R, delta), jac=True,
            method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 2000, "maxfun": 4000, "maxcor": 30, "ftol": 1e-14, "gtol": 1e-12},
        )  # fmt: skip
        theta, before, value = result.x, value, float(result.fun)
        if before - value <= 1e-10 * abs(value):
            break
    return value, theta
