"""PPO's settings and its objective: clipped policy loss and clipped value loss.

Ziegler et al. 2019, "Fine-tuning language models from human preferences"; Ouyang et al. 2022; Huang
et al. 2024, "The N implementation details of RLHF with PPO". The rows come from ppo_source.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gristmill.align import losses
from gristmill.align.rollouts import answer_log_probabilities, answer_values, policy_of
from gristmill.core.errors import GristmillError
from gristmill.train.interfaces import Loss, Models


@dataclass(frozen=True)
class PpoSettings:
    """How PPO samples and learns; defaults of the papers, sizes of the demo.

    rollouts: answers an iteration, one for each prompt drawn. minibatches: steps an epoch.
    beta: score that a nat of KL costs. target_kl: nats a sequence that beta is adapted to over
    `horizon` sequences (Ziegler et al. 2019, equation 4); None keeps beta. kl: the estimator in the
    reward: k1 (may be negative, not clamped; its gradient is that of the KL) or k3 (never negative,
    its gradient is biased). missing_end_score: the whole score of an answer whose end was not
    sampled. truncated_importance: bound on p(trainer) / p(sampler), which then weighs each token's
    loss; for samplers in another precision. value_warmup: first iterations, in which the value
    model alone learns.
    """

    rollouts: int = 64
    epochs: int = 2
    minibatches: int = 2
    max_tokens: int = 48
    temperature: float = 1.0
    beta: float = 0.1
    target_kl: float | None = None
    horizon: float = 2000.0
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.5
    missing_end_score: float = -3.0
    whiten_advantages: bool = True
    whiten_rewards: bool = False
    kl: Literal["k1", "k3"] = "k1"
    truncated_importance: float | None = None
    value_warmup: int = 0

    def __post_init__(self) -> None:
        if self.rollouts % self.minibatches:
            raise GristmillError(
                f"{self.rollouts} roll-outs are no multiple of {self.minibatches} minibatches",
                mend="make rollouts a multiple of minibatches",
            )
        if not self.temperature > 0:
            raise GristmillError("PPO cannot sample at temperature 0", mend="use 1, or near it")

    @property
    def steps_per_iteration(self) -> int:
        """Steps of the trainer on one set of roll-outs."""
        return self.epochs * self.minibatches


@dataclass(frozen=True)
class Ppo:
    """The objective: clipped policy loss and clipped value loss of each token of the answers.

    Tensors: as PpoSource makes them. Loss units are real tokens; policy and value share no weights,
    so the sum trains each by its own part.
    """

    settings: PpoSettings

    def ratio(self, tensors: Mapping[str, Tensor], models: Models) -> Tensor:
        """p(now) / p(at the roll-out) of each token, (B, T); 1 where masked."""
        return torch.exp(self._log_p(tensors, models) - tensors["old_log_p_BT"])

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        """The loss of these rows."""
        settings, mask_BT = self.settings, tensors["mask_BT"]
        old_log_p_BT, old_values_BT = tensors["old_log_p_BT"], tensors["old_values_BT"]
        log_p_BT = self._log_p(tensors, models)
        values_BT = answer_values(models["value"], tensors["tokens_BL"], mask_BT)
        policy = losses.policy_loss(
            log_p_BT, old_log_p_BT, tensors["advantages_BT"], mask_BT, clip=settings.clip
        )
        policy_loss = (policy.loss * tensors["weight_BT"]).sum()
        value_loss = losses.value_loss(
            values_BT, old_values_BT, tensors["returns_BT"], mask_BT, clip=settings.value_clip
        ).sum()
        count = mask_BT.sum()
        moved_BT = (values_BT - old_values_BT).abs().detach() > settings.value_clip
        _, _, k3_BT = losses.kl_estimates(old_log_p_BT, log_p_BT.detach())
        sums = {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "clip_fraction": policy.clipped.sum(),
            "ratio": losses.masked_sum(policy.ratio, mask_BT).sum(),
            # About 1, which is its mean under the policy that sampled.
            "ratio_variance": losses.masked_sum((policy.ratio - 1).square(), mask_BT).sum(),
            "value_clip_fraction": losses.masked_sum(moved_BT.float(), mask_BT).sum(),
            "approximate_kl": losses.masked_sum(k3_BT, mask_BT).sum(),
        }
        total = policy_loss + settings.value_weight * value_loss
        return Loss(total, count, {name: (value, count) for name, value in sums.items()})

    def _log_p(self, tensors: Mapping[str, Tensor], models: Models) -> Tensor:
        return answer_log_probabilities(
            policy_of(models),
            tensors["tokens_BL"],
            tensors["mask_BT"],
            temperature=self.settings.temperature,
        )
