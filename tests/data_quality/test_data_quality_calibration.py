"""ROC area and calibration by numbers worked out by hand or by a second way."""

from __future__ import annotations

import numpy as np
import pytest

from gristmill.data.calibration import (
    calibration_error,
    fit_isotonic,
    fit_sigmoid,
    ranks,
    roc_auc,
    roc_curve,
    sigmoid,
)


def test_area_by_hand() -> None:
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    labels = np.array([False, False, True, True])
    assert roc_auc(scores, labels).value == 0.75
    assert roc_auc(np.ones(4), labels).value == 0.5
    assert np.isnan(roc_auc(scores, np.ones(4, np.bool_)).value)
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_area_is_the_share_of_pairs_and_the_area_under_the_curve() -> None:
    r = np.random.default_rng(0)
    labels = r.random(300) < 0.3
    scores = np.round(r.normal(labels * 1.0, 1.0), 1)
    won = scores[labels][:, None] - scores[~labels][None, :]
    wanted = np.mean((won > 0) + 0.5 * (won == 0))
    figure = roc_auc(scores, labels)
    assert figure.value == pytest.approx(wanted)
    assert figure.low is not None and figure.high is not None
    assert figure.low < wanted < figure.high < 1
    false, true = roc_curve(scores, labels, points=10_000)
    assert np.trapezoid(true, false) == pytest.approx(wanted)


def test_the_interval_covers() -> None:
    # True area of two unit normals one apart: Phi(1 / sqrt 2) = 0.7602.
    r = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        labels = np.arange(120) < 50
        figure = roc_auc(r.normal(labels * 1.0, 1.0), labels)
        assert figure.low is not None and figure.high is not None
        inside += figure.low <= 0.7602 <= figure.high
    assert inside >= 270


def test_sigmoid_is_recovered_and_never_falls() -> None:
    r = np.random.default_rng(2)
    scores = r.normal(0, 3, 20_000)
    labels = r.random(20_000) < sigmoid(0.7 * scores - 1.2)
    found = fit_sigmoid(scores, labels)
    assert found.slope == pytest.approx(0.7, abs=0.03)
    assert found.offset == pytest.approx(-1.2, abs=0.06)
    falling = fit_sigmoid(-scores, labels)
    assert falling.slope == 0.0
    assert falling(np.zeros(1))[0] == pytest.approx(labels.mean(), abs=0.001)
    assert fit_sigmoid(np.ones(50), np.arange(50) < 10).slope == 0.0


def test_isotonic_follows_two_humps_and_keeps_the_order() -> None:
    r = np.random.default_rng(3)
    # Hopeless pages far below, and a plateau of 0.6: no sigmoid has this shape.
    poor = r.random(20_000) < 0.3
    scores = np.where(poor, r.normal(-6, 1, 20_000), r.normal(1, 1, 20_000))
    labels = ~poor & (r.random(20_000) < 0.6)
    half = np.arange(20_000) < 10_000
    curve = fit_isotonic(scores[half], labels[half])
    error = calibration_error(curve(scores[~half]), labels[~half])
    assert error < 0.02
    sigmoid_error = calibration_error(
        fit_sigmoid(scores[half], labels[half])(scores[~half]), labels[~half]
    )
    assert sigmoid_error > 2 * error
    grid = np.linspace(-9, 5, 300)
    assert np.all(np.diff(curve(grid)) > 0)
    assert curve(np.array([-6.0]))[0] < 0.02
    assert curve(np.array([1.0]))[0] == pytest.approx(0.6, abs=0.03)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([0.1, 0.1, 0.9, 0.9])
    labels = np.array([False, True, True, True])
    assert calibration_error(probabilities, labels, bins=2) == pytest.approx(0.25)


def test_copies_are_not_more_evidence() -> None:
    r = np.random.default_rng(4)
    labels = r.random(80) < 0.4
    scores = r.normal(labels * 1.0, 1.0)
    alone = roc_auc(scores, labels, [str(i) for i in range(80)])
    tripled, names = np.tile(scores, 3), [str(i % 80) for i in range(240)]
    grouped = roc_auc(tripled, np.tile(labels, 3), names)
    naive = roc_auc(tripled, np.tile(labels, 3))
    assert grouped.value == alone.value == naive.value
    assert alone.low is not None and grouped.low is not None and naive.low is not None
    assert grouped.low == pytest.approx(alone.low, abs=1e-9)
    assert naive.low > alone.low + 0.02


def test_the_interval_by_group_covers() -> None:
    # Pages of a site share their luck: true area of normals of variance 2, one apart, 0.6915.
    r = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        site = np.repeat(np.arange(60), 4)
        labels = r.random(240) < 0.5
        scores = r.normal(0, 1, 60)[site] + r.normal(labels * 1.0, 1.0)
        figure = roc_auc(scores, labels, [str(s) for s in site])
        assert figure.low is not None and figure.high is not None
        inside += figure.low <= 0.6915 <= figure.high
    assert inside >= 183
