"""What `plan` prints: the budget, the choices, the two ways, and the check."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gristmill.cli.present import console, print_table
from gristmill.core.figure import Figure, short_count

if TYPE_CHECKING:
    from gristmill.scaling.planner import Budget, Plan


def print_plan(made: Plan, whose: str) -> None:
    """The budget, what to train with it, what serving adds, the old way beside the new. whose: runs
    that the law of loss was fitted on."""
    out = console()
    _print_budget(made.budget, out)
    rows = [
        [
            choice.name,
            short_count(choice.parameters),
            short_count(choice.tokens),
            f"{choice.tokens_per_parameter:.0f}",
            _interval(choice.loss),
            f"{choice.state_gpus:,}",
        ]
        for choice in made.choices
    ]
    columns = ["this budget, trained", "N", "tokens", "per N", "loss", "holds"]
    note = (
        "N: parameters; loss: nats per token, 95%; holds: accelerators that the training state "
        "fills."
    )
    print_table("What to train", columns, rows, out, note)
    _print_serving(made, out)
    rows = [
        [
            way.name,
            way.tuning,
            f"{way.tuning_flops / made.budget.flops:.0%}",
            short_count(way.parameters),
            short_count(way.tokens),
            _interval(way.loss),
        ]
        for way in made.ways
    ]
    columns = ["way", "tuning", "spent", "N", "tokens", "loss"]
    note = (
        "Old: every setting is tried at full size. New: small runs say how settings and size "
        "scale, and one large run gets the rest."
    )
    print_table("One budget, two ways", columns, rows, out, note)
    out.print()
    say(f"The loss is by the law of {whose}: its data, its tokenizer.", out)
    for note in made.notes:
        say(note, out)


def _print_budget(budget: Budget, out: Console) -> None:
    machine, assumptions = budget.machine, budget.assumptions
    rows = [
        ["machine", f"{budget.gpus:,} {machine.name}, {machine.peak / 1e12:,.4g} TFLOP/s each "
         "(bf16, dense)"],
        ["reached", f"{assumptions.mfu:.0%} of it (MFU), {assumptions.uptime:.0%} of the time"],
        ["compute", f"{budget.flops:.3g} FLOPs in {time_text(budget.days)}"],
        ["time", f"{short_count(budget.gpu_hours)} accelerator hours"],
        ["cost", f"{money_text(budget.cost)} at ${machine.price:.2f} an hour"],
        ["energy", f"{_energy(budget.energy_kwh)} at {machine.watts:,.0f} W each and PUE "
         f"{assumptions.pue:.2f}; hosts come on top"],
    ]  # fmt: skip
    print_table("The budget", ["", ""], rows, out)


def _print_serving(made: Plan, out: Console) -> None:
    served = made.budget.assumptions.serve_tokens
    rows = [
        [
            choice.name,
            short_count(choice.parameters),
            _interval(choice.loss),
            money_text(choice.train_cost),
            money_text(choice.serve_cost),
            money_text(choice.total_cost),
        ]
        for choice in (*made.choices, made.same_loss)
    ]
    columns = ["", "N", "loss", "train", "serve", "in all"]
    mfu = made.budget.assumptions.serve_mfu
    note = f"Serving {short_count(served)} tokens, 2 N operations each, at {mfu:.0%} of the peak."
    if made.break_even_tokens is not None and math.isfinite(made.break_even_tokens):
        note += (
            " Trained on until it has the law's loss, the model of 150 tokens for each parameter "
            f"is the cheaper one from {short_count(made.break_even_tokens)} tokens served."
        )
    print_table("Trained and served", columns, rows, out, note)


def print_check(found: Sequence[Mapping[str, Any]], worst: float) -> None:
    """Published trainings beside what the planner's arithmetic says of them."""
    out = console()
    titles = {
        "flops": "FLOPs", "petaflop_days": "PF-days", "gpu_hours": "hours", "days": "days",
        "energy_mwh": "MWh",
    }  # fmt: skip
    rows = []
    for one in found:
        told = [key for key in titles if key in one["errors"]]
        for key in told:
            ours, theirs, error = one["ours"][key], one["theirs"][key], one["errors"][key]
            name = one["name"] if key == told[0] else ""
            rows.append([name, titles[key], f"{ours:.4g}", f"{theirs:.4g}", f"{error:+.1%}"])
    print_table("Published trainings", ["", "", "ours", "published", "error"], rows, out)
    out.print()
    for one in found:
        say(f"{one['name']}: {one['source']}.", out)
    out.print(f"\nlargest error {worst:.1%}")


def money_text(dollars: float) -> str:
    """12,340,000 as $12.3M."""
    return f"${short_count(dollars)}" if dollars >= 1000 else f"${dollars:,.2f}"


def time_text(days: float) -> str:
    """1.5 days as 36 hours."""
    return f"{days:,.3g} days" if days >= 2 else f"{days * 24:,.3g} hours"


def say(text: str, out: Console) -> None:
    """A paragraph, at most 80 columns wide."""
    for line in textwrap.wrap(text, min(80, out.width)):
        out.print(line, markup=False)


def _energy(kwh: float) -> str:
    for unit, size in (("TWh", 1e9), ("GWh", 1e6), ("MWh", 1e3)):
        if kwh >= size:
            return f"{kwh / size:,.3g} {unit}"
    return f"{kwh:,.3g} kWh"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.2f}, {figure.high:.2f}]"
