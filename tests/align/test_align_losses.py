"""Losses of pairs, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gristmill.align.losses import bradley_terry_loss, direct_loss, dpo_loss

# Two pairs: log-ratios of the chosen answer +2 and -1, of the rejected one -1 and +1.
POLICY_CHOSEN, REFERENCE_CHOSEN = torch.tensor([-10.0, -21.0]), torch.tensor([-12.0, -20.0])
POLICY_REJECTED, REFERENCE_REJECTED = torch.tensor([-31.0, -9.0]), torch.tensor([-30.0, -10.0])
GIVEN = (POLICY_CHOSEN, POLICY_REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED)


def minus_log_sigmoid(x: float) -> float:
    return math.log(1.0 + math.exp(-x))


def test_bradley_terry_and_direct() -> None:
    found = bradley_terry_loss(torch.tensor([2.0, 0.5]), torch.tensor([1.0, 0.5]))
    assert found.tolist() == pytest.approx([0.3132617, math.log(2)], abs=1e-6)
    found = direct_loss(torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0]))
    assert found.tolist() == pytest.approx([0.3132617, 1.3132617], abs=1e-6)


def test_dpo_is_the_log_sigmoid_of_beta_times_the_gap() -> None:
    terms = dpo_loss(*GIVEN, beta=0.5)
    assert terms.loss.tolist() == pytest.approx(
        [minus_log_sigmoid(0.5 * 3.0), minus_log_sigmoid(0.5 * -2.0)], abs=1e-6
    )
    assert terms.chosen.tolist() == pytest.approx([1.0, -0.5])
    assert terms.rejected.tolist() == pytest.approx([-0.5, 0.5])
    assert terms.margin.tolist() == pytest.approx([1.5, -1.0])


def test_cdpo_turns_a_share_of_the_labels_round() -> None:
    terms = dpo_loss(*GIVEN, beta=0.5, form="cdpo", label_smoothing=0.1)
    expected = [
        0.9 * minus_log_sigmoid(1.5) + 0.1 * minus_log_sigmoid(-1.5),
        0.9 * minus_log_sigmoid(-1.0) + 0.1 * minus_log_sigmoid(1.0),
    ]
    assert terms.loss.tolist() == pytest.approx(expected, abs=1e-6)
    # The plain form has no smoothing, whatever it is given.
    plain = dpo_loss(*GIVEN, beta=0.5, label_smoothing=0.1)
    assert torch.equal(plain.loss, dpo_loss(*GIVEN, beta=0.5).loss)


def test_ipo_pulls_the_gap_to_half_of_one_over_beta() -> None:
    terms = dpo_loss(*GIVEN, beta=0.25, form="ipo")
    assert terms.loss.tolist() == pytest.approx([(3.0 - 2.0) ** 2, (-2.0 - 2.0) ** 2])


def test_length_normalised_divides_each_log_ratio_by_its_tokens() -> None:
    terms = dpo_loss(
        *GIVEN, beta=2.0, form="length_normalised",
        chosen_tokens_B=torch.tensor([4.0, 5.0]), rejected_tokens_B=torch.tensor([10.0, 2.0]),
    )  # fmt: skip
    gaps = [2 / 4 + 1 / 10, -1 / 5 - 1 / 2]
    assert terms.loss.tolist() == pytest.approx([minus_log_sigmoid(2 * g) for g in gaps], abs=1e-6)
    assert terms.margin.tolist() == pytest.approx([2 * g for g in gaps])


@pytest.mark.parametrize("form", ["dpo", "cdpo", "length_normalised", "ipo"])
def test_the_policy_that_is_the_reference_has_a_known_loss(form: str) -> None:
    terms = dpo_loss(
        POLICY_CHOSEN, POLICY_REJECTED, POLICY_CHOSEN, POLICY_REJECTED,
        beta=0.2, form=form, label_smoothing=0.3,  # type: ignore[arg-type]
        chosen_tokens_B=torch.ones(2), rejected_tokens_B=torch.ones(2),
    )  # fmt: skip
    expected = 1 / (4 * 0.2**2) if form == "ipo" else math.log(2)
    assert terms.loss.tolist() == pytest.approx([expected] * 2, rel=1e-6)
    assert terms.margin.tolist() == [0.0, 0.0]


def test_the_gradient_pushes_pairs_apart_and_only_the_policy() -> None:
    chosen, rejected = POLICY_CHOSEN.clone().requires_grad_(), POLICY_REJECTED.clone()
    rejected.requires_grad_()
    terms = dpo_loss(chosen, rejected, REFERENCE_CHOSEN, REFERENCE_REJECTED, beta=0.5)
    terms.loss.sum().backward()
    # d/dh of -log sigmoid(beta h) is -beta * sigmoid(-beta h).
    slopes = [-0.5 / (1 + math.exp(1.5)), -0.5 / (1 + math.exp(-1.0))]
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx(slopes, abs=1e-6)
    assert rejected.grad.tolist() == pytest.approx([-s for s in slopes], abs=1e-6)
    assert not terms.margin.requires_grad
