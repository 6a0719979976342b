"""One rule's outcome on a batch of documents, and the verdict from all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Check:
    """A rule on n documents: `value` float64 [n] is what was measured, `failed` bool [n]."""

    reason: str
    value: Floats
    sign: str
    """How value and limit stand to each other where the rule fails, such as '<'."""
    limit: float
    failed: Flags
    applies: Flags | None = None
    """Which documents the rule judges; None for all."""
    say: Callable[[int], str] | None = None
    """The detail of a row, for a rule that is not a number against a limit."""

    def detail(self, row: int) -> str:
        """`words 37 < 50`, without the group's name."""
        if self.say is not None:
            return self.say(row)
        name = self.reason.partition(".")[2] or self.reason
        return f"{name} {self.value[row]:.4g} {self.sign} {self.limit:g}"


@dataclass(frozen=True)
class Verdicts:
    """For each document: the first reason and its detail, and all reasons; None and [] if kept."""

    reason: list[str | None]
    detail: list[str | None]
    all_reasons: list[list[str]]

    @property
    def keep(self) -> Flags:
        return np.array([reason is None for reason in self.reason], dtype=np.bool_)


def below(
    reason: str, value: npt.NDArray[np.number], limit: float | None, *, strict: bool = True
) -> list[Check]:
    """Fails where value < limit (<= where not strict); no check where limit is None."""
    if limit is None:
        return []
    measured: Floats = value.astype(np.float64)
    return [
        Check(reason, measured, "<", limit, measured < limit)
        if strict
        else Check(reason, measured, "<=", limit, measured <= limit)
    ]


def above(
    reason: str, value: npt.NDArray[np.number], limit: float | None, *, strict: bool = True
) -> list[Check]:
    """Fails where value > limit (>= where not strict); no check where limit is None."""
    if limit is None:
        return []
    measured: Floats = value.astype(np.float64)
    return [
        Check(reason, measured, ">", limit, measured > limit)
        if strict
        else Check(reason, measured, ">=", limit, measured >= limit)
    ]


def ratio(part: npt.NDArray[np.integer], whole: npt.NDArray[np.integer]) -> Floats:
    """part / whole; 0 where the whole is 0."""
    return np.divide(
        part, whole, out=np.zeros(len(part), dtype=np.float64), where=np.asarray(whole) != 0
    )


def only_where(condition: Flags, checks: Sequence[Check]) -> list[Check]:
    """The checks, failing only where the condition holds as well."""
    return [
        replace(
            check,
            failed=check.failed & condition,
            applies=condition if check.applies is None else check.applies & condition,
        )
        for check in checks
    ]


def verdicts(checks: Sequence[Check], count: int) -> Verdicts:
    """The verdict on `count` documents from checks in their order."""
    reason: list[str | None] = [None] * count
    detail: list[str | None] = [None] * count
    every: list[list[str]] = [[] for _ in range(count)]
    if checks:
        rows, numbers = np.nonzero(np.stack([check.failed for check in checks], axis=1))
        for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
            check = checks[number]
            if reason[row] is None:
                reason[row], detail[row] = check.reason, check.detail(row)
            every[row].append(check.reason)
    return Verdicts(reason, detail, every)
