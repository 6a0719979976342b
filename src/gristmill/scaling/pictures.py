"""Charts and tables of the fits: what was measured beside what the laws say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from gristmill.core.figure import Chart, Series, Table, short_count
from gristmill.scaling.isoflop import IsoFlop
from gristmill.scaling.parametric import Parametric
from gristmill.scaling.points import Point

_MOST_SERIES = 6
_CURVE = 120
T = TypeVar("T")


def profiles_table(isoflop: IsoFlop, title: str) -> Table:
    """Every budget with its best size; title: what follows each heading, such as a family."""
    rows = [
        [
            f"{profile.flops:.2e}",
            len(profile.loss_R),
            short_count(profile.N_optimal) if profile.inside else "",
            short_count(profile.D_optimal) if profile.inside else "",
            round(profile.D_optimal / profile.N_optimal, 1) if profile.inside else None,
            round(profile.loss_optimal, 4) if profile.inside else None,
        ]
        for profile in isoflop.profiles
    ]
    note = "Empty: no minimum among the sizes trained; such a budget does not count."
    return Table(
        f"Budgets and their best size{title}",
        ["FLOPs", "runs", "N", "D", "D / N", "loss"],
        rows,
        note if any(not profile.inside for profile in isoflop.profiles) else "",
    )


def profile_chart(isoflop: IsoFlop, title: str) -> Chart:
    """The runs of some budgets, their parabolas and minima."""
    series = []
    fullest = sorted(
        isoflop.profiles, key=lambda profile: (not profile.inside, -len(profile.loss_R))
    )
    shown = sorted(fullest[:_MOST_SERIES], key=lambda profile: profile.flops)
    for profile in shown:
        name = f"{profile.flops:.1e} FLOPs"
        N_R, loss_R = list(profile.parameters_R), list(profile.loss_R)
        at = np.geomspace(min(N_R), max(N_R), _CURVE)
        series.append(Series(name, N_R, loss_R, mark="hollow"))
        series.append(Series(name, list(at), list(profile.loss(at)), mark="line"))
    minima = [profile for profile in shown if profile.inside]
    series.append(Series("minima", [p.N_optimal for p in minima], [p.loss_optimal for p in minima]))
    return Chart(
        f"Loss against parameters at one budget{title}", "parameters", "loss, nats per token",
        series, style="points", log_x=True,
    )  # fmt: skip


def token_chart(runs: Sequence[Point], law: Parametric, title: str) -> Chart:
    """The runs of some sizes over their tokens, with the law's curve of each size."""
    sizes: dict[float, list[Point]] = {}
    for run in runs:
        # Sizes read off a figure scatter by a few per cent.
        near = next((n for n in sizes if abs(run.parameters / n - 1) < 0.05), run.parameters)
        sizes.setdefault(near, []).append(run)
    long = sorted(n for n, found in sizes.items() if len({run.tokens for run in found}) >= 3)
    series = []
    for size in _spread(long or sorted(sizes), _MOST_SERIES):
        name = f"{short_count(size)} parameters"
        tokens = [run.tokens for run in sizes[size]]
        at = np.geomspace(min(tokens) / 1.2, max(tokens) * 1.2, _CURVE)
        curve = law.loss(np.full(_CURVE, size), at)
        series.append(Series(name, tokens, [run.loss for run in sizes[size]], mark="hollow"))
        series.append(Series(name, list(at), list(curve), mark="line"))
    return Chart(
        f"Loss against tokens, and the parametric law{title}", "tokens", "loss, nats per token",
        series, style="points", log_x=True,
    )  # fmt: skip


def compute_chart(
    runs: Sequence[Point], best: Sequence[Point], law: Parametric | None, title: str
) -> Chart:
    """All runs, those that no other beats with as little, and the law's least loss ten times on."""
    ids = {id(run) for run in best}
    others = [run for run in runs if id(run) not in ids]
    series = [Series("least for its compute", [r.compute for r in best], [r.loss for r in best])]
    if others:
        compute, losses = [run.compute for run in others], [run.loss for run in others]
        series.insert(0, Series("runs", compute, losses, mark="hollow"))
    if law is not None:
        compute = [run.compute for run in runs]
        at = np.geomspace(min(compute), 10 * max(compute), _CURVE)
        least = [float(law.loss(*law.optimal(float(flops)))) for flops in at]
        series.append(Series("the law at its best size", list(at), least, mark="line"))
    return Chart(
        f"Loss against compute{title}", "FLOPs", "loss, nats per token",
        series, style="points", log_x=True,
    )  # fmt: skip


def _spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
