"""From accelerators and days, or FLOPs, or money, to a model: its size, tokens, time, cost, energy.

Everything is arithmetic with stated assumptions: C = 6 N D, a share of the peak that is reached
(MFU), a share of the time in which the run advances (uptime), a price and a rated power. The loss
comes from a parametric law with its interval, and holds for the data and the tokenizer behind that
law alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.scaling.dial import COMPUTE_OPTIMAL
from gristmill.scaling.hardware import Accelerator
from gristmill.scaling.parametric import Parametric
from gristmill.scaling.points import FLOPS_PER_PARAMETER_AND_TOKEN

INFERENCE_AWARE = 150.0
"""Tokens per parameter where a model is served much: Llama 2 has 286 at 7B and 29 at 70B."""
STATE_BYTES = 16.0
"""For each parameter in mixed precision with Adam: weights and gradients in bf16, and a copy and
two moments in float32 (Rajbhandari et al. 2020, section 3.1)."""
DAYS = 30.0
_HOUR, _DAY = 3600.0, 86400.0
_SWEEP_SIZES = 7
_SWEEP_BUDGETS = 4
_SWEEP_STEP = math.sqrt(10.0)


@dataclass(frozen=True)
class Assumptions:
    """What the arithmetic takes for granted; each is a flag of `plan`."""

    mfu: float = 0.40
    """Of the peak, reached in training: 38 to 43% for Llama 3 405B (Dubey et al. 2024, table 4)."""
    uptime: float = 0.90
    """Of the time, spent training: "higher than 90%" (Dubey et al. 2024, section 3.3.4)."""
    serve_mfu: float = 0.10
    """Of the peak, reached in serving: decoding waits for memory more than it computes."""
    pue: float = 1.10
    """Power of the whole site over that of the accelerators (Patterson et al. 2021, table 4)."""
    serve_tokens: float = 1e12
    """Tokens read and written over the life of the model."""


@dataclass(frozen=True)
class Budget:
    """Compute, and the machine that gives it."""

    flops: float
    gpus: int
    days: float
    machine: Accelerator
    assumptions: Assumptions

    @property
    def gpu_hours(self) -> float:
        """Accelerator hours that the FLOPs take, pauses included."""
        return hours_for(self.flops, self.machine, self.assumptions)

    @property
    def cost(self) -> float:
        """Dollars for those hours."""
        return self.gpu_hours * self.machine.price

    @property
    def energy_kwh(self) -> float:
        """Kilowatt hours: rated power of the accelerators, times PUE."""
        return energy_for(self.gpu_hours, self.machine, self.assumptions.pue)


@dataclass(frozen=True)
class Choice:
    """A model to train with a budget."""

    name: str
    parameters: float
    tokens: float
    flops: float
    loss: Figure
    days: float
    train_cost: float
    serve_cost: float
    total_cost: float
    state_gpus: int
    """Accelerators that hold the training state; activations come on top."""

    @property
    def tokens_per_parameter(self) -> float:
        """D / N, repeats included."""
        return self.tokens / self.parameters


@dataclass(frozen=True)
class Way:
    """How a budget becomes one final model."""

    name: str
    tuning: str
    tuning_flops: float
    final_flops: float
    parameters: float
    tokens: float
    loss: Figure


@dataclass(frozen=True)
class Plan:
    """A budget and what can be done with it."""

    budget: Budget
    choices: tuple[Choice, ...]
    same_loss: Choice
    """150 tokens for each parameter at the loss of the compute-optimal model."""
    break_even_tokens: float | None
    """Served tokens from which on `same_loss` is cheaper than the compute-optimal model."""
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Everything, for `--json`."""
        budget = self.budget
        return {
            "budget": {
                "flops": budget.flops,
                "gpus": budget.gpus,
                "days": budget.days,
                "gpu_hours": budget.gpu_hours,
                "cost": budget.cost,
                "energy_kwh": budget.energy_kwh,
                "machine": asdict(budget.machine),
                "assumptions": asdict(budget.assumptions),
            },
            "choices": [_choice_json(choice) for choice in self.choices],
            "same_loss": _choice_json(self.same_loss),
            "break_even_tokens": self.break_even_tokens,
            "ways": [{**asdict(way), "loss": way.loss.to_json()} for way in self.ways],
            "notes": list(self.notes),
        }


def training_flops(parameters: float, tokens: float) -> float:
    """6 N D."""
    return FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens


def hours_for(flops: float, machine: Accelerator, assumptions: Assumptions) -> float:
    """Accelerator hours of a training, pauses included."""
    return flops / (machine.peak * assumptions.mfu * assumptions.uptime * _HOUR)


def energy_for(gpu_hours: float, machine: Accelerator, pue: float) -> float:
    """Kilowatt hours at rated power."""
    return gpu_hours * machine.watts * pue / 1000.0


def find_budget(
    machine: Accelerator,
    assumptions: Assumptions,
    *,
    gpus: int | None = None,
    days: float | None = None,
    flops: float | None = None,
    money: float | None = None,
) -> Budget:
    """The budget from accelerators and days, or FLOPs, or money.

    With FLOPs or money, accelerators or days say the other; with neither, 30 days. Raises
    GristmillError where the budget is given twice, not at all, or not above 0.
    """
    for name, value in (("gpus", gpus), ("days", days), ("flops", flops), ("money", money)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise GristmillError("must be above 0", where=f"--{name}", mend=f"it is {value}")
    if flops is not None and money is not None:
        raise GristmillError("two budgets at once", mend="give one of --flops and --money")
    rate = machine.peak * assumptions.mfu * assumptions.uptime
    if money is not None:
        flops = money / machine.price * _HOUR * rate
    if flops is None:
        if gpus is None or days is None:
            raise GristmillError(
                "no budget", mend="give --gpus with --days, or --flops, or --money"
            )
        return Budget(gpus * rate * days * _DAY, gpus, days, machine, assumptions)
    if gpus is not None and days is not None:
        raise GristmillError(
            "two budgets at once",
            mend="give --gpus with --days alone, or --flops or --money with one of them",
        )
    if gpus is None:
        gpus = max(1, math.ceil(flops / (rate * (days or DAYS) * _DAY) - 1e-9))
    return Budget(flops, gpus, flops / (gpus * rate * _DAY), machine, assumptions)


def make_plan(
    budget: Budget,
    law: Parametric,
    *,
    fitted: tuple[float, float] | None = None,
    old_runs: int = 30,
    tuning_share: float = 0.1,
) -> Plan:
    """What to train with a budget: compute-optimal by rule and by law, inference-aware, two ways.

    fitted: FLOPs of the smallest and the largest run behind the law. old_runs: models tuned at full
    size the old way. tuning_share: of the compute, spent on small models the new way.
    """
    flops = budget.flops
    rule = _choose("20 tokens for each parameter", flops, COMPUTE_OPTIMAL, budget, law)
    N, D = law.optimal(flops)
    by_law = _choice("optimal by the law", N, D, budget, law)
    aware = _choose("inference-aware, 150", flops, INFERENCE_AWARE, budget, law)
    same = _same_loss(float(law.loss(N, D)), budget, law)
    break_even = None
    per_token_saved = (by_law.serve_cost - same.serve_cost) / budget.assumptions.serve_tokens
    if per_token_saved > 0:
        break_even = max(0.0, (same.train_cost - by_law.train_cost) / per_token_saved)
    notes = []
    if fitted is not None and not fitted[0] <= flops <= fitted[1]:
        far = flops / fitted[1] if flops > fitted[1] else fitted[0] / flops
        notes.append(
            f"The law is fitted from {fitted[0]:.2g} to {fitted[1]:.2g} FLOPs; this is a factor of "
            f"{far:,.3g} beyond. Its interval says how well the law is known, not whether it holds "
            "there."
        )
    if max(choice.tokens for choice in (rule, by_law, aware)) > 15e12:
        notes.append(
            "Over 15 trillion tokens: about what careful filters leave of the public web in "
            "English (Penedo et al. 2024), so text would repeat."
        )
    if max(rule.state_gpus, by_law.state_gpus) > budget.gpus:
        notes.append(
            f"{budget.gpus:,} {budget.machine.name} do not hold the training state of "
            f"{rule.parameters:.3g} parameters."
        )
    return Plan(
        budget,
        (rule, by_law, aware),
        same,
        break_even,
        (_old_way(flops, old_runs, law), _new_way(flops, tuning_share, law)),
        tuple(notes),
    )


def _choose(name: str, flops: float, ratio: float, budget: Budget, law: Parametric) -> Choice:
    N = math.sqrt(flops / (FLOPS_PER_PARAMETER_AND_TOKEN * ratio))
    return _choice(name, N, ratio * N, budget, law)


def _choice(name: str, parameters: float, tokens: float, budget: Budget, law: Parametric) -> Choice:
    machine, assumptions = budget.machine, budget.assumptions
    flops = training_flops(parameters, tokens)
    hours = hours_for(flops, machine, assumptions)
    # A served token passes forward once: 2 N.
    serve_flops = 2.0 * parameters * assumptions.serve_tokens
    serve_hours = serve_flops / (machine.peak * assumptions.serve_mfu * _HOUR)
    train_cost, serve_cost = hours * machine.price, serve_hours * machine.price
    return Choice(
        name,
        parameters,
        tokens,
        flops,
        law.figure(parameters, tokens),
        hours / budget.gpus / 24.0,
        train_cost,
        serve_cost,
        train_cost + serve_cost,
        math.ceil(STATE_BYTES * parameters / machine.memory),
    )


def _same_loss(loss: float, budget: Budget, law: Parametric) -> Choice:
    """The model of 150 tokens for each parameter with this loss, by bisection over its size."""
    low, high = 0.0, 60.0
    for _ in range(100):
        middle = (low + high) / 2
        N = math.exp(middle)
        if float(law.loss(N, INFERENCE_AWARE * N)) > loss:
            low = middle
        else:
            high = middle
    N = math.exp(high)
    return _choice("the same loss at 150", N, INFERENCE_AWARE * N, budget, law)


def _old_way(flops: float, runs: int, law: Parametric) -> Way:
    """Many settings at full size, an equal share of the compute each; the best run is the model."""
    each = flops / runs
    N, D = law.optimal(each)
    tuning = f"{runs} runs at full size, the best is kept"
    return Way("old", tuning, flops - each, each, N, D, law.figure(N, D))


def _new_way(flops: float, share: float, law: Parametric) -> Way:
    """A sweep of small models, four budgets of seven sizes, extrapolated; then one large run."""
    steps = sum(_SWEEP_STEP**-i for i in range(_SWEEP_BUDGETS))
    largest = share * flops / (_SWEEP_SIZES * steps)
    final = flops * (1.0 - share)
    N, D = law.optimal(final)
    tuning = (
        f"{_SWEEP_BUDGETS * _SWEEP_SIZES} small runs, "
        f"{largest / _SWEEP_STEP ** (_SWEEP_BUDGETS - 1):.1e} to {largest:.1e} FLOPs"
    )
    return Way("new", tuning, flops - final, final, N, D, law.figure(N, D))


def _choice_json(choice: Choice) -> dict[str, Any]:
    ratio = choice.tokens_per_parameter
    return {**asdict(choice), "loss": choice.loss.to_json(), "tokens_per_parameter": ratio}
