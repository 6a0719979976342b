"""Laws of loss over mixtures: a known law is found again, and errors are those of unseen runs."""

from __future__ import annotations

import numpy as np
import pytest

from gristmill.data.domain_weights import draw_mixture, tempered, within_caps
from gristmill.scaling.mixing_law import (
    _ridge,
    best_mixture,
    bootstrap,
    fit_mixing_law,
    linear_left_out,
    rank_correlation,
)

# Three domains: each is helped most by its own text, the third a little by the second's.
FLOOR = np.array([1.0, 1.2, 0.8])
PULL = np.array([[-3.0, 0.3, 0.2], [0.1, -2.0, 0.1], [0.2, -1.0, -2.5]])


def made(runs: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mixtures = random.dirichlet(np.ones(3), runs)
    losses = FLOOR + np.exp(mixtures @ PULL.T)
    return mixtures, losses + random.normal(0, noise, losses.shape)


def test_a_known_law_is_found_and_predicts_unseen_mixtures() -> None:
    mixtures, losses = made(24)
    fitted = fit_mixing_law(mixtures, losses)
    unseen, truth = made(50, seed=1)
    assert fitted.law.losses(unseen) == pytest.approx(truth, abs=0.03)
    assert fitted.left_out_ND == pytest.approx(losses, abs=0.06)
    # A plain line cannot follow the bend.
    target = losses.mean(axis=1)
    line = linear_left_out(mixtures, target) - target
    law = fitted.left_out_ND.mean(axis=1) - target
    assert np.mean(line**2) > 4 * np.mean(law**2)


def test_left_out_is_what_leaving_out_gives() -> None:
    mixtures, losses = made(12, noise=0.05)
    _, _, left_out = _ridge(mixtures, losses[:, 0], 0.1)
    for i in range(12):
        rest = np.arange(12) != i
        x, y = mixtures[rest], losses[rest, 0]
        # The penalty of the whole, since its scale follows the spread of all runs.
        scale = 0.1 * ((mixtures - mixtures.mean(axis=0)) ** 2).sum(axis=0).mean()
        centred = x - x.mean(axis=0)
        slopes = np.linalg.solve(
            centred.T @ centred + scale * np.eye(3), centred.T @ (y - y.mean())
        )
        assert left_out[i] == pytest.approx(y.mean() + (mixtures[i] - x.mean(axis=0)) @ slopes)


def test_the_best_mixture_is_near_the_true_one_and_has_an_interval() -> None:
    mixtures, losses = made(30, noise=0.01)
    fitted = fit_mixing_law(mixtures, losses)
    candidates = np.random.default_rng(3).dirichlet(np.ones(3), 5000)
    target = np.array([0.6, 0.2, 0.2])
    truth = candidates[((FLOOR + np.exp(candidates @ PULL.T)) @ target).argmin()]
    best = best_mixture(fitted.law, target, candidates, top=20)
    assert best.sum() == pytest.approx(1.0) and best == pytest.approx(truth, abs=0.12)
    again = bootstrap(
        fitted.law, mixtures, losses, lambda law: best_mixture(law, target, candidates, top=20),
        resamples=40, seed=0,
    )  # fmt: skip
    low, high = np.percentile(again, [2.5, 97.5], axis=0)
    assert np.all(low <= best + 1e-9) and np.all(best <= high + 1e-9) and (high - low).max() < 0.3


def test_noise_is_not_explained() -> None:
    random = np.random.default_rng(8)
    mixtures = random.dirichlet(np.ones(5), 24)
    losses = 2.0 + random.normal(0, 0.1, (24, 1))
    guess = fit_mixing_law(mixtures, losses).left_out_ND[:, 0]
    spread = np.mean((losses[:, 0] - losses.mean()) ** 2)
    assert np.mean((guess - losses[:, 0]) ** 2) > 0.8 * spread
    with pytest.raises(ValueError, match="too few"):
        fit_mixing_law(mixtures[:3], losses[:3])
    with pytest.raises(ValueError, match="above 0"):
        fit_mixing_law(mixtures, losses - 5)


def test_ranks() -> None:
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2, 2]), np.array([3.0, 1, 1])) == pytest.approx(-1)
    assert np.isnan(rank_correlation(np.array([1.0, 2, 3]), np.ones(3)))


def test_mixtures_are_drawn_around_the_centre() -> None:
    centre = tempered([900, 100, 0], 2.0)
    assert centre == pytest.approx([0.75, 0.25, 0.0])
    drawn = np.array([draw_mixture(centre, i, strength=(0.3, 4.0), seed=1) for i in range(2000)])
    assert drawn.sum(axis=1) == pytest.approx(np.ones(2000)) and np.all(drawn[:, 2] == 0)
    assert drawn.mean(axis=0) == pytest.approx(centre, abs=0.03)
    # Some have nearly one domain only, some are near the centre.
    assert (drawn[:, 0] > 0.99).mean() > 0.1 and (abs(drawn[:, 0] - 0.75) < 0.1).mean() > 0.1
    assert np.array_equal(drawn[7], draw_mixture(centre, 7, strength=(0.3, 4.0), seed=1))


def test_caps_hold_and_shares_still_add_up() -> None:
    random = np.random.default_rng(2)
    mixtures = random.dirichlet(np.full(5, 0.4), 300)
    caps = np.array([0.1, 0.3, 1.0, 0.25, 0.05])
    found = within_caps(mixtures, caps)
    assert found.sum(axis=1) == pytest.approx(np.ones(300)) and np.all(found <= caps + 1e-9)
    free = np.array([[0.05, 0.2, 0.5, 0.2, 0.05]])
    assert within_caps(free, caps) == pytest.approx(free)
    # 0.9 of the first becomes 0.1; the other four share 0.9 by their sizes, the last capped.
    one = within_caps(np.array([[0.9, 0.04, 0.02, 0.03, 0.01]]), np.array([0.1, 1, 1, 1, 0.05]))
    assert one == pytest.approx(np.array([[0.1, 0.4 * 0.85 / 0.9, 0.2 * 0.85 / 0.9,
                                           0.3 * 0.85 / 0.9, 0.05]]), abs=0.02)  # fmt: skip
    tight = within_caps(mixtures[:2], np.array([0.1, 0.1, 0.1, 0.1, 0.1]))
    assert tight == pytest.approx(np.full((2, 5), 0.2))
    only = within_caps(np.array([[1.0, 0.0, 0.0]]), np.array([0.4, 0.4, 0.4]))
    assert only == pytest.approx(np.array([[0.4, 0.3, 0.3]]))
