"""The factor on a loss that is trained in fp16, whose gradients would otherwise round to 0.

Micikevicius et al. 2018, "Mixed precision training", sections 3.2 and 4: a step whose gradients
overflow is left out and halves the factor; many good steps in a row double it. A power of two
changes no digit of a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LEAST, MOST = 1.0, 2.0**15
"""The factor itself is cast to fp16, which ends at 65,504."""


@dataclass
class LossScale:
    """scale: the factor now. good: steps since it last changed. patience: good steps until it
    doubles."""

    scale: float = 1024.0
    good: int = 0
    patience: int = 2000

    def after(self, finite: bool) -> bool:
        """Takes note of a step; whether its overflow is the factor's doing and not yet a fault."""
        if finite:
            self.good += 1
            if self.good >= self.patience:
                self.scale, self.good = min(MOST, 2 * self.scale), 0
            return False
        excused = self.scale > LEAST
        self.scale, self.good = max(LEAST, self.scale / 2), 0
        return excused

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"scale": self.scale, "good": self.good}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's."""
        self.scale, self.good = float(state["scale"]), int(state["good"])
