import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from gristmill.core.errors import GristmillError
from gristmill.evaluate.arena import (
    Battle,
    battles_of,
    first_share,
    online_elo,
    read_battles,
    write_battles,
)
from gristmill.evaluate.ratings import rate, win_probability
from gristmill.evaluate.tally import tally


def fought(a: str, b: str, winner: str, times: int = 1) -> list[Battle]:
    return [Battle(f"{a}{b}{winner}{i}", a, b, winner) for i in range(times)]  # type: ignore[arg-type]


def played(strengths: list[float], n: int, seed: int, tie: float = 0.0) -> list[Battle]:
    rng = np.random.default_rng(seed)
    models = len(strengths)
    battles = []
    for number in range(n):
        i, j = rng.choice(models, 2, replace=False)
        won = rng.random() < 1 / (1 + math.exp(strengths[j] - strengths[i]))
        winner = "tie" if rng.random() < tie else "a" if won else "b"
        battles.append(Battle(str(number), f"m{i}", f"m{j}", winner))  # type: ignore[arg-type]
    return battles


WORKED = [
    *fought("A", "B", "a", 2), *fought("A", "B", "b", 3), *fought("A", "D", "a"),
    *fought("A", "D", "b", 4), *fought("B", "C", "a", 5), *fought("C", "B", "a", 3),
    *fought("C", "D", "a"), *fought("D", "C", "a", 3),
]  # fmt: skip


def test_the_worked_example_of_an_encyclopaedia() -> None:
    strength = rate(tally(WORKED), elo=False).strength
    assert [round(math.exp(strength[m]), 3) for m in "ABCD"] == [0.640, 1.043, 0.660, 2.270]


def test_sides_and_the_order_of_battles_change_nothing() -> None:
    turn = {"a": "b", "b": "a", "tie": "tie"}
    battles = played([0.0, 0.5, 1.0], 300, 0, tie=0.2)
    turned = [
        Battle(b.id, b.model_b, b.model_a, turn[b.winner])  # type: ignore[arg-type]
        for b in reversed(battles)
    ]
    assert rate(tally(battles)) == rate(tally(turned))


def test_ratings_are_on_the_scale_of_elo_with_mean_1000() -> None:
    battles = fought("x", "y", "a", 10) + fought("x", "y", "b", 1)
    x, y = rate(tally(battles)).ratings
    assert x.rating.value - y.rating.value == pytest.approx(400)
    assert x.rating.value + y.rating.value == pytest.approx(2000)


def test_a_tie_is_half_a_win_and_both_bad_a_tie() -> None:
    halves = rate(tally(fought("x", "y", "tie", 4) + fought("x", "y", "a", 4)), elo=False)
    assert halves.strength["x"] - halves.strength["y"] == pytest.approx(math.log(3))
    bad = rate(tally(fought("x", "y", "both_bad", 4) + fought("x", "y", "a", 4)), elo=False)
    assert bad.strength == halves.strength
    assert halves.ratings[0].wins == 6


def test_too_few_votes_give_no_interval() -> None:
    for votes in (fought("x", "y", "tie"), fought("x", "y", "tie", 2)):
        for intervals in ("sandwich", "bootstrap"):
            for one in rate(tally(votes), intervals=intervals).ratings:
                assert (one.rating.value, one.rating.low, one.rating.high) == (1000, None, None)
    (first, _) = rate(tally(fought("x", "y", "a") + fought("x", "y", "b"))).ratings
    assert first.rating.low is not None and first.rating.low < 1000


def test_davidson_against_a_general_optimiser() -> None:
    battles = played([0.0, 0.7, 1.2], 400, 3, tie=0.3)
    found = rate(tally(battles), ties="davidson", elo=False)

    def loss(theta: np.ndarray) -> float:
        place = {f"m{i}": theta[i] for i in range(3)}
        total = 0.0
        for b in battles:
            a, c = place[b.model_a] / 2, place[b.model_b] / 2
            chances = {"a": a - c, "b": c - a, "tie": theta[3]}
            total -= chances[b.winner] - np.log(sum(np.exp(v) for v in chances.values()))
        return total + 1e-6 * float(theta[:3].sum()) ** 2

    best = minimize(loss, np.zeros(4)).x
    assert [found.strength[f"m{i}"] for i in range(3)] == pytest.approx(
        list(best[:3] - best[:3].mean()), abs=1e-3
    )
    assert found.tie == pytest.approx(math.exp(best[3]), rel=1e-3)
    assert win_probability(found, "m0", "m1") + win_probability(found, "m1", "m0") == pytest.approx(
        1
    )


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_sandwich_and_bootstrap_agree(ties: str) -> None:
    counted = tally(played([0.0, 0.3, 0.6, 1.5], 3000, 1, tie=0.2))
    sandwich = rate(counted, ties=ties)  # type: ignore[arg-type]
    drawn = rate(counted, ties=ties, intervals="bootstrap", resamples=600)  # type: ignore[arg-type]
    for one, other in zip(sandwich.ratings, drawn.ratings, strict=True):
        widths = [f.high - f.low for f in (one.rating, other.rating)]  # type: ignore[operator]
        assert widths[0] == pytest.approx(widths[1], rel=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    strengths = [-0.5, 0.0, 0.5]
    hits = 0
    for seed in range(60):
        for one in rate(tally(played(strengths, 300, seed)), elo=False).ratings:
            truth = strengths[int(one.model[1])]
            hits += one.rating.low <= truth <= one.rating.high  # type: ignore[operator]
    assert 0.90 < hits / 180 < 0.99


def test_what_never_lost_or_never_won_is_unbounded_unless_a_prior_is_asked_for() -> None:
    battles = [
        *fought("best", "x", "a", 3), *fought("x", "y", "a", 2), *fought("x", "y", "b", 2),
        *fought("y", "worst", "a", 2), *fought("worst", "worse", "tie"),
    ]  # fmt: skip
    found = {one.model: one for one in rate(tally(battles)).ratings}
    assert [found[m].bound for m in ("best", "x", "y", "worst")] == ["above", "", "", "below"]
    assert found["best"].rating.value == math.inf and found["best"].rating.high is None
    assert next(iter(found)) == "best" and found["x"].best_rank == 2
    held = {one.model: one for one in rate(tally(battles), prior=1.0).ratings}
    assert all(math.isfinite(one.rating.value) and one.bound == "" for one in held.values())
    assert held["best"].rating.value > held["x"].rating.value > held["worst"].rating.value


def test_a_larger_prior_pulls_harder_and_a_tiny_one_hardly() -> None:
    counted = tally(WORKED)
    spread = [
        np.ptp(list(rate(counted, prior=prior).strength.values())) for prior in (0, 1e-6, 1, 100)
    ]
    assert spread[0] == pytest.approx(spread[1], rel=1e-4)
    assert spread[1] > spread[2] > spread[3] > 0


def test_groups_that_never_met_are_told_apart() -> None:
    battles = [
        *fought("a", "b", "tie"), *fought("b", "c", "tie"), *fought("x", "y", "tie"),
    ]  # fmt: skip
    found = rate(tally(battles))
    assert found.groups == [["a", "b", "c"], ["x", "y"]]
    assert {one.model: one.bound for one in found.ratings}["x"] == "apart"
    assert math.isnan(win_probability(found, "a", "x"))


def test_nothing_to_rate_and_a_lone_winner() -> None:
    with pytest.raises(GristmillError, match="no battles"):
        rate(tally([]))
    for one in rate(tally(fought("x", "y", "a"))).ratings:
        assert one.rating.low is None  # no interval of width 0 that looks sure


def test_elo_by_hand_and_over_orders() -> None:
    battles = fought("x", "y", "a", 2)
    first = 1000 + 16.0
    expected = 1 / (1 + 10 ** (-2 * 16 / 400))
    elo = online_elo(battles, k=32, orders=5)
    assert elo.as_they_came["x"] == pytest.approx(first + 32 * (1 - expected))
    assert elo.as_they_came["x"] + elo.as_they_came["y"] == pytest.approx(2000)
    mixed = online_elo(played([0.0, 1.0], 400, 0), k=8, orders=40, seed=1)
    low, high = mixed.over_orders["m1"].low, mixed.over_orders["m1"].high
    assert low is not None and high is not None and 1000 < low < high


def test_battles_are_read_written_and_read_the_same(tmp_path: Path) -> None:
    battles = [
        Battle("1", "a", "b", "both_bad", 'q\n"é"?', "x", "y", "judge", "3.5"),
        Battle("2", "a", "c", "a"),
    ]
    assert write_battles(tmp_path / "b.jsonl", battles) == 2
    found, rejects = read_battles(tmp_path / "b.jsonl")
    assert found == battles and not rejects


def test_the_spelling_of_public_arenas_and_what_is_no_battle(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]
    public = {"model_a": "m", "model_b": "n", "winner": "tie (bothbad)", "conversation_a": talk}
    lines = [
        json.dumps(public),
        json.dumps({"model_a": "m", "model_b": "n", "winner": "model_b"}),
        json.dumps({"model_a": "m", "model_b": "m", "winner": "a"}),
        json.dumps({"model_a": "m", "model_b": "n", "winner": "c"}),
        json.dumps({"model_a": "m", "winner": "a"}),
        json.dumps({"model_a": "m" * 300, "model_b": "n", "winner": "a"}),
        "[1]", "{torn", "", "[" * 100_000,
    ]  # fmt: skip
    file = tmp_path / "b.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    found, rejects = read_battles(file)
    assert [(b.winner, b.prompt, b.answer_a) for b in found] == [
        ("both_bad", "q", "r"),
        ("b", "", ""),
    ]
    assert [r["where"] for r in rejects] == [f"b.jsonl:{i}" for i in (3, 4, 5, 6, 7, 8, 10)]
    assert found[0].id != found[1].id
    with pytest.raises(GristmillError, match="no such file"):
        read_battles(tmp_path / "none")


def test_records_in_memory_are_read_alike() -> None:
    record = {"id": "1", "model_a": "m", "model_b": "n", "winner": "a", "time": 12.5}
    found, rejects = battles_of([record, 3], "store")
    assert found == [Battle("1", "m", "n", "a", time="12.5")]
    assert rejects[0]["where"] == "store:2"


def test_the_share_of_the_first_place() -> None:
    battles = fought("x", "y", "a", 3) + fought("x", "y", "b") + fought("x", "y", "tie", 9)
    assert first_share(battles).value == 0.75 and first_share(battles).n == 4


def test_every_small_tournament_ends() -> None:
    """No combination of outcomes among three models makes the fit fail or say nan of the rated."""
    for outcomes in product(["", "a", "b", "tie"], repeat=3):
        pairs = [("x", "y"), ("y", "z"), ("x", "z")]
        battles = [
            battle
            for (a, b), winner in zip(pairs, outcomes, strict=True)
            if winner
            for battle in fought(a, b, winner)
        ]
        if battles:
            for ties in ("half", "davidson"):
                for one in rate(tally(battles), ties=ties).ratings:  # type: ignore[arg-type]
                    assert math.isfinite(one.rating.value) == (one.bound == "")
