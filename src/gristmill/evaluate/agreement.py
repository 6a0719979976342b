"""How far a judge agrees with reference labels, people's or a rule's, and whether length misleads
it where it does not.

Accuracy counts pairs on which the reference decides, a tie of the judge's as half right. Cohen's
kappa (1960) is over win, tie and loss, corrected for chance. A judge that likes length is right
more often where the better answer is the longer one than where it is the shorter: both are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gristmill.core.figure import Figure, Table, all_equal
from gristmill.core.seeds import derive_seed

Floats = NDArray[np.float64]
RESAMPLES = 1000
# Rows of resampled places held at once: 32 MB.
_CELLS = 1 << 22


@dataclass(frozen=True)
class LengthBin:
    """Pairs whose lengths differ by at least `least` and at most `most` characters."""

    least: int
    most: int
    accuracy: Figure
    judge_longer: Figure
    reference_longer: Figure


@dataclass(frozen=True)
class Agreement:
    """accuracy, kappa: see the top of the file. judge_longer, reference_longer: of the pairs that
    each decides, and whose lengths differ, the share given to the longer answer. when_longer,
    when_shorter: accuracy where the reference prefers the longer, the shorter answer. confusion:
    pairs by reference (rows: win, tie, loss) and judge (columns). unread: pairs that the judge or
    the reference left without a verdict."""

    accuracy: Figure
    kappa: Figure
    judge_longer: Figure
    reference_longer: Figure
    when_longer: Figure
    when_shorter: Figure
    by_length: list[LengthBin]
    confusion: tuple[tuple[int, ...], ...]
    unread: int


def agreement(
    judge_P: Sequence[float] | Floats,
    reference_P: Sequence[float] | Floats,
    delta_P: Sequence[float] | Floats,
    *,
    groups: Sequence[str] | None = None,
    bins: int = 3,
    seed: int = 0,
) -> Agreement:
    """Agreement over P pairs.

    judge_P, reference_P: preference for the second answer in [0, 1], nan where there is none.
    delta_P: length of the second answer less that of the first. groups: which pairs share a
    prompt; intervals draw prompts, not pairs.
    """
    judge, reference = np.asarray(judge_P, float), np.asarray(reference_P, float)
    delta = np.asarray(delta_P, float)
    read = ~(np.isnan(judge) | np.isnan(reference))
    group = np.arange(len(judge)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sides = np.sign(judge[read] - 0.5).astype(int), np.sign(reference[read] - 0.5).astype(int)
    ours, theirs = sides
    longer, group = np.sign(delta[read]).astype(int), group[read]
    right = np.where(
        theirs == 0, math.nan, np.where(ours == 0, 0.5, (ours == theirs).astype(float))
    )

    def share(values: Floats, kept: NDArray[np.bool_]) -> Figure:
        return bootstrap_mean(np.where(kept, values, math.nan), seed, group, share=True)

    def to_longer(side: NDArray[np.int64], kept: NDArray[np.bool_]) -> Figure:
        return share((side == longer).astype(float), kept & (side != 0) & (longer != 0))

    everywhere = np.ones(len(ours), dtype=bool)
    decided = (theirs != 0) & (longer != 0)
    size = np.abs(delta[read])
    binned = []
    for low, high in _edges(size[size > 0], bins):
        kept = (size >= low) & (size <= high) & (longer != 0)
        binned.append(
            LengthBin(
                int(low),
                int(high),
                share(right, kept),
                to_longer(ours, kept),
                to_longer(theirs, kept),
            )
        )
    order = (1, 0, -1)
    confusion = tuple(
        tuple(int(((theirs == row) & (ours == column)).sum()) for column in order) for row in order
    )
    return Agreement(
        share(right, everywhere),
        _kappa_figure(ours, theirs, group, seed),
        to_longer(ours, everywhere),
        to_longer(theirs, everywhere),
        share(right, decided & (theirs == longer)),
        share(right, decided & (theirs == -longer)),
        binned,
        confusion,
        int((~read).sum()),
    )


def cohens_kappa(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """(agreement - chance) / (1 - chance) over -1, 0 and 1 (Cohen 1960); nan where chance is 1."""
    if not len(ours):
        return math.nan
    observed = float((ours == theirs).mean())
    chance = sum(float((ours == c).mean()) * float((theirs == c).mean()) for c in (-1, 0, 1))
    return (observed - chance) / (1 - chance) if chance < 1 else math.nan


def bootstrap_mean(
    values_N: Sequence[float] | Floats,
    seed: int = 0,
    groups_N: NDArray[np.int64] | None = None,
    *,
    share: bool = False,
) -> Figure:
    """The mean of what is not nan, with a 95% percentile bootstrap over groups (Efron 1979).

    share: the values are shares, whose interval is Wilson's where all of them are 0 or 1.
    """
    values = np.asarray(values_N, dtype=np.float64)
    known = ~np.isnan(values)
    count = int(known.sum())
    if not count:
        return Figure(math.nan, n=0)
    group = np.arange(len(values)) if groups_N is None else groups_N
    _, place = np.unique(group[known], return_inverse=True)
    sums_G = np.bincount(place, weights=values[known])
    sizes_G = np.bincount(place).astype(np.float64)
    mean = float(values[known].mean())
    if len(sums_G) < 2:
        return Figure(mean, n=count)
    if len(set(values[known].tolist())) == 1:
        return all_equal(mean, len(sums_G), count, share=share)

    def means(draws_RG: NDArray[np.int64]) -> Floats:
        found: Floats = (draws_RG @ sums_G) / (draws_RG @ sizes_G)
        return found

    low, high = _percentiles(means, len(sums_G), seed)
    return Figure(mean, low, high, count)


def agreement_table(found: Agreement, judge: str, reference: str) -> Table:
    """Agreement, and what length does to it."""
    rows: list[list[object]] = [
        ["all pairs", found.accuracy, found.judge_longer, found.reference_longer],
        ["longer is better", found.when_longer, "", ""],
        ["shorter is better", found.when_shorter, "", ""],
    ]
    for one in found.by_length:
        name = f"{one.least}-{one.most} letters apart"
        rows.append([name, one.accuracy, one.judge_longer, one.reference_longer])
    kappa = "not defined" if math.isnan(found.kappa.value) else str(found.kappa)
    return Table(
        f"Agreement of {judge} with {reference}",
        ["pairs", "agreement", "judge picks the longer", "reference picks the longer"],
        rows,
        note=f"Cohen's kappa over win, tie and loss: {kappa}. Agreement: pairs that the reference "
        "decides, a tie of the judge's counts half; 95% by bootstrap over prompts. The last rows: "
        "by the difference of the two lengths.",
    )


def _kappa_figure(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], group: NDArray[np.int64], seed: int
) -> Figure:
    value = cohens_kappa(ours, theirs)
    if math.isnan(value):
        return Figure(value, n=len(ours))
    names, place = np.unique(group, return_inverse=True)
    # Counts of each (ours, theirs) cell in each group: a draw of groups is a sum of these.
    cells_GX = np.zeros((len(names), 9))
    np.add.at(cells_GX, (place, (ours + 1) * 3 + theirs + 1), 1.0)
    if len(names) < 2:
        return Figure(value, n=len(ours))

    def kappas(draws_RG: NDArray[np.int64]) -> Floats:
        table_R33 = (draws_RG @ cells_GX).reshape(-1, 3, 3)
        table_R33 = table_R33 / table_R33.sum(axis=(1, 2), keepdims=True)
        observed_R = np.trace(table_R33, axis1=1, axis2=2)
        chance_R = (table_R33.sum(axis=1) * table_R33.sum(axis=2)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (observed_R - chance_R) / (1 - chance_R)
        return found

    low, high = _percentiles(kappas, len(names), seed)
    return Figure(value, low, high, len(ours))


def _percentiles(
    statistic: Callable[[NDArray[np.int64]], Floats], groups: int, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(derive_seed(seed, "prompts"))
    portion = max(1, _CELLS // groups)
    parts = []
    for start in range(0, RESAMPLES, portion):
        size = min(portion, RESAMPLES - start)
        parts.append(statistic(rng.multinomial(groups, np.full(groups, 1 / groups), size=size)))
    low, high = np.nanpercentile(np.concatenate(parts), [2.5, 97.5])
    return float(low), float(high)


def _edges(sizes: Floats, bins: int) -> list[tuple[float, float]]:
    """Ranges of about equally many lengths each, without overlap; fewer where there are few."""
    different = np.unique(sizes)
    if not len(different):
        return []
    cuts = np.quantile(sizes, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(cuts, different, side="left")
    return [
        (float(different[place == one].min()), float(different[place == one].max()))
        for one in np.unique(place)
    ]
