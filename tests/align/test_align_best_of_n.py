"""Best of n by order statistics, against every subset there is."""

import math
from itertools import combinations

import numpy as np
import pytest

from gristmill.align.best_of_n import (
    best_of_n_curve,
    curve_chart,
    curve_figures,
    curve_notes,
    curve_table,
    expected_best,
    kl_of_best_of_n,
    pick_probabilities,
)
from gristmill.align.intervals import direction, mean_figure, ratio_figure
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, t_mean


def by_subsets(scores: np.ndarray, other: np.ndarray, n: int) -> float:
    """The mean over all subsets of `other` of the best by `scores`, ties averaged."""
    values = []
    for subset in combinations(range(len(scores)), n):
        best = max(scores[i] for i in subset)
        values.append(np.mean([other[i] for i in subset if scores[i] == best]))
    return float(np.mean(values))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("levels", [3, 1000])
def test_it_is_the_mean_over_all_subsets(n: int, levels: int) -> None:
    rng = np.random.default_rng(n + levels)
    proxy = rng.integers(0, levels, size=(4, 8)).astype(float)
    gold = rng.normal(size=(4, 8))
    for p in range(4):
        best = expected_best(proxy[p : p + 1], n)[0]
        assert best == pytest.approx(by_subsets(proxy[p], proxy[p], n), abs=1e-12)
    distinct = rng.permutation(8).astype(float)
    found = (pick_probabilities(distinct, n) * gold[0]).sum()
    assert found == pytest.approx(by_subsets(distinct, gold[0], n), abs=1e-12)


def test_equal_proxies_share_their_chances_evenly() -> None:
    scores = np.array([1.0, 5.0, 5.0, 2.0, 5.0])
    chances = pick_probabilities(scores, 2)
    assert chances.sum() == pytest.approx(1)
    assert chances[1] == chances[2] == chances[4]
    # No 5 in a pair of 5: C(2, 2) / C(5, 2).
    assert chances[1] * 3 == pytest.approx(1 - 1 / 10)
    assert pick_probabilities(np.zeros(6), 4).tolist() == pytest.approx([1 / 6] * 6)


def test_the_order_of_samples_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    scores, order = rng.integers(0, 4, 12).astype(float), rng.permutation(12)
    assert pick_probabilities(scores, 5)[order].tolist() == pytest.approx(
        pick_probabilities(scores[order], 5).tolist()
    )


def test_one_of_n_is_the_mean_and_all_of_n_the_largest() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 200))
    assert expected_best(scores, 1) == pytest.approx(scores.mean(axis=1))
    assert expected_best(scores, 200) == pytest.approx(scores.max(axis=1))


@pytest.mark.parametrize("bad", [0, 6])
def test_more_than_there_are_is_refused(bad: int) -> None:
    with pytest.raises(GristmillError):
        pick_probabilities(np.arange(5.0), bad)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(GristmillError, match="not a number"):
        pick_probabilities(np.array([1.0, math.nan]), 1)


def test_kl_equals_that_of_the_picked_distribution() -> None:
    assert kl_of_best_of_n(1) == 0
    # A policy even over M answers without ties: best of n picks the k-th with (k^n - (k-1)^n)/M^n.
    size, n = 4000, 4
    k = np.arange(1, size + 1) / size
    picked = k**n - (k - 1 / size) ** n
    exact = float((picked * np.log(picked * size)).sum())
    assert kl_of_best_of_n(n) == pytest.approx(exact, abs=1e-3)
    assert kl_of_best_of_n(16) == pytest.approx(math.log(16) - 15 / 16)


def test_a_gain_has_its_own_paired_interval() -> None:
    rng = np.random.default_rng(1)
    # Prompts differ far more than samples of one prompt do.
    proxy = rng.normal(size=(80, 1)) * 30 + rng.normal(size=(80, 16))
    points = best_of_n_curve(proxy, proxy, sizes=(4, 16, 64), seed=2)
    assert [point.n for point in points] == [4, 16]
    for point in points:
        assert point.proxy.low is not None and point.proxy.high is not None
        assert point.proxy_gain.low is not None and point.proxy_gain.high is not None
        wide = point.proxy.high - point.proxy.low
        assert point.proxy_gain.high - point.proxy_gain.low < wide / 10
        assert direction(point.proxy_gain, 0)
        one = float(proxy.mean())
        assert point.proxy_gain.value == pytest.approx(point.proxy.value - one)


def test_what_the_proxy_picks_and_the_gold_ignores_is_called_no_change() -> None:
    rng = np.random.default_rng(4)
    proxy, gold = rng.normal(size=(60, 16)), rng.normal(size=(60, 16))
    against = best_of_n_curve(proxy, -proxy)
    notes = curve_notes(best_of_n_curve(proxy, gold))
    assert "a gain" in notes[0] and "includes no change" in notes[1]
    assert "a loss" in curve_notes(against)[1]
    figures = curve_figures(against)
    assert figures["best_of_n.reward.16"].value > 1.5 > -1.5 > figures["best_of_n.gold.16"].value
    assert "best_of_n.reward_gain.1" not in figures and figures["best_of_n.kl.1"].value == 0
    assert len(curve_table(against).rows) == 5
    chart = curve_chart(against)
    assert [s.panel for s in chart.series] == ["reward", "gold reward"]
    assert list(chart.series[0].x) == [math.sqrt(kl_of_best_of_n(n)) for n in (1, 2, 4, 8, 16)]


def test_intervals() -> None:
    rng = np.random.default_rng(0)
    covered = sum(
        abs(f.value) <= f.value - f.low if f.value > 0 else -f.value <= f.high - f.value
        for f in (mean_figure(rng.normal(size=60), seed) for seed in range(200))
        if f.low is not None and f.high is not None
    )
    assert 175 <= covered <= 199
    assert mean_figure([1.0, math.nan, 3.0]).value == 2
    assert mean_figure([]).n == 0 and mean_figure([2.0]).low is None
    ratio = ratio_figure(np.array([1.0, 9.0]), np.array([1.0, 3.0]))
    assert ratio.value == 2.5
    assert math.isnan(ratio_figure(np.zeros(2), np.zeros(2)).value)
    # t with 2 degrees of freedom: 4.302653.
    found = t_mean([1.0, 2.0, 3.0])
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5) and found.n == 3
    assert not direction(Figure(1.0), 0) and direction(Figure(1, 0.5, 2), 0) == 1
