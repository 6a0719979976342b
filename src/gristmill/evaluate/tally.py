"""Battles counted, and whom they connect: who can be rated at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gristmill.evaluate.arena import Battle

Floats = NDArray[np.float64]
Bound = Literal["", "above", "below", "apart"]


@dataclass(frozen=True)
class Tally:
    """Counts of unique cells. cells_CX: places of the two models and the outcome (0: the first
    won, 1: the second, 2: a tie); the first's place is the smaller one. counts_C: how many."""

    models: tuple[str, ...]
    cells_CX: NDArray[np.int64]
    counts_C: Floats


def tally(battles: Sequence[Battle]) -> Tally:
    """Unique (pair, outcome) counts. both_bad counts as a tie."""
    found: Counter[tuple[str, str, int]] = Counter()
    for battle in battles:
        a, b = battle.model_a, battle.model_b
        outcome = {"a": 0, "b": 1}.get(battle.winner, 2)
        if a > b:
            a, b, outcome = b, a, (1, 0, 2)[outcome]
        found[a, b, outcome] += 1
    models = tuple(sorted({name for a, b, _ in found for name in (a, b)}))
    place = {name: index for index, name in enumerate(models)}
    cells = sorted(found)
    return Tally(
        models,
        np.array([(place[a], place[b], o) for a, b, o in cells], dtype=np.int64).reshape(-1, 3),
        np.array([found[cell] for cell in cells], dtype=np.float64),
    )


def bounds(counted: Tally, counts_C: Floats) -> list[Bound]:
    """How the battles bound each model's rating; counts_C: in place of the tally's own.

    `""` for the models of the rated group: the largest in which everyone can be reached from
    everyone over wins and ties, the condition for finite ratings (Ford 1957).
    """
    beaten = _beaten(counted, counts_C)
    _, group_M = connected_components(beaten, directed=True, connection="strong")
    played_M = np.zeros(len(counted.models))
    for column in (0, 1):
        np.add.at(played_M, counted.cells_CX[:, column], counts_C)
    sizes = np.bincount(group_M)
    # The larger group; of equal ones the one that played more, then the first by name.
    order = sorted(
        range(len(sizes)),
        key=lambda g: (-sizes[g], -played_M[group_M == g].sum(), int(np.argmax(group_M == g))),
    )
    rated = group_M == order[0]
    above = _reach(beaten, rated, backwards=True)
    below = _reach(beaten, rated, backwards=False)
    return [
        "" if i else "above" if a else "below" if b else "apart"
        for i, a, b in zip(rated, above, below, strict=True)
    ]


def groups(counted: Tally) -> list[list[str]]:
    """The models that battles connect, largest group first."""
    first, second, _ = counted.cells_CX.T
    edges = coo_array((np.ones(len(first)), (first, second)), shape=(len(counted.models),) * 2)
    number, group_M = connected_components(edges, directed=False)
    found = [
        [m for m, g in zip(counted.models, group_M, strict=True) if g == one]
        for one in range(number)
    ]
    return sorted(found, key=lambda group: (-len(group), group))


def _beaten(counted: Tally, counts_C: Floats) -> NDArray[np.int8]:
    """[i, j] is 1 where i won against j or tied with it."""
    first, second, outcome = counted.cells_CX[counts_C > 0].T
    beaten = np.zeros((len(counted.models),) * 2, dtype=np.int8)
    beaten[first[outcome != 1], second[outcome != 1]] = 1
    beaten[second[outcome != 0], first[outcome != 0]] = 1
    return beaten


def _reach(
    beaten: NDArray[np.int8], start: NDArray[np.bool_], *, backwards: bool
) -> NDArray[np.bool_]:
    edges = beaten.T if backwards else beaten
    reached = start.copy()
    while True:
        grown = reached | (edges[reached].sum(axis=0) > 0)
        if (grown == reached).all():
            return reached & ~start
        reached = grown
