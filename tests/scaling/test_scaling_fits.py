"""The fits: known laws are found again, gradients are right, intervals hold the truth."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize_scalar
from scipy.stats import linregress

from gristmill.core.errors import GristmillError
from gristmill.scaling.held_out import frontier, predict_largest
from gristmill.scaling.isoflop import fit_isoflop, group_budgets
from gristmill.scaling.log_sum_fit import fit_log_sum, objective_and_gradient, refit
from gristmill.scaling.parametric import Parametric, fit_parametric
from gristmill.scaling.points import Point
from gristmill.scaling.power_law import fit_line, fit_power_law, resample
from gristmill.scaling.repetition import effective_tokens, fit_repetition

E, A, B, ALPHA, BETA = 1.7, 420.0, 1800.0, 0.34, 0.36


def law(parameters: float, tokens: float) -> float:
    return float(E + A / parameters**ALPHA + B / tokens**BETA)


def runs(noise: float = 0.0, seed: int = 0) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [
        Point(N, D, law(N, D) * math.exp(noise * rng.standard_normal()), non_embedding=0.8 * N)
        for N in np.geomspace(1e7, 1e9, 6)
        for D in np.geomspace(2e8, 2e10, 6)
    ]


def isoflop_runs(noise: float = 0.0) -> list[Point]:
    rng = np.random.default_rng(1)
    made = []
    for C in (1e18, 1e19, 1e20):
        best = Parametric(E, A, B, ALPHA, BETA, 0, np.empty((0, 5)), np.empty(0)).optimal(C)[0]
        for factor in np.geomspace(0.5, 2, 7):
            N, D = best * factor, C / (6 * best * factor)
            made.append(Point(N, D, law(N, D) * math.exp(noise * rng.standard_normal()), C))
    return made


@pytest.mark.parametrize("delta", [1e-3, 1.0])
def test_the_gradient_is_the_numeric_one(delta: float) -> None:
    rng = np.random.default_rng(3)
    log_x, log_loss = rng.normal(size=(2, 9)), rng.normal(size=9)
    for _ in range(5):
        theta = rng.normal(size=5)
        error = check_grad(
            lambda t: objective_and_gradient(t, log_x, log_loss, delta)[0],
            lambda t: objective_and_gradient(t, log_x, log_loss, delta)[1],
            theta,
        )
        assert error < 1e-5


def test_the_objective_is_summed_by_hand() -> None:
    # One term, residuals log 2 (beyond delta) and 0.
    value, _ = objective_and_gradient(
        np.array([-50.0, math.log(2), 0.0]), np.zeros((1, 2)), np.array([0.0, math.log(2)]), 0.1
    )
    assert value == pytest.approx(0.1 * (math.log(2) - 0.05))


def test_what_is_minimised_is_the_sum_of_huber_losses_at_a_thousandth() -> None:
    points = runs(0.01)
    found = fit_parametric(points, resamples=0)

    def objective(law: Parametric) -> float:
        size = [abs(math.log(float(law.loss(p.parameters, p.tokens)) / p.loss)) for p in points]
        return sum(0.5 * r * r if r <= 1e-3 else 1e-3 * (r - 0.5e-3) for r in size)

    assert found.objective == pytest.approx(objective(found), rel=1e-9)
    for name in ("E", "A", "B", "alpha", "beta"):
        for factor in (0.999, 1.001):
            beside = replace(found, **{name: getattr(found, name) * factor})
            assert objective(beside) > found.objective


def test_a_known_law_is_found_again() -> None:
    found = fit_parametric(runs(), resamples=0)
    assert found.objective < 1e-15
    assert found.numbers == pytest.approx((E, A, B, ALPHA, BETA), rel=1e-4)


def test_intervals_hold_the_truth_of_noisy_runs() -> None:
    truth = {"E": E, "alpha": ALPHA, "beta": BETA, "a": BETA / (ALPHA + BETA)}
    held = dict.fromkeys(truth, 0)
    for seed in range(10):
        figures = fit_parametric(runs(0.005, seed), resamples=100).figures()
        for name, value in truth.items():
            low, high = figures[name].low, figures[name].high
            assert low is not None and high is not None and high / low < 2
            held[name] += low < value < high
    # 95% intervals: of ten, eight or more hold the truth but once in a hundred.
    assert min(held.values()) >= 8


def test_outliers_hardly_move_the_law() -> None:
    points = runs(0.001)
    points[3] = Point(points[3].parameters, points[3].tokens, 3 * points[3].loss)
    found = fit_parametric(points, resamples=0)
    assert (found.alpha, found.beta) == pytest.approx((ALPHA, BETA), rel=0.1)


def test_a_resample_fitted_from_the_whole_equals_its_own_fit() -> None:
    points = runs(0.01)
    x = [np.array([p.parameters for p in points]), np.array([p.tokens for p in points])]
    loss = np.array([p.loss for p in points])
    whole = fit_log_sum(x, loss)
    picked = resample(len(points), 8, 5)
    for rows, fast in zip(picked, refit(whole, x, loss, picked), strict=True):
        slow = fit_log_sum([x_R[rows] for x_R in x], loss[rows])
        assert fast.objective == pytest.approx(slow.objective, rel=1e-4)
        assert fast.alpha_K == pytest.approx(slow.alpha_K, rel=0.02)


def test_a_resample_of_too_few_points_is_left_out() -> None:
    points = runs()
    x = [np.array([p.parameters for p in points]), np.array([p.tokens for p in points])]
    loss = np.array([p.loss for p in points])
    picked = np.zeros((1, len(points)), np.int64)
    assert refit(fit_log_sum(x, loss), x, loss, picked) == []


def test_the_best_size_is_where_the_loss_is_least() -> None:
    found = fit_parametric(runs(), resamples=20)
    N, D = found.optimal(1e21)
    assert pytest.approx(1e21) == 6 * N * D
    best = minimize_scalar(
        lambda log_N: float(found.loss(math.exp(log_N), 1e21 / (6 * math.exp(log_N)))),
        bounds=(math.log(N) - 3, math.log(N) + 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert math.log(N) == pytest.approx(best.x, abs=1e-3)
    assert found.a + found.b == 1
    # N ~ C^a.
    assert found.optimal(1e23)[0] / N == pytest.approx(100**found.a)


def test_a_law_survives_its_file() -> None:
    found = fit_parametric(runs(0.01), resamples=30)
    again = Parametric.from_json(found.to_json())
    assert again.numbers == found.numbers
    assert again.figure(1e9, 1e10).low == pytest.approx(found.figure(1e9, 1e10).low, rel=1e-6)
    with pytest.raises(GristmillError, match="no parametric law"):
        Parametric.from_json({"E": 1})


def test_parameters_count_by_two_conventions() -> None:
    other = fit_parametric(runs(), non_embedding=True, resamples=0)
    # A share of 0.8 everywhere moves A alone.
    assert pytest.approx(A * 0.8**ALPHA, rel=1e-3) == other.A
    assert other.counted != fit_parametric(runs(), resamples=0).counted
    with pytest.raises(GristmillError, match="non_embedding"):
        fit_parametric(isoflop_runs(), non_embedding=True)


@pytest.mark.parametrize(
    "points",
    [
        runs()[:5],
        [Point(1e7, D, 3.0) for D in np.geomspace(1e8, 1e9, 8)],
        # Two token counts leave E and B undecided.
        [p for p in runs() if p.tokens < 1e9],
    ],
)
def test_runs_that_hold_no_law_are_refused(points: list[Point]) -> None:
    with pytest.raises(GristmillError):
        fit_parametric(points)


def test_a_power_law_is_found_with_and_without_its_offset() -> None:
    x = np.geomspace(1e6, 1e9, 12)
    bent = fit_power_law(x, 1.5 + 30 * x**-0.3, resamples=0)
    assert (bent.E, bent.A, bent.alpha) == pytest.approx((1.5, 30, 0.3), rel=1e-3)
    straight = fit_power_law(x, 30 * x**-0.1, offset=False, resamples=50)
    assert (straight.E, straight.A, straight.alpha) == pytest.approx((0, 30, 0.1), rel=1e-9)
    assert straight.loss(1e7) == pytest.approx(30 * 1e7**-0.1)


def test_the_line_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(9.0)
    y = 2 - 0.5 * x + rng.normal(size=9)
    line, oracle = fit_line(x, y), linregress(x, y)
    assert line.slope.value == pytest.approx(oracle.slope)
    assert line.intercept.value == pytest.approx(oracle.intercept)
    t = 2.364624251592785
    assert line.slope.high == pytest.approx(oracle.slope + t * oracle.stderr)
    assert line.intercept.low == pytest.approx(oracle.intercept - t * oracle.intercept_stderr)
    assert fit_line([1, 2], [3, 5]).slope.low is None
    with pytest.raises(GristmillError, match="two points"):
        fit_line([1, 1], [2, 3])


def test_isoflop_minima_and_exponents_are_those_of_the_law() -> None:
    found = fit_isoflop(isoflop_runs(0.001), resamples=60)
    true_law = Parametric(E, A, B, ALPHA, BETA, 0, np.empty((0, 5)), np.empty(0))
    assert [round(math.log10(profile.flops)) for profile in found.profiles] == [18, 19, 20]
    for profile in found.profiles:
        assert profile.inside
        assert profile.N_optimal == pytest.approx(true_law.optimal(profile.flops)[0], rel=0.15)
    assert found.a.value == pytest.approx(true_law.a, abs=0.03)
    assert found.a.value + found.b.value == pytest.approx(1)
    assert found.a.low is not None and found.a.low < true_law.a
    assert found.optimal(1e21)[0] == pytest.approx(true_law.optimal(1e21)[0], rel=0.3)


def test_a_minimum_beyond_the_sizes_does_not_count() -> None:
    C = 1e19
    small = [Point(N, C / (6 * N), law(N, C / (6 * N)), C) for N in np.geomspace(1e6, 1e7, 5)]
    found = fit_isoflop(small, resamples=5)
    assert not found.profiles[0].inside
    assert math.isnan(found.a.value)


def test_budgets_stand_out_among_other_runs() -> None:
    strays = [Point(10**k, 1e9, 3, 10 ** (17.3 + 0.31 * k)) for k in range(6)]
    groups = group_budgets(isoflop_runs() + strays)
    assert [(f"{flops:.0e}", len(found)) for flops, found in groups] == [
        ("1e+18", 7),
        ("1e+19", 7),
        ("1e+20", 7),
    ]
    with pytest.raises(GristmillError, match="four sizes"):
        fit_isoflop(strays)


def test_the_largest_run_is_predicted_without_being_seen() -> None:
    points = runs(0.002)
    told = predict_largest(points, resamples=100)
    assert (told.point.parameters, told.point.tokens) == pytest.approx((1e9, 2e10))
    assert told.fitted == len(points) - 1 and told.inside
    assert abs(told.error) < 0.02
    wrong = [*points[:-1], Point(points[-1].parameters, points[-1].tokens, 9.0)]
    again = predict_largest(wrong, resamples=100)
    assert again.predicted == told.predicted and again.inside is False
    assert again.error == pytest.approx(told.predicted.value / 9.0 - 1)


def test_the_largest_run_is_that_of_most_compute() -> None:
    # A larger model that has hardly been trained is a small run.
    wide = Point(4e9, 2e8, law(4e9, 2e8))
    told = predict_largest([*runs(0.002), wide], resamples=20)
    assert (told.point.parameters, told.point.tokens) == pytest.approx((1e9, 2e10))
    assert told.reach == pytest.approx(10 ** (2 / 5), rel=0.01)


def test_the_interval_of_one_new_run_holds_the_scatter_too() -> None:
    points = runs(0.02)
    told = predict_largest(points, resamples=200).predicted
    law_alone = fit_parametric(points[:-1]).figure(1e9, 2e10)
    assert told.low is not None and told.high is not None
    assert law_alone.low is not None and law_alone.high is not None
    # 95% of runs that scatter by 2% span 8%; the law itself is known better.
    assert told.high - told.low > 1.2 * (law_alone.high - law_alone.low)
    assert told.high / told.low > 1.06


def test_all_seeds_of_the_largest_run_are_held_out() -> None:
    points = runs(0.002)
    largest = points[-1]
    more = [*points, Point(largest.parameters, largest.tokens, largest.loss + 0.2, seed=1)]
    told = predict_largest(more, resamples=20)
    assert (told.runs, told.fitted) == (2, len(points) - 1)
    assert told.measured == pytest.approx(largest.loss + 0.1)


def test_few_runs_are_predicted_by_a_line() -> None:
    points = [Point(N, 20 * N, 30 * (120 * N * N) ** -0.05) for N in (1e6, 2e6, 4e6, 8e6)]
    told = predict_largest(points)
    assert told.by.startswith("the line")
    assert told.error == pytest.approx(0, abs=1e-9)
    with pytest.raises(GristmillError, match="too few"):
        predict_largest(points[:3])


def test_the_frontier_only_goes_down() -> None:
    points = [Point(1, 1, loss, C) for C, loss in ((1, 4), (2, 5), (3, 3), (3, 2.5), (4, 2.6))]
    assert [(p.flops, p.loss) for p in frontier(points)] == [(1, 4), (3, 2.5)]


def test_repeated_tokens_count_less_and_less() -> None:
    tokens, unique = np.array([1e9, 2e9, 1e12]), np.full(3, 1e9)
    worth = effective_tokens(tokens, unique, 15.0)
    assert worth[0] == 1e9
    assert 1.9e9 < worth[1] < 2e9
    # However often, no more than U (1 + R*).
    assert worth[2] == pytest.approx(16e9, rel=1e-6)


def test_the_half_life_of_repeats_is_found_where_runs_tell_it() -> None:
    rng = np.random.default_rng(0)
    points = []
    for N in np.geomspace(1e7, 1e9, 5):
        for unique in (1e8, 1e9):
            for passes in (1, 4, 16, 64, 256):
                D = unique * passes
                worth = float(effective_tokens(np.array([D]), np.array([unique]), 15.0)[0])
                loss = law(N, worth) * math.exp(0.001 * rng.standard_normal())
                points.append(Point(N, D, loss, unique_tokens=unique))
    told = fit_repetition(points, resamples=40)
    assert told.low <= 15 * 1.4 and told.high >= 15 / 1.4
    assert told.identified and told.repeated == 40
    noisy = [
        replace(p, loss=p.loss * math.exp(0.03 * rng.standard_normal()))
        for p in points
        if p.unique_tokens and p.tokens < 5 * p.unique_tokens
    ]
    assert not fit_repetition(noisy, resamples=40).identified
    with pytest.raises(GristmillError, match="repeat their text"):
        fit_repetition(runs())


def test_a_maximum_is_no_best_size() -> None:
    hill = [Point(N, 1e9, 3 - 0.1 * (math.log(N / 3e7)) ** 2, 1e18) for N in (1e7, 2e7, 5e7, 1e8)]
    (profile,) = fit_isoflop(hill, resamples=0).profiles
    assert 1e7 < profile.N_optimal < 1e8 and not profile.inside
