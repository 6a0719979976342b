"""What an item may cost, and what is told of one that cost more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What an item may cost a worker process.

    seconds_per_item: an item that takes longer alone is quarantined; several have
        `seconds_per_item * (1 + log2(number))` together. What counts is wall time, but for a
        worker that wants to run and is not let: that is the machine's fault.
    memory_bytes: what a worker may use above what it uses when it is ready to start.
    retries: how often work is tried again whose worker was killed from outside.
    """

    seconds_per_item: float = 5.0
    memory_bytes: int | None = 512 << 20
    retries: int = 3

    def seconds(self, size: int) -> float:
        """What `size` items have together."""
        return self.seconds_per_item * (1 + math.log2(max(1, size)))


@dataclass(frozen=True)
class Failure:
    """An item that could not be processed. `position` counts within its batch; `reason` begins
    with 'error', 'time', 'memory' or 'died' and names no process or clock."""

    position: int
    reason: str


@dataclass(frozen=True)
class BatchResult:
    """What became of one batch: the function's results for slices of it, in order, and the items
    that are in quarantine."""

    index: int
    size: int
    pieces: list[tuple[int, Any]]
    failures: list[Failure]
    finished: Any = None
    """Of a part whose worker finished it: what it told; there are no pieces then."""

    def items(self) -> list[Any]:
        """One entry an item, for functions that return a sequence: its result or its Failure."""
        out: list[Any] = [None] * self.size
        for start, piece in self.pieces:
            out[start : start + len(piece)] = piece
        for failure in self.failures:
            out[failure.position] = failure
        return out
