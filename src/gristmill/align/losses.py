"""Every loss of post-training, as pure functions of tensors.

Shapes: B sequences, T tokens of the answers (padded). `mask_BT` is 1 where a token belongs to an
answer, its end included, and 0 elsewhere; what stands where it is 0 never counts. Log-probabilities
are in nats. Losses come one for each unit (pair, sequence, token), so that the caller decides
over what to average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

DpoForm = Literal["dpo", "ipo", "cdpo", "length_normalised"]


def masked_sum(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The sum over each row's real tokens, (B,). What is masked may be anything, nan included."""
    return torch.where(mask_BT > 0, values_BT, 0.0).sum(dim=-1)


def masked_mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean over all real tokens of the batch, a scalar; 0 where there are none."""
    return masked_sum(values_BT, mask_BT).sum() / mask_BT.sum().clamp(min=1)


# Reward model.


def bradley_terry_loss(chosen_B: Tensor, rejected_B: Tensor) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected), (B,) (Ouyang et al. 2022, equation 1)."""
    return -F.logsigmoid(chosen_B - rejected_B)


def direct_loss(score_B: Tensor, label_B: Tensor) -> Tensor:
    """-log sigmoid(label * score), (B,): whether an answer beats the baseline, label +1 or -1."""
    return -F.logsigmoid(label_B * score_B)


# DPO.


@dataclass(frozen=True)
class DpoTerms:
    """What DPO says of each pair, (B,) each.

    chosen, rejected: the implicit rewards, beta * (log pi - log pi_ref) (divided by the answer's
    length in the length-normalised form). margin: their difference.
    """

    loss: Tensor
    chosen: Tensor
    rejected: Tensor

    @property
    def margin(self) -> Tensor:
        """How much more the policy prefers the chosen answer than the reference does."""
        return self.chosen - self.rejected


def dpo_loss(
    policy_chosen_B: Tensor,
    policy_rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    *,
    beta: float,
    form: DpoForm = "dpo",
    label_smoothing: float = 0.0,
    chosen_tokens_B: Tensor | None = None,
    rejected_tokens_B: Tensor | None = None,
) -> DpoTerms:
    """Direct preference optimisation, from log-probabilities summed over answers with their ends.

    dpo: -log sigmoid(beta * h), h = difference of the log-ratios (Rafailov et al. 2023, eq. 7).
    cdpo: the same with `label_smoothing` of the labels turned round (Mitchell 2023).
    ipo: (h - 1 / (2 beta))^2 (Azar et al. 2023, eq. 17): its beta is the strength of a squared
    pull towards a fixed gap, not the slope of a sigmoid; values do not carry over from dpo.
    length_normalised: -log sigmoid(beta * h') with each log-ratio divided by its answer's number
    of tokens (Tulu 3, Lambert et al. 2024, section 5.1): beta is per token, so tens of times
    larger than in dpo for the same pull.
    """
    chosen_B = policy_chosen_B - reference_chosen_B
    rejected_B = policy_rejected_B - reference_rejected_B
    if form == "length_normalised":
        assert chosen_tokens_B is not None and rejected_tokens_B is not None
        chosen_B, rejected_B = chosen_B / chosen_tokens_B, rejected_B / rejected_tokens_B
    gap_B = chosen_B - rejected_B
    if form == "ipo":
        loss_B = (gap_B - 1.0 / (2.0 * beta)).square()
    else:
        flipped = label_smoothing if form == "cdpo" else 0.0
        loss_B = -F.logsigmoid(beta * gap_B) * (1.0 - flipped)
        if flipped:
            loss_B = loss_B - F.logsigmoid(-beta * gap_B) * flipped
    return DpoTerms(loss_B, beta * chosen_B.detach(), beta * rejected_B.detach())


# PPO.


def kl_estimates(log_p_BT: Tensor, reference_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """k1, k2, k3 of each token, for tokens drawn from p (Schulman 2020, "Approximating KL").

    k1 = log p - log ref (unbiased, may be negative), k2 = k1^2 / 2 (biased, low variance),
    k3 = exp(-k1) - 1 + k1 (unbiased, never negative).
    """
    k1_BT = log_p_BT - reference_BT
    return k1_BT, k1_BT.square() / 2, torch.exp(-k1_BT) - 1 + k1_BT


def token_rewards(score_B: Tensor, kl_BT: Tensor, mask_BT: Tensor, beta: float) -> Tensor:
    """-beta * KL at every real token and the score on the last one, (B, T).

    Each row sums to score - beta * sum(kl) (Ziegler et al. 2019, equation 2). A row without a
    real token is all 0.
    """
    rewards_BT = torch.where(mask_BT > 0, -beta * kl_BT, 0.0)
    index_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    last_B = torch.where(mask_BT > 0, index_T, -1).max(dim=-1).values
    at_last_BT = (index_T == last_B[:, None]) & (last_B >= 0)[:, None]
    return rewards_BT + torch.where(at_last_BT, score_B[:, None], 0.0)


def advantages_and_returns(
    rewards_BT: Tensor,
    values_BT: Tensor,
    mask_BT: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation and the returns it implies, (B, T) each, 0 where masked.

    delta_t = r_t + gamma V_{t+1} - V_t; A_t = sum_k (gamma lam)^k delta_{t+k} (Schulman et al.
    2016, equation 16); return = A + V. The value after the last real token is 0. Real tokens of a
    row must stand together.
    """
    values_BT = torch.where(mask_BT > 0, values_BT, 0.0)
    rewards_BT = torch.where(mask_BT > 0, rewards_BT, 0.0)
    advantages_BT = torch.zeros_like(values_BT)
    next_value_B = torch.zeros_like(values_BT[:, 0])
    next_advantage_B = torch.zeros_like(next_value_B)
    for t in range(values_BT.shape[1] - 1, -1, -1):
        real_B = mask_BT[:, t] > 0
        delta_B = rewards_BT[:, t] + gamma * next_value_B - values_BT[:, t]
        advantage_B = delta_B + gamma * lam * next_advantage_B
        advantages_BT[:, t] = torch.where(real_B, advantage_B, 0.0)
        # Padding after the last token hands on zeros; padding before the first is never asked.
        next_advantage_B = advantages_BT[:, t]
        next_value_B = values_BT[:, t]
    return advantages_BT, advantages_BT + values_BT


def whiten(values_BT: Tensor, mask_BT: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Deviation 1 over the real tokens of the batch, and mean 0 unless the mean is to stay.

    Advantages lose their mean; rewards, where they are whitened, must keep it. 0 where masked.
    """
    mean = masked_mean(values_BT, mask_BT)
    variance = masked_mean((values_BT - mean).square(), mask_BT)
    white_BT = (values_BT - mean) * torch.rsqrt(variance + 1e-8)
    if not shift_mean:
        white_BT = white_BT + mean
    return torch.where(mask_BT > 0, white_BT, 0.0)


@dataclass(frozen=True)
class PolicyTerms:
    """Of each token, (B, T): the clipped loss, the ratio, and whether the clip decided."""

    loss: Tensor
    ratio: Tensor
    clipped: Tensor


def policy_loss(
    log_p_BT: Tensor,
    old_log_p_BT: Tensor,
    advantages_BT: Tensor,
    mask_BT: Tensor,
    *,
    clip: float = 0.2,
) -> PolicyTerms:
    """PPO's clipped surrogate, to be minimised (Schulman et al. 2017, eq. 7); 0 where masked."""
    ratio_BT = torch.exp(torch.where(mask_BT > 0, log_p_BT - old_log_p_BT, 0.0))
    plain_BT = -advantages_BT * ratio_BT
    bounded_BT = -advantages_BT * ratio_BT.clamp(1.0 - clip, 1.0 + clip)
    loss_BT = torch.where(mask_BT > 0, torch.maximum(plain_BT, bounded_BT), 0.0)
    return PolicyTerms(loss_BT, ratio_BT.detach(), (bounded_BT > plain_BT).detach())


def value_loss(
    values_BT: Tensor,
    old_values_BT: Tensor,
    returns_BT: Tensor,
    mask_BT: Tensor,
    *,
    clip: float = 0.2,
) -> Tensor:
    """Half the squared error, the larger of the plain and the clipped one; 0 where masked.

    The clip keeps a value within `clip` of what it was at the roll-out (Huang et al. 2024, "The N
    implementation details of RLHF with PPO", detail 7).
    """
    near_BT = old_values_BT + (values_BT - old_values_BT).clamp(-clip, clip)
    plain_BT, bounded_BT = (values_BT - returns_BT).square(), (near_BT - returns_BT).square()
    return torch.where(mask_BT > 0, 0.5 * torch.maximum(plain_BT, bounded_BT), 0.0)


def adapted_beta(beta: float, kl: float, target: float, sequences: int, horizon: float) -> float:
    """beta * (1 + clip(KL / target - 1, -0.2, 0.2) * n / horizon) (Ziegler et al. 2019, eq. 4)."""
    error = min(0.2, max(-0.2, kl / target - 1.0))
    return beta * (1.0 + error * sequences / horizon)


def explained_variance(values_BT: Tensor, returns_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over real tokens: 1 is perfect, 0 is a constant."""
    real = mask_BT > 0
    returns_N, values_N = returns_BT[real], values_BT[real]
    if returns_N.numel() < 2:
        return torch.zeros(())
    variance = returns_N.var(unbiased=False)
    return 1.0 - (returns_N - values_N).var(unbiased=False) / variance.clamp(min=1e-8)
