"""Best of n: sample n answers and give the one that a reward likes best.

One run of N samples for each prompt serves every n up to N: what is computed is the mean over all
subsets of n of the N samples (without replacement), so it is unbiased for best of n. Only ranks
decide which sample a subset gives, so one vector of probabilities, `pick_probabilities`, gives the
expectation of anything of the picked answer: its reward, its gold reward, its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gristmill.align.intervals import Floats, mean_figure
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Series, Table

SIZES = (1, 2, 4, 8, 16)


def kl_of_best_of_n(n: int) -> float:
    """KL of best of n to the policy it samples from, nats: log n - (n - 1) / n.

    (Stiennon et al. 2020, appendix G.3.) Exact where no two answers tie, an upper bound where an
    answer may come twice (Beirami et al. 2024).
    """
    if n < 1:
        raise GristmillError(f"best of {n} answers is not defined", mend="take n of 1 or more")
    return math.log(n) - (n - 1) / n


def pick_probabilities(scores_N: Floats, n: int) -> Floats:
    """For each of N samples the chance to be the best of n drawn without replacement, (N,).

    The i-th lowest of N is the best in C(i - 1, n - 1) of the C(N, n) subsets (order statistics).
    Samples with equal scores share their chances evenly.
    """
    count = len(scores_N)
    if not 1 <= n <= count:
        raise GristmillError(
            f"best of {n} needs {n} samples or more, not {count}", mend="sample more answers"
        )
    if np.isnan(scores_N).any():
        raise GristmillError("a score that is not a number cannot be ranked")
    by_rank = np.zeros(count)
    by_rank[-1] = n / count
    for i in range(count - 1, n - 1, -1):
        by_rank[i - 1] = by_rank[i] * (i - n + 1) / i
    order = np.argsort(scores_N, kind="stable")
    chances = np.zeros(count)
    chances[order] = by_rank
    _, group, sizes = np.unique(scores_N, return_inverse=True, return_counts=True)
    shared: Floats = (np.bincount(group, weights=chances) / sizes)[group]
    return shared


def pick_matrix(scores_PN: Floats, n: int) -> Floats:
    """`pick_probabilities` of each prompt, (P, N)."""
    return np.stack([pick_probabilities(scores_N, n) for scores_N in scores_PN])


def expected_best(scores_PN: Floats, n: int, other_PN: Floats | None = None) -> Floats:
    """The expected score of the best of n of each prompt, (P,).

    other_PN: a second score of the same samples, such as the gold one: its expectation over the
    answers that the first one picks.
    """
    of_PN = scores_PN if other_PN is None else other_PN
    best_P: Floats = (pick_matrix(scores_PN, n) * of_PN).sum(axis=1)
    return best_P


@dataclass(frozen=True)
class BestOf:
    """Best of n over all prompts. Gains are over one sample, paired by prompt."""

    n: int
    kl: float
    proxy: Figure
    proxy_gain: Figure
    gold: Figure | None = None
    gold_gain: Figure | None = None


def best_of_n_curve(
    proxy_PN: Floats,
    gold_PN: Floats | None = None,
    sizes: Sequence[int] = SIZES,
    seed: int = 0,
) -> list[BestOf]:
    """Best of each n that the N samples allow, with bootstrap intervals over prompts."""
    if len(proxy_PN) == 0:
        raise GristmillError("best of n needs a prompt or more")
    points = []
    fitting = [n for n in sizes if n <= proxy_PN.shape[1]]
    proxies = _with_gains(proxy_PN, proxy_PN, fitting, seed)
    golds = None if gold_PN is None else _with_gains(proxy_PN, gold_PN, fitting, seed)
    for index, n in enumerate(fitting):
        gold, gold_gain = golds[index] if golds else (None, None)
        points.append(BestOf(n, kl_of_best_of_n(n), *proxies[index], gold, gold_gain))
    return points


def _with_gains(
    proxy_PN: Floats, of_PN: Floats, sizes: Sequence[int], seed: int
) -> list[tuple[Figure, Figure]]:
    """For each n the mean of what is picked, and its gain over one sample."""
    one_P = of_PN.mean(axis=1)
    picked_KP = [expected_best(proxy_PN, n, of_PN) for n in sizes]
    return [(mean_figure(best_P, seed), mean_figure(best_P - one_P, seed)) for best_P in picked_KP]


def curve_figures(points: Sequence[BestOf]) -> dict[str, Figure]:
    """`best_of_n.reward.N`, `.gold.N`, `.kl.N`, and the gains over one sample."""
    figures = {}
    for point in points:
        figures[f"best_of_n.reward.{point.n}"] = point.proxy
        figures[f"best_of_n.kl.{point.n}"] = Figure(point.kl)
        if point.gold is not None:
            figures[f"best_of_n.gold.{point.n}"] = point.gold
        if point.n > 1:
            figures[f"best_of_n.reward_gain.{point.n}"] = point.proxy_gain
            if point.gold_gain is not None:
                figures[f"best_of_n.gold_gain.{point.n}"] = point.gold_gain
    return figures


def curve_table(points: Sequence[BestOf]) -> Table:
    """One row for each n."""
    gold = any(point.gold is not None for point in points)
    columns = ["n", "KL", "reward", "gain over one"]
    columns += ["gold reward", "gain over one "] if gold else []
    rows: list[list[object]] = []
    for p in points:
        row: list[object] = [p.n, round(p.kl, 3), p.proxy, p.proxy_gain if p.n > 1 else ""]
        rows.append([*row, p.gold, p.gold_gain if p.n > 1 else ""] if gold else row)
    note = (
        "The mean over all subsets of n of the samples; 95% by bootstrap over prompts. KL in nats: "
        "log n - (n - 1) / n."
    )
    return Table("Best of n", columns, rows, note=note)


def curve_chart(points: Sequence[BestOf]) -> Chart:
    """Reward, and below it the gold reward of the same picks, over the root of KL."""
    x = [math.sqrt(point.kl) for point in points]
    names = [f"n = {point.n}" for point in points]
    series = [_series("reward (picks)", x, [p.proxy for p in points], names, "reward")]
    golds = [point.gold for point in points if point.gold is not None]
    if golds:
        series.append(_series("gold (measures)", x, golds, names, "gold reward"))
    return Chart(
        "Best of n: reward against KL", "√KL to the sampling policy (√nats)", "reward", series,
        style="points",
    )  # fmt: skip


def _series(
    name: str, x: Sequence[float], figures: Sequence[Figure], labels: Sequence[str], panel: str
) -> Series:
    low = [f.value if f.low is None else f.low for f in figures]
    high = [f.value if f.high is None else f.high for f in figures]
    return Series(name, x, [f.value for f in figures], low, high, labels=labels, panel=panel)


def curve_notes(points: Sequence[BestOf]) -> list[str]:
    """What the largest n gained over one sample, and what it did not."""
    last = points[-1]
    if last.n == 1:
        return []
    notes = []
    for what, gain in (("reward that picks", last.proxy_gain), ("gold reward", last.gold_gain)):
        if gain is None:
            continue
        if gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
            verdict = "its interval includes no change"
        else:
            verdict = "a gain" if gain.value > 0 else "a loss: the picks please the wrong judge"
        notes.append(
            f"Best of {last.n} changes the {what} by {gain} against one sample; {verdict}."
        )
    return notes
