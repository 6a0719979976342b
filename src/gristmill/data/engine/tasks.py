"""Work that is handed to workers, and how it is divided when it costs one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gristmill.data.engine.limits import BatchResult, Failure


def checked(result: Any, size: int) -> Any:
    """The result, where it has one entry an item. Raises RuntimeError."""
    if len(result) != size:
        raise RuntimeError(f"the function returned {len(result)} results for {size} items")
    return result


@dataclass
class Task:
    """A slice of a batch that is to be run; `strikes` counts the workers that it has cost."""

    batch: int
    start: int
    stop: int
    strikes: int = 0
    whole: bool = False
    """A part that its worker is to finish."""

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass
class Open:
    """A batch that is not finished: its items and what came back so far."""

    batch: Any
    missing: int
    pieces: list[tuple[int, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    with_worker: bool = False
    """A worker is to finish it."""
    finished: Any = None

    @property
    def done(self) -> bool:
        """Whether nothing of it is missing."""
        return self.missing == 0 and not self.with_worker

    def result(self, index: int) -> BatchResult:
        """What became of it, in order."""
        return BatchResult(
            index,
            len(self.batch),
            sorted(self.pieces, key=lambda piece: piece[0]),
            sorted(self.failures, key=lambda failure: failure.position),
            self.finished,
        )


def divided(task: Task, at: int, stride: int | None, strikes: int) -> list[Task]:
    """The task in pieces, in order; none where it is a single item.

    at: the item at which the worker was. stride: how many it was at; None where that is not
    known, and each item stands alone then. strikes: of those that may be guilty; the others keep
    what they have.
    """
    if task.size < 2:
        return []
    if stride is None or task.size <= stride:
        return [
            Task(task.batch, position, position + 1, strikes)
            for position in range(task.start, task.stop)
        ]
    guilty = min(task.start + at, task.stop - 1)
    after = min(guilty + stride, task.stop)
    pieces = [
        Task(task.batch, task.start, guilty, task.strikes),
        Task(task.batch, guilty, after, strikes),
        Task(task.batch, after, task.stop, task.strikes),
    ]
    return [piece for piece in pieces if piece.size]
