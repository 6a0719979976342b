"""A small world for PPO's tests: tiny models, prompts, a score, and a trainer of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gristmill.align.checks import FirstRatioIsOne, NoDropout
from gristmill.align.ppo import Ppo, PpoSettings
from gristmill.align.ppo_source import PpoSource
from gristmill.core.run import Run
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.schedules import Schedule
from gristmill.train.trainer import Settings, Trainer

END, WANTED = 1, 7
SHAPE = TransformerConfig(
    23, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, mlp_width=64, context=32, tied=False
)
PROMPTS = [[3, 2 + n % 9, 4 + n % 7, 2 + n % 5][: 2 + n % 3] for n in range(11)]
SETTINGS = PpoSettings(
    rollouts=8, epochs=2, minibatches=2, max_tokens=8, temperature=0.8, beta=0.1, target_kl=0.5,
    horizon=100.0, value_weight=0.5,
)  # fmt: skip


def policy(seed: int = 1) -> Transformer:
    """Random weights, so that no distribution is flat."""
    model = Transformer(SHAPE)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def score(conversations: Sequence[Sequence[int]]) -> list[float]:
    """Counts the wanted token; a long answer costs."""
    return [c.count(WANTED) - 0.05 * len(c) for c in conversations]


def models() -> dict[str, nn.Module]:
    """Policy, reference and value."""
    made = policy()
    return {
        "policy": made,
        "reference": copy.deepcopy(made),
        "value": ScalarModel.from_transformer(made, 0),
    }


def trainer(run: Path, steps: int, **changes: Any) -> Trainer:
    """`changes`: settings (PpoSettings), models, source, checks, lr, or of the trainer's own."""
    run.mkdir(parents=True, exist_ok=True)
    settings = changes.pop("settings", SETTINGS)
    made = changes.pop("models", None) or models()
    objective, lr = Ppo(settings), changes.pop("lr", 3e-3)
    kind = changes.pop("source", PpoSource)
    source = kind(
        PROMPTS, score, settings, end_id=END, stop_ids=(END, 0), seed=5, max_rows=5,
        micro_batch=changes.get("micro_batch", 3),
    )  # fmt: skip
    rates = OptimizerSettings(
        matrix_optimizer="adamw", matrix_lr=lr, embedding_lr=lr, head_lr=lr, other_lr=lr,
        epsilon=1e-5,
    )  # fmt: skip
    own = {"seed": 2, "micro_batch": 3, "precision": "fp32", "checkpoint_seconds": 1e9, **changes}
    return Trainer(
        Run(run),
        models=made,
        optimizers={role: Optimizer(made[role], rates) for role in ("policy", "value")},
        source=source,
        objective=objective,
        schedule=Schedule("constant", steps),
        settings=Settings(**own),
        checks=[FirstRatioIsOne(objective.ratio), NoDropout()],
        say=lambda _: None,
    )
