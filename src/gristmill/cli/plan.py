"""`plan`: from accelerators and days, or FLOPs, or money, to a model and its recipe."""

from __future__ import annotations

import json
import math
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.present import console, print_table
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.core.nearest import did_you_mean

if TYPE_CHECKING:
    from gristmill.scaling.parametric import Parametric
    from gristmill.scaling.planner import Assumptions, Budget, Choice, Plan

_HELP = """gristmill plan --gpus N --days N | --flops N | --money DOLLARS [flags]

From a budget to a model: its size and tokens, days, cost, energy, and the loss
that a scaling law predicts, with its interval. Arithmetic: it trains nothing.

the budget
  --gpus N --days N   accelerators and time
  --flops N           compute (1e25); with --gpus or --days, else 30 days
  --money DOLLARS     what the accelerators may cost
  --gpu NAME          {names},
                      custom (h100)
  --out FILE          write a recipe that gristmill config validate takes
  --choice NAME       which model goes into it: law, rule, aware (law)
  --text FOLDER       the text that the recipe reads (texts)

what is assumed
  --mfu X             share of the peak that training reaches ({mfu})
  --uptime X          share of the time that training goes on ({uptime})
  --price DOLLARS     of an accelerator, an hour (the table's)
  --peak X --memory X --watts X    of an accelerator, in place of the table's
  --pue X             power of the site over that of the accelerators ({pue})
  --serve-tokens N    tokens served over the model's life ({serve_tokens:.0e})
  --serve-mfu X       share of the peak that serving reaches ({serve_mfu})
  --law FOLDER        an artifact of scaling fit (default: Chinchilla's runs)
  --family NAME       which family of that law
  --old-runs N        full-size runs of the old way (30)
  --tuning-share X    of the compute for small runs, the new way (0.1)

  --check             this arithmetic beside published trainings
  --json              one JSON object

examples
  gristmill plan --gpus 10000 --gpu h100 --days 30
  gristmill plan --money 1000000 --out million.yaml
  gristmill plan --flops 1e18 --gpu 4090 --gpus 1 --law runs/mine/artifacts/FIT"""
_NUMBERS = (
    "gpus", "days", "flops", "money", "mfu", "uptime", "price", "peak", "memory", "watts", "pue",
    "serve-tokens", "serve-mfu", "old-runs", "tuning-share",
)  # fmt: skip
_CHOICES = {"rule": 0, "law": 1, "aware": 2}
# Of a core, in float32 products of a training: a laptop's, within a factor of three.
_CORE_SPEED = 3e10


def plan(arguments: list[str]) -> int:
    """Prints a plan, or the check against published trainings."""
    flags = parse_flags(
        arguments,
        options=(*_NUMBERS, "gpu", "law", "family", "out", "choice", "text"),
        switches=("help", "json", "check"),
        settings=False,
    )
    if flags.on("help") or "-h" in flags.words:
        print(_help())
        return 0
    if flags.words:
        raise GristmillError(f"'{flags.words[0]}' is not a flag", mend="see gristmill plan --help")
    if flags.on("check"):
        return _check(flags)
    from gristmill.scaling.planner import find_budget, make_plan

    assumptions = _assumptions(flags)
    budget = find_budget(
        _machine(flags),
        assumptions,
        gpus=_count(flags, "gpus"),
        days=_number(flags, "days"),
        flops=_number(flags, "flops"),
        money=_number(flags, "money"),
    )
    law, fitted, whose = _law(flags)
    made = make_plan(
        budget,
        law,
        fitted=fitted,
        old_runs=_count(flags, "old-runs") or 30,
        tuning_share=_share(flags, "tuning-share", 0.1),
    )
    choice = _chosen(flags, made)
    unfit = _unfit(choice)
    written = _write(flags, made, choice, whose, unfit)
    if flags.on("json"):
        told = {**made.to_json(), "law": whose, "not_runnable_here": unfit, "recipe": written}
        print(json.dumps(told, ensure_ascii=False))
        return 0
    _print(made, whose, assumptions)
    out = console()
    if written:
        out.print(f"\n{written} holds the recipe of {size_text(choice.parameters)} parameters on")
        out.print(
            f"{size_text(choice.tokens)} tokens; check it: gristmill config validate {written}"
        )
        if unfit:
            _say(f"It is too much for this machine: {'; '.join(unfit)}.", out)
    return 0


def size_text(value: float) -> str:
    """1,234,000,000 as 1.23B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}" if value < 999.5e12 else f"{value / size:,.0f}{unit}"
    return f"{value:.3g}"


def money_text(dollars: float) -> str:
    """12,340,000 as $12.3M."""
    return f"${size_text(dollars)}" if dollars >= 1000 else f"${dollars:,.2f}"


def _help() -> str:
    from gristmill.scaling.hardware import ACCELERATORS
    from gristmill.scaling.planner import Assumptions

    assumed = {name: getattr(Assumptions(), name) for name in Assumptions.__dataclass_fields__}
    return _HELP.format(names=", ".join(ACCELERATORS), **assumed)


def _assumptions(flags: Flags) -> Assumptions:
    from gristmill.scaling.planner import Assumptions

    usual = Assumptions()
    pue = _number(flags, "pue")
    if pue is not None and pue < 1:
        raise GristmillError("is at least 1", where="--pue", mend="it is the site's power over")
    return Assumptions(
        _share(flags, "mfu", usual.mfu),
        _share(flags, "uptime", usual.uptime),
        _share(flags, "serve-mfu", usual.serve_mfu),
        pue or usual.pue,
        _number(flags, "serve-tokens") or usual.serve_tokens,
    )


def _machine(flags: Flags) -> Any:
    from gristmill.scaling.hardware import accelerator

    return accelerator(
        flags.text("gpu", "h100"),
        **{name: _number(flags, name) for name in ("peak", "memory", "watts", "price")},
    )


def _law(flags: Flags) -> tuple[Parametric, tuple[float, float] | None, str]:
    """The law, the FLOPs of its smallest and largest run, and whose it is."""
    from gristmill.scaling.chinchilla import FITTED, chinchilla_law
    from gristmill.scaling.parametric import Parametric

    given = flags.text("law", "")
    if not given:
        if "family" in flags.options:
            raise GristmillError("is of use only with --law", where="--family")
        return chinchilla_law(), FITTED, "Chinchilla's runs (Besiroglu et al. 2024)"
    path = Path(given)
    path = path / "law.json" if path.is_dir() else path
    try:
        families = json.loads(path.read_text(encoding="utf-8"))["families"]
        known = {name: law for name, law in families.items() if "parametric" in law}
    except OSError as error:
        raise GristmillError(f"cannot be read: {error.strerror}", where=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GristmillError(
            "is no law", where=path, mend="give an artifact of gristmill scaling fit"
        ) from error
    if not known:
        raise GristmillError("holds no parametric law", where=path, mend="fit it to more runs")
    family = flags.text("family", next(iter(known)))
    if family not in known:
        raise GristmillError(
            f"no family '{family}'", where=path, mend=did_you_mean(family, list(known))
        )
    entry = known[family]["parametric"]
    low, high = entry.get("fitted_flops") or (None, None)
    return (
        Parametric.from_json(entry),
        None if low is None or high is None else (float(low), float(high)),
        f"{path}{f', {family}' if family else ''}",
    )


def _chosen(flags: Flags, made: Plan) -> Choice:
    name = flags.text("choice", "law")
    if name not in _CHOICES:
        raise GristmillError(
            f"unknown choice '{name}'", where="--choice", mend=did_you_mean(name, list(_CHOICES))
        )
    return made.choices[_CHOICES[name]]


def _unfit(choice: Choice) -> list[str]:
    import psutil

    from gristmill.scaling.recipe_file import Machine, not_runnable

    cores = os.cpu_count() or 1
    here = Machine(float(psutil.virtual_memory().total), cores, cores * _CORE_SPEED)
    return not_runnable(choice.parameters, choice.flops, here)


def _write(flags: Flags, made: Plan, choice: Choice, whose: str, unfit: list[str]) -> str | None:
    from gristmill.scaling.recipe_file import recipe_text

    given = flags.text("out", "")
    if not given:
        return None
    budget = made.budget
    loss = choice.loss
    remarks = [
        f"{choice.flops:.3g} FLOPs: {budget.gpus:,} {budget.machine.name} for "
        f"{_time(choice.days)}, {money_text(choice.train_cost)}, at "
        f"{budget.assumptions.mfu:.0%} of the peak.",
        f"Predicted loss {loss} nats per token, by the law of {whose}.",
        f"It wants about {size_text(4 * choice.tokens)} characters of your own text.",
    ]
    if unfit:
        remarks.append(f"NOT RUNNABLE on the machine that planned it: {'; '.join(unfit)}.")
    text = recipe_text(
        choice.parameters,
        choice.tokens,
        about=f"Written by gristmill plan: {size_text(choice.parameters)} parameters on "
        f"{size_text(choice.tokens)} tokens, {choice.name}.",
        remarks=remarks,
        text=flags.text("text", "texts"),
    )
    path = Path(given)
    if path.is_dir():
        raise GristmillError("is a folder", where=path, mend="give a file, plan.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def _print(made: Plan, whose: str, assumptions: Assumptions) -> None:
    out = console()
    _print_budget(made.budget, out)
    rows = [
        [
            choice.name,
            size_text(choice.parameters),
            size_text(choice.tokens),
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
            size_text(way.parameters),
            size_text(way.tokens),
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
    _say(f"The loss is by the law of {whose}: its data, its tokenizer.", out)
    for note in made.notes:
        _say(note, out)


def _print_budget(budget: Budget, out: Console) -> None:
    machine, assumptions = budget.machine, budget.assumptions
    rows = [
        ["machine", f"{budget.gpus:,} {machine.name}, {machine.peak / 1e12:,.4g} TFLOP/s each "
         "(bf16, dense)"],
        ["reached", f"{assumptions.mfu:.0%} of it (MFU), {assumptions.uptime:.0%} of the time"],
        ["compute", f"{budget.flops:.3g} FLOPs in {_time(budget.days)}"],
        ["time", f"{size_text(budget.gpu_hours)} accelerator hours"],
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
            size_text(choice.parameters),
            _interval(choice.loss),
            money_text(choice.train_cost),
            money_text(choice.serve_cost),
            money_text(choice.total_cost),
        ]
        for choice in (*made.choices, made.same_loss)
    ]
    columns = ["", "N", "loss", "train", "serve", "in all"]
    mfu = made.budget.assumptions.serve_mfu
    note = f"Serving {size_text(served)} tokens, 2 N operations each, at {mfu:.0%} of the peak."
    if made.break_even_tokens is not None and math.isfinite(made.break_even_tokens):
        note += (
            " Trained on until it has the law's loss, the model of 150 tokens for each parameter "
            f"is the cheaper one from {size_text(made.break_even_tokens)} tokens served."
        )
    print_table("Trained and served", columns, rows, out, note)


def _check(flags: Flags) -> int:
    from gristmill.scaling.published import PUBLISHED, compare

    found = [compare(training) for training in PUBLISHED]
    worst = max(abs(error) for one in found for error in one["errors"].values())
    if flags.on("json"):
        print(json.dumps({"trainings": found, "max_error": worst}, ensure_ascii=False))
        return 0
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
        _say(f"{one['name']}: {one['source']}.", out)
    out.print(f"\nlargest error {worst:.1%}")
    return 0


def _energy(kwh: float) -> str:
    for unit, size in (("TWh", 1e9), ("GWh", 1e6), ("MWh", 1e3)):
        if kwh >= size:
            return f"{kwh / size:,.3g} {unit}"
    return f"{kwh:,.3g} kWh"


def _time(days: float) -> str:
    return f"{days:,.3g} days" if days >= 2 else f"{days * 24:,.3g} hours"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.2f}, {figure.high:.2f}]"


def _say(text: str, out: Console) -> None:
    for line in textwrap.wrap(text, min(80, out.width)):
        out.print(line, markup=False)


def _number(flags: Flags, name: str) -> float | None:
    """A flag's number above 0; None where it is not given."""
    if name not in flags.options:
        return None
    text = flags.text(name, "").replace(",", "").replace("_", "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise GristmillError(
            "must be a number above 0", where=f"--{name}", mend=f"it is {flags.text(name, '')!r}"
        )
    return value


def _count(flags: Flags, name: str) -> int | None:
    value = _number(flags, name)
    if value is not None and value != int(value):
        raise GristmillError("must be a whole number", where=f"--{name}", mend=f"it is {value}")
    return None if value is None else int(value)


def _share(flags: Flags, name: str, usual: float) -> float:
    value = _number(flags, name)
    if value is None:
        return usual
    if value > 1 or (name == "tuning-share" and value == 1):
        raise GristmillError(
            "is a share, between 0 and 1", where=f"--{name}", mend=f"it is {value:g}"
        )
    return value
