"""Models on the same questions: paired differences, which tell more than two intervals.

Two models are right and wrong on the same questions for the most part, so the interval of their
difference is far narrower than their own intervals suggest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from gristmill.core.figure import Figure, Table
from gristmill.evaluate.letters import mean_of


def paired(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Figure:
    """Mean of first minus second with a 95% bootstrap over the questions that both answered."""
    a_N, b_N = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a_N.shape != b_N.shape:
        raise ValueError(f"{len(a_N)} questions against {len(b_N)}")
    return mean_of((a_N - b_N).tolist(), seed)


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float:
    """The exact two-sided p-value of McNemar's test (1947): whether the questions that only one
    gets right (by more than half of their rotations) fall on both sides alike.

    1 where they agree on every question.
    """
    a, b = [x > 0.5 for x in first], [x > 0.5 for x in second]
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    n, k = only_a + only_b, min(only_a, only_b)
    tail = math.fsum(math.exp(_log_choose(n, i) - n * math.log(2)) for i in range(k + 1))
    return min(1.0, 2 * tail)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def difference_table(
    title: str, ways: Mapping[str, Mapping[str, Sequence[float]]], seed: int = 0
) -> Table:
    """ways: how it was asked -> model -> for each question how right it was (0 to 1)."""
    rows: list[list[object]] = []
    for way, models in ways.items():
        for first, second in combinations(models, 2):
            a, b = models[first], models[second]
            rows.append([f"{second} minus {first}", way, len(a), paired(b, a, seed), mcnemar(b, a)])
    return Table(
        title,
        ["models", "asked by", "n", "difference", "p"],
        rows,
        note="Paired: the same questions for both; 95% by bootstrap over questions, p by McNemar's "
        "exact test.",
    )
