"""Learning-rate schedules: pure functions of the step that give a factor of the peak rates.

A step is 0-based: `factor(0)` is that of the first update. The warm-up is linear and its first
step is not 0, so that no update is lost. Every phase boundary is a whole number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gristmill.core.errors import GristmillError

Shape = Literal["constant", "linear", "cosine", "wsd"]


@dataclass(frozen=True)
class Schedule:
    """A schedule of `steps` updates, the first `warmup` of which rise linearly.

    constant: 1. linear: from 1 to `floor` over all steps after the warm-up.
    cosine: half a cosine from 1 to `floor` (Loshchilov and Hutter 2017, equation 5).
    wsd: 1 until the last `decay` steps, which fall linearly to `floor` (warm-up-stable-decay,
    Hu et al. 2024, section 4; linear: Haegele et al. 2024). Those last steps are its annealing
    phase. sizes: a further factor of each step, of its batch's size (pace.py); None: 1.
    """

    shape: Shape
    steps: int
    warmup: int = 0
    decay: int = 0
    floor: float = 0.0
    sizes: Callable[[int], float] | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise GristmillError("a schedule needs at least one step", where="steps")
        if self.warmup < 0 or self.decay < 0 or self.warmup + self.decay > self.steps:
            raise GristmillError(
                f"warm-up ({self.warmup}) and decay ({self.decay}) do not fit into "
                f"{self.steps} steps",
                mend="make them shorter or train longer",
            )

    def factor(self, step: int) -> float:
        """What the learning rates are multiplied by at `step`."""
        size = 1.0 if self.sizes is None else self.sizes(step)
        return size * self._shape(step)

    def _shape(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.shape == "constant":
            return 1.0
        start = self.steps - self.decay if self.shape == "wsd" else self.warmup
        length = self.steps - start
        if step < start or length == 0:
            return 1.0
        # The step after the last would be at the floor: no update is spent on a rate of 0.
        done = min(1.0, (step - start) / length)
        fall = 0.5 * (1.0 + math.cos(math.pi * done)) if self.shape == "cosine" else 1.0 - done
        return self.floor + (1.0 - self.floor) * fall

    def annealing(self, step: int) -> bool:
        """Whether `step` lies in the decay phase of warm-up-stable-decay."""
        return self.shape == "wsd" and step >= self.steps - self.decay


def ramp(step: int, start: float, end: float, steps: int) -> float:
    """Linear from `start` at step 0 to `end` at `steps`, constant after (Muon's momentum)."""
    done = 1.0 if steps <= 0 else min(1.0, step / steps)
    return start + (end - start) * done
