"""How a training runs, apart from its four parts, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gristmill.train.lanes import LaneChoice
from gristmill.train.precision import Choice, Precision


@dataclass(frozen=True)
class Settings:
    """How to train, apart from the four parts.

    micro_batch: rows whose activations are held at a time; None takes the batch whole. It does
    not change the result beyond rounding. recompute: blocks compute their activations again in the
    backward pass (recomputing.py). clip: largest norm of the gradient of the step's mean loss, over
    all trained models together; 0 turns it off. keep, keep_every, background: of checkpoints, see
    checkpoints.py. update_norm_every: steps between measurements of how far an update moves the
    weights (a copy of them, and two passes over it); 0: never. lanes: threads that each take rows
    of their own (lanes.py); it does not change the result beyond rounding.
    """

    seed: int = 0
    micro_batch: int | None = None
    recompute: bool = False
    clip: float = 1.0
    precision: Precision | Literal["auto"] = "auto"
    compile: bool = False
    lanes: int | Literal["auto"] = 1
    checkpoint_steps: int | None = None
    checkpoint_seconds: float = 60.0
    keep: int = 2
    keep_every: int = 0
    background: bool = False
    max_bad_steps: int = 3
    update_norm_every: int = 0


@dataclass(frozen=True)
class Result:
    """What `Trainer.fit` hands back. loss: mean of the last 50 steps that this attempt made."""

    steps: int
    tokens: int
    skipped: int
    loss: float
    precision: Choice
    lanes: LaneChoice
