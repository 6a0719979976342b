"""`plan`: from accelerators and days, or FLOPs, or money, to a model and its recipe."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.plan_print import money_text, print_check, print_plan, say, time_text
from gristmill.cli.present import console
from gristmill.core.errors import GristmillError
from gristmill.core.figure import short_count
from gristmill.core.nearest import did_you_mean

if TYPE_CHECKING:
    from gristmill.scaling.parametric import Parametric
    from gristmill.scaling.planner import Assumptions, Choice, Plan

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
        return _check(flags.on("json"))
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
    print_plan(made, whose)
    out = console()
    if written:
        out.print(f"\n{written} holds the recipe of {short_count(choice.parameters)} parameters on")
        out.print(
            f"{short_count(choice.tokens)} tokens; check it: gristmill config validate {written}"
        )
        if unfit:
            say(f"It is too much for this machine: {'; '.join(unfit)}.", out)
    return 0


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
    from gristmill.scaling.law_file import read_law

    family = flags.text("family", "")
    if given := flags.text("law", ""):
        return read_law(Path(given), family)
    if family:
        raise GristmillError("is of use only with --law", where="--family")
    return chinchilla_law(), FITTED, "Chinchilla's runs (Besiroglu et al. 2024)"


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
        f"{time_text(choice.days)}, {money_text(choice.train_cost)}, at "
        f"{budget.assumptions.mfu:.0%} of the peak.",
        f"Predicted loss {loss} nats per token, by the law of {whose}.",
        f"It wants about {short_count(4 * choice.tokens)} characters of your own text.",
    ]
    if unfit:
        remarks.append(f"NOT RUNNABLE on the machine that planned it: {'; '.join(unfit)}.")
    text = recipe_text(
        choice.parameters,
        choice.tokens,
        about=f"Written by gristmill plan: {short_count(choice.parameters)} parameters on "
        f"{short_count(choice.tokens)} tokens, {choice.name}.",
        remarks=remarks,
        text=flags.text("text", "texts"),
    )
    path = Path(given)
    if path.is_dir():
        raise GristmillError("is a folder", where=path, mend="give a file, plan.yaml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GristmillError(
            f"cannot be written: {error.strerror}", where=path, mend="give another file with --out"
        ) from error
    return str(path)


def _check(as_json: bool) -> int:
    from gristmill.scaling.published import PUBLISHED, compare

    found = [compare(training) for training in PUBLISHED]
    worst = max(abs(error) for one in found for error in one["errors"].values())
    if as_json:
        print(json.dumps({"trainings": found, "max_error": worst}, ensure_ascii=False))
    else:
        print_check(found, worst)
    return 0


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
