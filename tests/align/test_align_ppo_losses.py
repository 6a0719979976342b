"""The pure parts of PPO: numbers by hand, brute force, and expectations on a small categorical."""

from __future__ import annotations

import math

import pytest
import torch

from gristmill.align import losses

MASK = torch.tensor([[0.0, 1, 1, 1, 0], [1, 1, 0, 0, 0]])


def test_rewards_sum_to_the_score_less_beta_times_the_kl() -> None:
    kl = torch.tensor([[9.0, 0.5, -0.25, 1.0, 9.0], [2.0, -1.0, 9.0, float("nan"), 9.0]])
    rewards = losses.token_rewards(torch.tensor([3.0, -1.0]), kl, MASK, 0.1)
    # The score lands on the last real token, the KL on every one.
    expected = torch.tensor([[0.0, -0.05, 0.025, 3.0 - 0.1, 0.0], [-0.2, -1.0 + 0.1, 0, 0, 0]])
    assert torch.allclose(rewards, expected)
    sums = torch.tensor([3.0 - 0.1 * 1.25, -1.0 - 0.1 * 1.0])
    assert torch.allclose(rewards.sum(dim=1), sums)


def test_k1_and_k3_have_the_exact_kl_as_their_mean() -> None:
    log_p = torch.tensor([0.5, 0.3, 0.2]).log()
    log_q = torch.tensor([0.2, 0.2, 0.6]).log()
    exact = float((log_p.exp() * (log_p - log_q)).sum())
    k1, k2, k3 = losses.kl_estimates(log_p, log_q)
    assert float((log_p.exp() * k1).sum()) == pytest.approx(exact, abs=1e-6)
    assert float((log_p.exp() * k3).sum()) == pytest.approx(exact, abs=1e-6)
    assert float((log_p.exp() * k2).sum()) != pytest.approx(exact, abs=1e-3)
    assert bool((k1 < 0).any()) and bool((k3 >= 0).all())


def test_k1_in_the_reward_has_the_gradient_of_the_kl() -> None:
    """E[grad log p * k1] = grad KL; clamped at 0, or with k3, it is another gradient."""
    logits = torch.tensor([0.4, -0.2, 0.9], requires_grad=True)
    reference = torch.tensor([0.2, 0.2, 0.6]).log()
    log_p = logits.log_softmax(-1)
    (exact,) = torch.autograd.grad((log_p.exp() * (log_p - reference)).sum(), logits)

    def score_function(cost: torch.Tensor) -> torch.Tensor:
        log_p = logits.log_softmax(-1)
        surrogate = (log_p.exp().detach() * log_p * cost.detach()).sum()
        return torch.autograd.grad(surrogate, logits)[0]

    k1, _, k3 = losses.kl_estimates(log_p, reference)
    assert torch.allclose(score_function(k1), exact, atol=1e-6)
    assert not torch.allclose(score_function(k1.clamp(min=0)), exact, atol=1e-2)
    assert not torch.allclose(score_function(k3), exact, atol=1e-2)


def test_beta_adapts_by_a_bounded_share() -> None:
    assert losses.adapted_beta(0.1, 9.0, 6.0, 64, 640.0) == pytest.approx(0.1 * 1.02)
    assert losses.adapted_beta(0.1, 6.6, 6.0, 64, 640.0) == pytest.approx(0.1 * 1.01)
    assert losses.adapted_beta(0.1, -3.0, 6.0, 64, 640.0) == pytest.approx(0.1 * 0.98)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)])
def test_gae_is_the_sum_that_defines_it(gamma: float, lam: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(2, 5, generator=generator) for _ in range(2))
    advantages, returns = losses.advantages_and_returns(rewards, values, MASK, gamma=gamma, lam=lam)
    for row in range(2):
        real = [t for t in range(5) if MASK[row, t]]
        delta = {}
        for t in real:
            following = float(values[row, t + 1]) if t + 1 in real else 0.0
            delta[t] = float(rewards[row, t]) + gamma * following - float(values[row, t])
        for t in range(5):
            later = [k for k in real if k >= t]
            sum_ = sum((gamma * lam) ** (k - t) * delta[k] for k in later) if t in real else 0.0
            assert float(advantages[row, t]) == pytest.approx(sum_, abs=1e-5)
            if t in real:
                assert float(returns[row, t]) == pytest.approx(
                    sum_ + float(values[row, t]), abs=1e-5
                )


def test_with_lambda_one_the_return_is_the_sum_of_later_rewards() -> None:
    rewards = torch.tensor([[5.0, 1, 2, 4, 5], [1, 2, 5, 5, 5]])
    _, returns = losses.advantages_and_returns(rewards, torch.randn(2, 5), MASK, lam=1.0)
    assert torch.allclose(returns * MASK, torch.tensor([[0.0, 7, 6, 4, 0], [3, 2, 0, 0, 0]]))


def test_whitening_counts_real_tokens_and_rewards_keep_their_mean() -> None:
    values = torch.tensor([[99.0, 1, 2, 3, float("nan")], [4.0, 5, -99, 7, 7]])
    real = MASK > 0
    white = losses.whiten(values, MASK)
    assert float(white[real].mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(white[real].std(unbiased=False)) == pytest.approx(1.0, abs=1e-5)
    assert not white[~real].any()
    kept = losses.whiten(values, MASK, shift_mean=False)
    assert float(kept[real].mean()) == pytest.approx(3.0, abs=1e-5)
    assert float(kept[real].std(unbiased=False)) == pytest.approx(1.0, abs=1e-5)


def test_the_ratio_is_clipped_where_it_would_go_too_far() -> None:
    old = torch.zeros(1, 4)
    new = torch.tensor([1.5, 1.5, 0.5, 0.5]).log()[None]
    advantages, mask = torch.tensor([[1.0, -1.0, 1.0, -1.0]]), torch.ones(1, 4)
    terms = losses.policy_loss(new, old, advantages, mask, clip=0.2)
    # A gain is bounded at 1.2, a loss is not; the same below 1.
    assert torch.allclose(terms.loss, torch.tensor([[-1.2, 1.5, -0.5, 0.8]]))
    assert terms.clipped.tolist() == [[True, False, False, True]]
    assert torch.allclose(terms.ratio, torch.tensor([[1.5, 1.5, 0.5, 0.5]]))
    half = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    terms = losses.policy_loss(new, old, advantages, half, clip=0.2)
    assert torch.allclose(terms.loss, torch.tensor([[-1.2, 1.5, 0.0, 0.0]]))


def test_the_value_loss_is_the_larger_of_plain_and_clipped() -> None:
    old, returns, mask = torch.zeros(1, 3), torch.tensor([[1.0, -1.0, 1.0]]), torch.ones(1, 3)
    values = torch.tensor([[0.5, 0.5, 0.1]])
    found = losses.value_loss(values, old, returns, mask, clip=0.2)
    # The first is held at 0.2 (0.8^2), the second is worse without the clip (1.5^2).
    assert torch.allclose(found, 0.5 * torch.tensor([[0.64, 2.25, 0.81]]))


def test_explained_variance() -> None:
    returns = torch.tensor([[0.0, 1, 2, 3, 9], [4, 5, 9, 9, 9]])
    assert float(losses.explained_variance(returns, returns, MASK)) == pytest.approx(1.0)
    constant = torch.full_like(returns, 3.0)
    assert float(losses.explained_variance(constant, returns, MASK)) == pytest.approx(0.0)
    assert math.isclose(
        float(losses.explained_variance(-returns, returns, MASK)), -3.0, abs_tol=1e-5
    )
