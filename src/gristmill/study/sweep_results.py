"""What a sweep shows: its runs, the loss against compute, how far seeds are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gristmill.core.figure import Chart, Figure, Series, Table

if TYPE_CHECKING:
    from gristmill.scaling.points import Point

# Repeats of the same text are worth nearly as much as new text up to about four times
# (Muennighoff et al. 2023, section 6).
_REPEATS_THAT_COUNT = 4.0


def by_setting(points: Sequence[Point]) -> list[list[Point]]:
    """The points of each size and token budget, seeds together, in the order of their compute."""
    found: dict[tuple[float, float], list[Point]] = {}
    for point in points:
        found.setdefault((point.parameters, point.tokens), []).append(point)
    return sorted(found.values(), key=lambda group: (group[0].compute, group[0].parameters))


def mean_loss(group: Sequence[Point]) -> float:
    """Of the seeds of a setting."""
    return math.fsum(point.loss for point in group) / len(group)


def seed_deviation(points: Sequence[Point]) -> Figure | None:
    """The standard deviation of the loss over seeds, pooled over the settings that have several;
    95% by the chi-square distribution. None where no setting has."""
    squares, degrees = 0.0, 0
    for group in by_setting(points):
        mean = mean_loss(group)
        squares += math.fsum((point.loss - mean) ** 2 for point in group)
        degrees += len(group) - 1
    if degrees == 0:
        return None
    from scipy.special import chdtri

    low, high = (math.sqrt(squares / float(chdtri(degrees, tail))) for tail in (0.025, 0.975))
    return Figure(math.sqrt(squares / degrees), low, high, degrees)


def sweep_figures(family: str, points: Sequence[Point]) -> dict[str, Figure]:
    """Figures under `scaling.FAMILY.`."""
    best = min(points, key=lambda point: point.loss)
    figures = {
        "runs": Figure(len(points)),
        "flops": Figure(math.fsum(point.compute for point in points)),
        "loss.lowest": Figure(best.loss),
    }
    if best.bits_per_byte is not None:
        figures["bits_per_byte.lowest"] = Figure(best.bits_per_byte)
    deviation = seed_deviation(points)
    if deviation is not None:
        figures["seed_deviation"] = deviation
    return {f"scaling.{family}.{name}": figure for name, figure in figures.items()}


def runs_table(family: str, points: Sequence[Point], unique: int) -> Table:
    """Every run; `unique`: tokens of the text that is trained on."""
    rows = [
        [
            int(point.parameters),
            int(point.tokens),
            point.seed,
            f"{point.compute:.2g}",
            round(point.loss, 4),
            None if point.bits_per_byte is None else round(point.bits_per_byte, 4),
            round(point.tokens / unique, 2),
            round(point.tokens / point.parameters, 2),
            None if point.non_embedding is None else int(point.non_embedding),
        ]
        for group in by_setting(points)
        for point in group
    ]
    return Table(
        f"Every run ({family})",
        ["parameters", "tokens", "seed", "FLOPs", "loss", "bits/byte", "passes", "tokens each",
         "non-embedding"],
        rows,
        note="Loss in nats a token of the same held-out documents, every token once; passes over "
        "the training text; tokens for each parameter.",
    )  # fmt: skip


def loss_chart(family: str, points: Sequence[Point]) -> Chart:
    """Loss against compute, a line for each size; the largest run, which a law is to predict, is
    hollow."""
    groups = by_setting(points)
    sizes = sorted({point.parameters for point in points})
    series = []
    for size in sizes:
        own = [group for group in groups if group[0].parameters == size]
        name = millions(size)
        solid = [group for group in own if group is not groups[-1]]
        if solid:
            series.append(_series(name, solid))
        if len(solid) < len(own):
            series.append(_series(name, [groups[-1]], mark="hollow"))
    return Chart(
        f"Loss against compute ({family}); hollow: the largest run, to be predicted",
        "FLOPs",
        "held-out loss, nats a token",
        series,
        style="points",
        log_x=True,
        log_y=True,
    )


def _series(name: str, groups: Sequence[Sequence[Point]], mark: str = "") -> Series:
    """Means over seeds, with bars from the lowest to the highest where there are several."""
    losses = [[point.loss for point in group] for group in groups]
    several = any(len(each) > 1 for each in losses)
    return Series(
        name,
        [group[0].compute for group in groups],
        [mean_loss(group) for group in groups],
        [min(each) for each in losses] if several else None,
        [max(each) for each in losses] if several else None,
        mark=mark,
    )


def sweep_notes(points: Sequence[Point], unique: int) -> list[str]:
    """What a reader must know of these runs."""
    notes = [
        "All runs are scored on the same held-out documents, each token once with the text before "
        "it, after training: the loss while training is watched on fewer windows, which begin "
        "inside documents."
    ]
    most = max(point.tokens for point in points) / unique
    if most > 1.005:
        notes.append(
            f"The text has {unique:,} tokens, so the longest run reads it {most:.1f} times."
            + (
                " Beyond about four times, repeats are worth less than new text and a law in "
                "tokens does not hold (Muennighoff et al. 2023)."
                if most > _REPEATS_THAT_COUNT
                else ""
            )
        )
    deviation = seed_deviation(points)
    if deviation is None:
        notes.append("One seed each: how much of a difference is chance is not known.")
    else:
        notes.append(
            f"Seeds of one setting lie {deviation.value:.3g} nats apart (standard deviation, "
            f"{deviation.n} degrees of freedom)."
        )
    return notes


def millions(parameters: float) -> str:
    """A size as a name: 0.29 M."""
    return f"{parameters / 1e6:.3g} M"
