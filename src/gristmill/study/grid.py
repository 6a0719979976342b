"""Which trainings a sweep is made of: sizes by budgets by seeds, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gristmill.core.errors import GristmillError
from gristmill.stages.train_lm import TrainLmConfig, dial_of

if TYPE_CHECKING:
    from gristmill.scaling.dial import Dial

Family = Literal["transformer", "lstm", "speedrun"]
Axis = Literal["parameters", "non_embedding", "flops"]


@dataclass(frozen=True)
class Budget:
    """How many tokens a size is trained on: a number for all, so many for each parameter, or what
    so many FLOPs buy."""

    kind: Literal["tokens", "per_parameter", "flops"]
    amount: float

    def tokens(self, size: float, flops_per_token: float) -> int:
        """The token budget of a model of `size` million parameters wished for.

        For each parameter *wished for*, so that two families of one size read the same tokens.
        """
        if self.kind == "tokens":
            return round(self.amount)
        if self.kind == "per_parameter":
            return round(self.amount * size * 1e6)
        return max(1, round(self.amount / flops_per_token))

    @property
    def label(self) -> str:
        """Part of a node's name: `400k`, `x20`, `1e+13`."""
        if self.kind == "tokens":
            return f"{self.amount / 1e3:.10g}k"
        return f"x{self.amount:g}" if self.kind == "per_parameter" else f"{self.amount:g}"


@dataclass(frozen=True)
class PlannedRun:
    """One training of a sweep. seed: counted from 0, on top of the recipe's."""

    size: float
    budget: Budget
    seed: int
    config: TrainLmConfig

    @property
    def label(self) -> str:
        """What tells it from the others: `0.6M-400k-seed0`."""
        return f"{self.size:g}M-{self.budget.label}-seed{self.seed}"


def planned_runs(
    family: Family,
    sizes: Sequence[float],
    budgets: Sequence[Budget],
    seeds: int,
    reseeded: int | None,
    base: TrainLmConfig,
    vocabulary: int,
) -> list[PlannedRun]:
    """The trainings, sizes ascending, then budgets, then seeds.

    base: the settings that all share. Its size, budget and family are replaced, all else that
    depends on them (batch, rates, warm-up, decay) follows from each run's own numbers. Embedding
    and head are one matrix in all, unless it says otherwise: the dial ties small models and not
    large ones, which would be a kink in every curve. reseeded: how many sizes, from the smallest,
    are trained with every seed; None: all. Raises GristmillError where two sizes come out as one
    shape: then one of them measures nothing.
    """
    shapes: dict[int, float] = {}
    runs: list[PlannedRun] = []
    tied = True if base.dial.tied is None else base.dial.tied
    shape = base.dial.model_copy(update={"tied": tied})
    for rank, size in enumerate(sorted(sizes)):
        config = base.model_copy(update={"size": size, "dial": shape, "architecture": family})
        dial = dial_of(config.model_copy(update={"token_budget": 1}), vocabulary)
        if dial.parameters in shapes:
            raise GristmillError(
                f"sizes {shapes[dial.parameters]:g} and {size:g} come out as one shape, "
                f"{dial.model.layers} layers of width {dial.model.width}",
                where="sizes",
                mend="take sizes that lie further apart",
            )
        shapes[dial.parameters] = size
        repeats = seeds if reseeded is None or rank < reseeded else 1
        for budget in budgets:
            tokens = budget.tokens(size, flops_of(dial) / dial.tokens)
            run = config.model_copy(update={"token_budget": tokens})
            runs += [PlannedRun(size, budget, seed, run) for seed in range(repeats)]
    return runs


def flops_of(dial: Dial) -> float:
    """FLOPs of the dial's whole training: 6 for each multiplying parameter and token, and
    attention; the embedding's look-up multiplies nothing."""
    from gristmill.model.flops import flops_per_token

    return flops_per_token(dial.model) * dial.tokens


COUNTED = (
    "Parameters are all that are trained, an embedding that is also the head counted once; "
    "'non-embedding' leaves out embedding and head (Kaplan et al. 2020). FLOPs are 6 for each "
    "parameter that multiplies (blocks and head) and token, and those of attention: how they are "
    "counted changes a law's exponents."
)
