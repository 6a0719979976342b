"""Hoffmann's parametric law, L(N, D) = E + A / N^alpha + B / D^beta, and what it says to train.

Hoffmann et al. 2022, section 3.3 and appendix D.3; the fit is in `log_sum_fit.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.scaling.log_sum_fit import Array, LogSum, fit_log_sum, refit
from gristmill.scaling.points import FLOPS_PER_PARAMETER_AND_TOKEN, Point
from gristmill.scaling.power_law import RESAMPLES, interval, resample, with_interval

NAMES = ("E", "A", "B", "alpha", "beta")


@dataclass(frozen=True)
class Parametric:
    """The law and its resamples; N and D as they were counted in the points (`counted`)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    objective: float
    draws_S5: Array
    """E, A, B, alpha, beta of each resample."""
    residuals_R: Array
    """log of measured over predicted loss at each point."""
    counted: str = "all parameters"

    def loss(self, parameters: Array | float, tokens: Array | float) -> Array:
        """Nats per token at N parameters and D tokens."""
        return _loss(np.array([self.numbers]), parameters, tokens)[0]

    def figure(
        self, parameters: float, tokens: float, *, scatter: bool = False, seed: int = 0
    ) -> Figure:
        """The loss at one (N, D) with 95% bounds: of the law, or of one new run around it.

        scatter: adds the residuals of the fitted points, stretched by the root of n / (n - 5),
        since a fit's residuals are smaller than the scatter by the numbers that it was given.
        """
        value = float(self.loss(parameters, tokens))
        if not len(self.draws_S5):
            return Figure(value)
        losses_S = _loss(self.draws_S5, parameters, tokens)
        n = len(self.residuals_R)
        if scatter and n > len(NAMES):
            rng = np.random.default_rng(seed)
            stretch = math.sqrt(n / (n - len(NAMES)))
            losses_S = losses_S * np.exp(rng.choice(self.residuals_R, len(losses_S)) * stretch)
        return with_interval(value, *_pair(losses_S))

    def optimal(self, flops: float) -> tuple[float, float]:
        """(N, D) of least loss with 6 N D = flops, in closed form (equation 4)."""
        (parameters,), (tokens,) = _optimal(np.array([self.numbers]), flops)
        return float(parameters), float(tokens)

    @property
    def numbers(self) -> tuple[float, float, float, float, float]:
        """E, A, B, alpha, beta."""
        return self.E, self.A, self.B, self.alpha, self.beta

    @property
    def a(self) -> float:
        """N_opt ~ C^a: beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def b(self) -> float:
        """D_opt ~ C^b: alpha / (alpha + beta)."""
        return 1.0 - self.a

    def figures(self) -> dict[str, Figure]:
        """E, A, B, alpha, beta, and the exponents a and b, with intervals."""
        draws_S5 = self.draws_S5
        values = dict(zip(NAMES, self.numbers, strict=True))
        columns = dict(zip(NAMES, draws_S5.T, strict=True)) if len(draws_S5) else {}
        if columns:
            columns["a"] = columns["beta"] / (columns["alpha"] + columns["beta"])
            columns["b"] = 1.0 - columns["a"]
        values |= {"a": self.a, "b": self.b}
        return {
            name: with_interval(value, *_pair(columns[name])) if columns else Figure(value)
            for name, value in values.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The law for a file: `from_json` reads it back."""
        return {
            **dict(zip(NAMES, self.numbers, strict=True)),
            "objective": self.objective,
            "counted": self.counted,
            "draws": [[float(f"{value:.8g}") for value in row] for row in self.draws_S5],
            "residuals": [float(f"{value:.6g}") for value in self.residuals_R],
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Parametric:
        """The inverse of `to_json`. Raises GristmillError where a number is missing."""
        try:
            E, A, B, alpha, beta = (float(entry[name]) for name in NAMES)
            return cls(
                E,
                A,
                B,
                alpha,
                beta,
                float(entry["objective"]),
                np.asarray(entry["draws"], np.float64).reshape(-1, 5),
                np.asarray(entry["residuals"], np.float64),
                str(entry["counted"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise GristmillError(
                f"holds no parametric law ({error})", mend="fit one with gristmill scaling fit"
            ) from error


def fit_parametric(
    points: Sequence[Point],
    *,
    non_embedding: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Parametric:
    """The law through points, six at least, of three sizes and three token counts or more.

    non_embedding: count parameters without embedding and head, as Kaplan et al. (2020) do.
    resamples: of the points, for the intervals. Raises GristmillError where the points do not hold
    five numbers.
    """
    x = [parameters_of(points, non_embedding), np.array([point.tokens for point in points])]
    loss_R = np.array([point.loss for point in points])
    if len(points) < 6:
        raise GristmillError(
            f"{len(points)} runs are too few for a law of five numbers", mend="six are the least"
        )
    whole = fit_log_sum(x, loss_R)

    picked_SR = resample(len(points), resamples, seed)
    laws = refit(whole, x, loss_R, picked_SR)
    draws_S5 = np.array([_numbers(law) for law in laws]).reshape(-1, 5)
    residuals_R = np.log(loss_R) - np.log(whole.loss(*x))
    counted = "without embedding and head" if non_embedding else "all parameters"
    return Parametric(*_numbers(whole), whole.objective, draws_S5, residuals_R, counted)


def parameters_of(points: Sequence[Point], non_embedding: bool) -> Array:
    """N of each point by one convention. Raises GristmillError where a point has none."""
    counts = [point.non_embedding if non_embedding else point.parameters for point in points]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        raise GristmillError(
            "not every run says its parameters without embedding",
            mend="give a column non_embedding, or count all parameters",
        )
    return np.array(known, np.float64)


def _numbers(law: LogSum) -> tuple[float, float, float, float, float]:
    A, B = (float(value) for value in np.exp(np.minimum(law.log_A_K, 700.0)))
    alpha, beta = (float(value) for value in law.alpha_K)
    return law.E, A, B, alpha, beta


def _loss(numbers_S5: Array, parameters: Array | float, tokens: Array | float) -> Array:
    E, A, B, alpha, beta = numbers_S5.T
    if np.ndim(parameters):
        E, A, B, alpha, beta = (column[:, None] for column in (E, A, B, alpha, beta))
    log_N, log_D = np.log(parameters), np.log(tokens)
    return np.asarray(
        E + np.exp(np.log(A) - alpha * log_N) + np.exp(np.log(B) - beta * log_D), np.float64
    )


def _optimal(numbers_S5: Array, flops: float) -> tuple[Array, Array]:
    _, A, B, alpha, beta = numbers_S5.T
    # A resample whose loss rises with size has no best one: nan, and no interval.
    with np.errstate(invalid="ignore", divide="ignore"):
        log_G = (np.log(alpha * A) - np.log(beta * B)) / (alpha + beta)
    log_product = math.log(flops / FLOPS_PER_PARAMETER_AND_TOKEN)
    log_N = log_G + beta / (alpha + beta) * log_product
    return np.exp(log_N), np.exp(log_product - log_N)


def _pair(column_S: Array) -> tuple[float, float]:
    low, high = interval(column_S)
    return float(low), float(high)
