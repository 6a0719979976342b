"""What must hold before (and while) PPO learns; each has a name, and a broken one stops the run.

A wrong temperature, a shifted mask or a dropout layer does not crash a training: it makes a policy
that looks trained. These checks cost one pass over one batch and find them at the first step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.train.interfaces import Loss, Models

FIRST_RATIO = "the first PPO ratio is 1"
SAMPLER_AGREES = "the sampler's log-probabilities equal the trainer's"
WHOLE_DISTRIBUTION = "the sampler draws from the whole distribution"
NO_DROPOUT = "no dropout in PPO"

# What float32 rounding stays below on sequences of some hundred tokens.
_TOLERANCE = 1e-4
# Fair draws fall so far below the entropy less often than this.
_CHANCE = 1e-9


@dataclass(frozen=True)
class FirstRatioIsOne:
    """Before the first update the policy is the one that was sampled from, so every ratio is 1.

    ratio: what the objective computes, (B, T), 1 where masked. Asserted in float32; in bf16 the
    ratio hangs on how rows are batched, so there the logged mean and variance report it.
    """

    ratio: Callable[[Mapping[str, Tensor], Models], Tensor]
    name: str = FIRST_RATIO

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """The largest deviation, where it is too large."""
        if compute_dtype(models["policy"]) != torch.float32:
            return None
        worst = float((self.ratio(tensors, models) - 1.0).abs().max())
        return None if worst < _TOLERANCE else f"a ratio is {worst:.2g} away from 1"


@dataclass(frozen=True)
class NoDropout:
    """Dropout would give the same tokens another probability in each pass: the ratio, the KL and
    the values would carry its noise (Huang et al. 2024, detail 12)."""

    name: str = NO_DROPOUT

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """The first model that drops out: by a layer of it, or by two passes that differ."""
        for role, model in models.items():
            for path, module in model.named_modules():
                if "dropout" in type(module).__name__.lower() and getattr(module, "p", 1.0) > 0:
                    return f"{role} has an active {type(module).__name__} at '{path}'"
            if not _repeats(model, tensors["tokens_BL"][:1]):
                return f"two passes of {role} over the same tokens differ in train mode"
        return None


def check_sampler(sampler_BT: Tensor, trainer_BT: Tensor, mask_BT: Tensor) -> None:
    """Raises GristmillError, with the check's name, where log-probabilities of the answers' tokens
    differ by more than float32 rounding."""
    worst = float(torch.where(mask_BT > 0, sampler_BT - trainer_BT, 0.0).abs().max())
    if not worst < _TOLERANCE:
        _stop(SAMPLER_AGREES, f"they differ by up to {worst:.2g} nats")


def check_whole_distribution(
    log_p_BT: Tensor, entropy_BT: Tensor, variance_BT: Tensor, mask_BT: Tensor
) -> None:
    """Raises GristmillError where tokens are more probable than fair draws could be.

    Of a fair draw, -log p has the distribution's entropy as its mean: the differences are a
    martingale, and Freedman's inequality (1975) bounds the chance of a sum so far below 0. top-k,
    top-p and a lower temperature push it there, though their log-probabilities look right.
    """
    real = mask_BT > 0
    missing = float((entropy_BT + log_p_BT)[real].detach().sum())
    if missing <= 0:
        return
    bound, variance = (
        float(entropy_BT[real].detach().max()),
        float(variance_BT[real].detach().sum()),
    )
    chance = math.exp(-(missing**2) / (2 * (variance + bound * missing / 3)))
    if chance < _CHANCE:
        per_token = missing / int(real.sum())
        _stop(
            WHOLE_DISTRIBUTION,
            f"its tokens' mean -log p is {per_token:.2g} nats below the entropy "
            f"(chance {chance:.1g})",
        )


def compute_dtype(model: nn.Module) -> torch.dtype:
    """The precision that a model's weights are in, inside an objective or a check."""
    return next(p for p in model.parameters() if p.is_floating_point()).dtype


def _repeats(model: nn.Module, tokens_BL: Tensor) -> bool:
    training = {module: module.training for module in model.modules()}
    # What this draws must not move the training's own random numbers.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model.train()
        try:
            first, second = model(tokens_BL), model(tokens_BL)
        finally:
            for module, was in training.items():
                module.training = was
    return torch.equal(first, second)


def _stop(name: str, wrong: str) -> None:
    raise GristmillError(
        f"the check '{name}' failed: {wrong}",
        mend="this is a defect of the sampler or of the program, not of the data",
    )
