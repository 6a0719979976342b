"""Which optimizer moves which parameter, with what rate; their state by parameter name.

Matrices of the blocks go to Muon, all else (embedding, head, norms) to AdamW; or all to AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.train.muon import Muon, decay_weights
from gristmill.train.schedules import ramp

Role = Literal["matrix", "embedding", "head", "other", "adapter"]


@dataclass(frozen=True)
class OptimizerSettings:
    """Rates at the schedule's factor 1. Weight decay is decoupled: w -= lr * decay * w.

    matrix_optimizer: what moves the matrices of the blocks. momentum rises or falls linearly from
    `momentum_start` to `momentum` over `momentum_steps` (Muon only).
    The defaults are those of the dial's demo (scaling/dial.py). Decay applies to matrices and head;
    never to norms, and to the embedding only where it is also the head. cautious: only where the
    update moves a weight towards 0 (muon.py).
    adapter_lr: of low-rank adapters (model/lora.py), always moved by AdamW: Muon makes every
    direction of a matrix equally large, and a factor of few rows has no spectrum to even out.
    """

    matrix_optimizer: Literal["muon", "adamw"] = "muon"
    matrix_lr: float = 0.03
    embedding_lr: float = 0.1
    head_lr: float = 0.02
    other_lr: float = 0.003
    adapter_lr: float = 1e-3
    weight_decay: float = 0.0
    cautious: bool = False
    momentum: float = 0.85
    momentum_start: float = 0.85
    momentum_steps: int = 300
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8


def role_of(name: str, parameter: Tensor) -> Role:
    """What a parameter is, from its name and shape, in the names of Hugging Face models."""
    if ".lora_" in name:
        return "adapter"
    if "embed" in name:
        return "embedding"
    if "lm_head" in name:
        return "head"
    return "matrix" if parameter.ndim == 2 and ".layers." in name else "other"


class Optimizer:
    """The optimizers of one model; its state is named by parameter and knows no processes."""

    def __init__(self, model: nn.Module, settings: OptimizerSettings):
        self._settings = settings
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        if not trained:
            raise GristmillError("none of the model's parameters is to be trained")
        by_role: dict[Role, list[tuple[str, Tensor]]] = {}
        for name, parameter in trained:
            by_role.setdefault(role_of(name, parameter), []).append((name, parameter))
        muon = settings.matrix_optimizer == "muon"
        matrices = by_role.get("matrix", []) if muon else []
        self._muon = (
            Muon(
                matrices,
                lr=settings.matrix_lr,
                weight_decay=settings.weight_decay,
                cautious=settings.cautious,
            )
            if matrices
            else None
        )
        tied = "head" not in by_role
        self._names: list[str] = []
        self._adamw = self._make_adamw(by_role, muon, tied)

    def _make_adamw(
        self, by_role: Mapping[Role, list[tuple[str, Tensor]]], muon: bool, tied: bool
    ) -> torch.optim.AdamW | None:
        settings = self._settings
        plan: list[tuple[Role, float, float]] = [
            ("embedding", settings.embedding_lr, settings.weight_decay if tied else 0.0),
            ("head", settings.head_lr, settings.weight_decay),
            ("other", settings.other_lr, 0.0),
            ("adapter", settings.adapter_lr, 0.0),
        ]
        if not muon:
            plan.append(("matrix", settings.matrix_lr, settings.weight_decay))
        groups = []
        for role, lr, decay in plan:
            named = by_role.get(role, [])
            if named:
                self._names.extend(name for name, _ in named)
                parameters = [parameter for _, parameter in named]
                # The fused kernel's own decay knows no signs.
                fused = 0.0 if settings.cautious else decay
                groups.append(
                    {
                        "params": parameters,
                        "lr": lr,
                        "base": lr,
                        "weight_decay": fused,
                        "cautious_decay": decay - fused,
                    }
                )
        if not groups:
            return None
        return torch.optim.AdamW(
            groups, betas=(settings.beta1, settings.beta2), eps=settings.epsilon, fused=True
        )

    def step(self, step: int, factor: float, scale: float = 1.0) -> None:
        """One update at `step` with all rates multiplied by `factor` and all gradients by `scale`;
        what is in `grad` afterwards is not said."""
        settings = self._settings
        if self._muon is not None:
            momentum = ramp(
                step, settings.momentum_start, settings.momentum, settings.momentum_steps
            )
            self._muon.step(factor, momentum, scale)
        if self._adamw is not None:
            for group in self._adamw.param_groups:
                group["lr"] = group["base"] * factor
            before = self._before_decay()
            self._scale_adamw(scale)
            self._adamw.step()
            self._decay_cautiously(before)

    @torch.no_grad()
    def _scale_adamw(self, scale: float) -> None:
        """The fused kernel divides where it reads, as for a loss scale; not Apple's."""
        assert self._adamw is not None
        if scale == 1.0:
            self._adamw.grad_scale = None  # type: ignore[attr-defined]
            return
        grads = [p.grad for _, p in self._adamw_parameters() if p.grad is not None]
        if grads and grads[0].device.type in ("cpu", "cuda"):
            # A pass over all gradients less: what is as large as the model waits for memory.
            self._adamw.grad_scale = torch.tensor(1.0 / scale)  # type: ignore[attr-defined]
        else:
            torch._foreach_mul_(grads, scale)

    def _before_decay(self) -> list[tuple[Tensor, Tensor, float]]:
        """Each parameter that decays cautiously, its value now, and the share it would lose."""
        assert self._adamw is not None
        return [
            (parameter, parameter.detach().clone(), group["lr"] * group["cautious_decay"])
            for group in self._adamw.param_groups
            if group["cautious_decay"]
            for parameter in group["params"]
            if parameter.grad is not None
        ]

    @torch.no_grad()
    def _decay_cautiously(self, before: list[tuple[Tensor, Tensor, float]]) -> None:
        assert self._adamw is not None
        for parameter, was, share in before:
            # AdamW's update has the sign of its running mean.
            average = self._adamw.state[parameter]["exp_avg"]
            left = was.clone()
            decay_weights([left], [average], share, cautious=True)
            parameter.add_(left - was)

    def tensors(self) -> dict[str, Tensor]:
        """The state: `KIND/PARAMETER` to a tensor; empty of AdamW before its first step."""
        found = {} if self._muon is None else self._muon.tensors()
        for name, parameter in self._adamw_parameters():
            assert self._adamw is not None
            for kind, value in self._adamw.state.get(parameter, {}).items():
                found[f"{kind}/{name}"] = value
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the state that `tensors` gave. Raises GristmillError where names do not fit."""
        own = self._muon.tensors() if self._muon is not None else {}
        expected = set(own)
        for name, parameter in self._adamw_parameters():
            assert self._adamw is not None
            state = self._adamw.state[parameter]
            for kind in ("step", "exp_avg", "exp_avg_sq"):
                key = f"{kind}/{name}"
                if key in tensors:
                    expected.add(key)
                    state[kind] = tensors[key].to(parameter.device).clone()
        if expected != set(tensors):
            odd = sorted(expected ^ set(tensors))[0]
            raise GristmillError(
                f"the optimizer's state does not fit this model: '{odd}'",
                mend="resume with the model and the optimizer that the run began with",
            )
        for key, target in own.items():
            target.copy_(tensors[key])

    def _adamw_parameters(self) -> Iterable[tuple[str, Tensor]]:
        if self._adamw is None:
            return []
        parameters = [p for group in self._adamw.param_groups for p in group["params"]]
        return zip(self._names, parameters, strict=True)
