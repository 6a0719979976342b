import math

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.evaluate.length_controlled import (
    PENALTIES,
    Weights,
    _fit,
    difficulty_of_others,
    length_controlled,
    length_term,
    predicted_rate,
    raw_rate,
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_raw_rate_by_hand() -> None:
    rate = raw_rate([1.0, 0.0, 0.5, math.nan, 1.0])
    # Mean 2.5 / 4; squared deviations 0.140625 * 2 + 0.390625 + 0.015625, over 3, over 4.
    assert rate.rate == 0.625 and rate.n == 4
    assert rate.standard_error == pytest.approx(math.sqrt(0.6875 / 3 / 4))
    assert raw_rate([math.nan]).n == 0


def test_the_fit_meets_the_conditions_of_its_optimum() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([np.tanh(rng.normal(size=300)), rng.normal(size=300), np.ones(300)], axis=1)
    labels = sigmoid(rows @ np.array([1.5, 0.0, -1.0]) + rng.normal(size=300))
    weights = np.stack([np.ones(300), rng.integers(0, 3, 300)]).astype(float)
    penalties = np.array([0.05, 3.0])
    for w, weight, penalty in zip(
        _fit(rows, labels, weights, penalties), weights, penalties, strict=True
    ):
        slope = penalty * rows.T @ (weight * (sigmoid(rows @ w) - labels))
        for k in range(3):
            # At the optimum of a function plus |w| the slope is -sign(w), or below 1 in size at 0.
            if w[k] != 0:
                assert slope[k] == pytest.approx(-np.sign(w[k]), abs=1e-3)
            else:
                assert abs(slope[k]) <= 1


def judged(taste: float, quality: float, seed: int = 0, n: int = 800) -> tuple:
    """Verdicts of a judge with a taste for length on answers that are longer by 100 on average."""
    rng = np.random.default_rng(seed)
    delta = rng.normal(100, 150, n)
    return sigmoid(taste * length_term(delta) + quality + 0.3 * rng.normal(size=n)), delta


def test_a_taste_for_length_is_taken_out() -> None:
    truth = float(sigmoid(np.array([-0.4]))[0])
    preference, delta = judged(2.0, -0.4)
    raw = raw_rate(preference).rate
    found = length_controlled(preference, delta, resamples=50)
    assert raw > 0.55 and abs(found.rate.value - truth) < 0.03 < abs(raw - truth) / 3
    assert found.rate.low is not None and found.rate.high is not None
    assert found.rate.low < found.rate.value < found.rate.high
    assert found.weights.length > 1 and not found.extrapolated


def test_a_judge_without_that_taste_is_left_alone() -> None:
    preference, delta = judged(0.0, 0.8)
    found = length_controlled(preference, delta, resamples=0)
    assert abs(found.rate.value - raw_rate(preference).rate) < 0.01


def test_difficulty_helps_and_comes_from_the_other_models() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(size=400)
    delta = np.stack([rng.normal(50, 100, 400) + 60 * hard, *rng.normal(0, 100, (3, 400))])
    preferences = np.stack(
        [sigmoid(1.5 * length_term(delta[m]) - 1.5 * hard - 0.5) for m in range(4)]
    )
    difficulty = difficulty_of_others(preferences, 0)
    assert abs(np.corrcoef(difficulty, hard)[0, 1]) > 0.8
    changed = preferences.copy()
    changed[0] = 1 - changed[0]
    assert (difficulty_of_others(changed, 0) == difficulty).all()
    truth = float(sigmoid(-1.5 * hard - 0.5).mean())
    alone = length_controlled(preferences[0], delta[0], resamples=0).rate.value
    helped = length_controlled(preferences[0], delta[0], difficulty, resamples=0).rate.value
    assert abs(helped - truth) < abs(alone - truth)
    assert (difficulty_of_others(preferences[:1], 0) == 0).all()


def test_lengths_on_one_side_are_said_to_be_an_extrapolation() -> None:
    preference, delta = judged(1.0, 0.0)
    assert length_controlled(preference, np.abs(delta) + 1, resamples=0).extrapolated


def test_equal_lengths_unread_verdicts_and_too_few() -> None:
    assert (length_term([5.0, 5.0]) == 0).all()
    preference, _ = judged(0.0, 0.5, n=60)
    preference[::3] = math.nan
    found = length_controlled(preference, np.full(60, 7.0), resamples=20)
    assert found.rate.n == 40 and found.weights.length == 0
    with pytest.raises(GristmillError, match="too few"):
        length_controlled([1.0, 0.0, math.nan, 1.0, 0.0], [1, 2, 3, 4, 5])


def test_predicted_rate_of_given_weights() -> None:
    expected = (1 / (1 + math.exp(-2)) + 1 / (1 + math.exp(0))) / 2
    assert predicted_rate(Weights(9.0, 1.0, 1.0), [1.0, -1.0]) == pytest.approx(expected)


def test_the_penalty_is_chosen_on_prompts_that_the_fit_has_not_seen() -> None:
    rng = np.random.default_rng(4)
    delta = rng.normal(0, 100, 40)
    # Nothing to learn: on what it has seen the weakest penalty always fits best.
    noise = length_controlled(rng.integers(0, 2, 40).astype(float), delta, resamples=0)
    clear = length_controlled(sigmoid(3 * length_term(delta) + 1), delta, resamples=0)
    assert noise.penalty < PENALTIES[-4] < clear.penalty
