"""The planner: published trainings, budgets from any side, choices that spend what there is."""

import math

import pytest

from gristmill.core.errors import GristmillError
from gristmill.scaling.chinchilla import chinchilla_law
from gristmill.scaling.hardware import ACCELERATORS, accelerator
from gristmill.scaling.planner import (
    Assumptions,
    energy_for,
    find_budget,
    hours_for,
    make_plan,
    training_flops,
)
from gristmill.scaling.published import PUBLISHED, compare
from gristmill.scaling.recipe_file import Machine, not_runnable, recipe_text, vocabulary_for

H100 = accelerator("h100")
USUAL = Assumptions()


@pytest.mark.parametrize("training", PUBLISHED, ids=lambda training: training.name)
def test_published_trainings_agree_within_a_tenth(training) -> None:  # type: ignore[no-untyped-def]
    told = compare(training)
    assert told["errors"]
    assert all(abs(error) < 0.1 for error in told["errors"].values()), told["errors"]


def test_flops_of_three_papers() -> None:
    # Brown et al. 2020, table D.1; Hoffmann et al. 2022, section 4; Dubey et al. 2024, section 3.2.
    assert training_flops(175e9, 300e9) == pytest.approx(3.14e23, rel=0.01)
    assert training_flops(175e9, 300e9) / 8.64e19 == pytest.approx(3640, rel=0.01)
    assert training_flops(70e9, 1.4e12) == pytest.approx(5.76e23, rel=0.03)
    assert training_flops(405e9, 15.6e12) == pytest.approx(3.8e25, rel=0.01)


def test_hours_and_energy_of_llama_3() -> None:
    # 400 TFLOP/s on each H100, 90% of the time; the model card says 30.84 M hours.
    hours = hours_for(3.8e25, H100, Assumptions(mfu=400e12 / H100.peak, uptime=0.9))
    assert hours == pytest.approx(30.84e6, rel=0.1)
    # Touvron et al. 2023, table 15: LLaMA 65B.
    assert energy_for(1_022_362, accelerator("a100"), 1.1) == pytest.approx(449e3, rel=0.01)


def test_every_budget_is_the_same_from_each_side() -> None:
    first = find_budget(H100, USUAL, gpus=1000, days=10)
    assert first.flops == pytest.approx(1000 * 989.4e12 * 0.4 * 0.9 * 864000)
    assert first.gpu_hours == pytest.approx(240_000)
    assert first.cost == pytest.approx(240_000 * H100.price)
    assert first.energy_kwh == pytest.approx(240_000 * 0.7 * 1.1)
    by_flops = find_budget(H100, USUAL, flops=first.flops, gpus=1000)
    assert by_flops.days == pytest.approx(10)
    by_money = find_budget(H100, USUAL, money=first.cost, days=10)
    assert (by_money.gpus, by_money.days) == (1000, pytest.approx(10))
    unsaid = find_budget(H100, USUAL, flops=first.flops)
    assert unsaid.gpus == 334 and unsaid.days <= 30


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"gpus": 8},
        {"days": 3.0},
        {"flops": 1e20, "money": 5.0},
        {"flops": 1e20, "gpus": 8, "days": 2.0},
        {"flops": -1.0},
        {"money": math.inf},
    ],
)
def test_no_budget_or_two_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(GristmillError):
        find_budget(H100, USUAL, **given)  # type: ignore[arg-type]


def test_choices_spend_the_budget_and_differ_as_they_should() -> None:
    plan = make_plan(find_budget(H100, USUAL, gpus=10_000, days=30), chinchilla_law())
    rule, law, aware = plan.choices
    for choice in plan.choices:
        assert choice.flops == pytest.approx(plan.budget.flops)
        assert choice.days == pytest.approx(30)
        assert choice.train_cost == pytest.approx(plan.budget.cost)
        assert choice.loss.low is not None and choice.loss.high is not None
        assert choice.loss.low < choice.loss.value < choice.loss.high
    assert rule.tokens_per_parameter == pytest.approx(20)
    assert aware.tokens_per_parameter == pytest.approx(150)
    assert law.loss.value == min(choice.loss.value for choice in plan.choices)
    assert aware.serve_cost < law.serve_cost
    # A served token is 2 N operations.
    hours = 2 * law.parameters * 1e12 / (H100.peak * USUAL.serve_mfu * 3600)
    assert law.serve_cost == pytest.approx(hours * H100.price)


def test_the_same_loss_costs_more_training_and_less_serving() -> None:
    served = 1e13
    budget = find_budget(H100, Assumptions(serve_tokens=served), gpus=1000, days=30)
    plan = make_plan(budget, chinchilla_law())
    law, same = plan.choices[1], plan.same_loss
    assert same.loss.value == pytest.approx(law.loss.value, rel=1e-9)
    assert same.train_cost > law.train_cost and same.serve_cost < law.serve_cost
    assert plan.break_even_tokens is not None
    share = plan.break_even_tokens / served
    assert same.train_cost + share * same.serve_cost == pytest.approx(
        law.train_cost + share * law.serve_cost
    )


def test_two_ways_spend_one_budget() -> None:
    budget = find_budget(H100, USUAL, flops=1e22)
    plan = make_plan(budget, chinchilla_law(), old_runs=30, tuning_share=0.1)
    old, new = plan.ways
    for way in plan.ways:
        assert way.tuning_flops + way.final_flops == pytest.approx(1e22)
        assert training_flops(way.parameters, way.tokens) == pytest.approx(way.final_flops)
    assert old.final_flops == pytest.approx(1e22 / 30)
    assert new.tuning_flops == pytest.approx(1e21)
    assert new.loss.value < old.loss.value


def test_what_lies_beyond_the_law_is_said() -> None:
    law = chinchilla_law()
    far = make_plan(find_budget(H100, USUAL, flops=1e26), law, fitted=(1e18, 1e22))
    assert any("factor of 1e+04 beyond" in note for note in far.notes)
    assert any("15 trillion" in note for note in far.notes)
    near = make_plan(find_budget(H100, USUAL, flops=1e20), law, fitted=(1e18, 1e22))
    assert not near.notes


def test_the_shipped_law_has_the_published_numbers() -> None:
    figures = chinchilla_law().figures()
    # Besiroglu et al. 2024, table 1, and its standard errors.
    for name, value, error in (
        ("E", 1.8172, 0.03),
        ("alpha", 0.3478, 0.02),
        ("beta", 0.3658, 0.02),
    ):
        figure = figures[name]
        assert figure.value == pytest.approx(value, rel=0.01)
        assert figure.low is not None and figure.high is not None
        assert (figure.high - figure.low) / 3.92 == pytest.approx(error, rel=0.4)


def test_accelerators_can_be_corrected_and_made() -> None:
    assert accelerator("H100", price=9.0).price == 9.0
    assert accelerator("RTX 4090").peak == ACCELERATORS["4090"].peak
    assert accelerator("custom", peak=1e14, memory=1e10, watts=300, price=1).peak == 1e14
    with pytest.raises(GristmillError, match="--memory"):
        accelerator("custom", peak=1e14)
    with pytest.raises(GristmillError, match="h100"):
        accelerator("h10")


def test_a_recipe_says_what_it_needs() -> None:
    here = Machine(memory=16e9, cores=2, speed=6e10)
    large = not_runnable(70e9, 5.8e23, here)
    assert "1,120 GB" in large[0] and "years" in large[1]
    assert not_runnable(4e6, 6 * 4e6 * 8e7, here) == []
    text = recipe_text(124e6, 2.5e9, about="A test.", remarks=["one", "two"], text='a "b": c')
    assert text.startswith("# A test.\n# one\n# two\n")
    assert "size: 124\n" in text and "token_budget: 2500000000\n" in text
    assert vocabulary_for(124e6) == 32768 and "vocab_size: 32768" in text
