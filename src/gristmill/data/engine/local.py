"""Steps over parts in worker processes of this machine; little work in this process."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.data.engine.batches import apply_here
from gristmill.data.engine.limits import BatchResult, Failure, Limits
from gristmill.data.engine.pool import Pool
from gristmill.data.engine.steps import P, Q, Step, assembled, job_for, read_part
from gristmill.data.engine.worker import AtOnce, job_of

if TYPE_CHECKING:
    from gristmill.data.engine.exchange import Exchange


@dataclass(frozen=True)
class LocalEngine:
    """At most `workers` processes."""

    workers: int

    @property
    def elsewhere(self) -> bool:
        return False

    def run(
        self,
        step: Step[P],
        parts: Iterable[P],
        *,
        limits: Limits,
        isolate: bool = True,
        most_workers: int | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """What became of each part, in order; see `Engine`."""
        workers = max(1, min(self.workers, most_workers or self.workers))
        if workers == 1 and not isolate:
            yield from _in_process(step, parts)
            return
        if not isolate:
            limits = Limits(math.inf, None, limits.retries)
        with Pool(job_for(step), limits, workers, stride=step.at_once, parts=True) as pool:
            ahead: deque[P] = deque()
            for result in pool.run(_noted(parts, ahead)):
                yield told(step, ahead.popleft(), result)

    def map_batches(
        self,
        function: Callable[[Any], Any],
        batches: Iterable[Any],
        *,
        limits: Limits,
        setup: Callable[[], None] | None = None,
    ) -> Iterator[BatchResult]:
        """What became of each batch, in order; see `Engine`."""
        with Pool(job_of(AtOnce(function), setup), limits, self.workers) as pool:
            yield from pool.run(batches)

    def exchange(
        self,
        exchange: Exchange[Q],
        parts: Iterable[Q],
        scratch: Path,
        *,
        isolate: bool = True,
        most_workers: int | None = None,
    ) -> Iterator[Any]:
        """Through files in `scratch`; see `Engine`."""
        from gristmill.data.engine.exchange_local import exchange_here

        yield from exchange_here(
            self, exchange, parts, scratch, isolate=isolate, most_workers=most_workers
        )


def told(step: Step[P], part: P, result: BatchResult) -> Mapping[str, Any]:
    """What a part tells: from its worker, or finished here where that was cut short."""
    if result.finished is not None:
        found: Mapping[str, Any] = result.finished
        return found
    return step.finish(
        part, assembled(step, result.size, result.pieces, result.failures), result.failures
    )


def _in_process(step: Step[P], parts: Iterable[P]) -> Iterator[Mapping[str, Any]]:
    for part in parts:
        documents = read_part(step, part)
        pieces: list[tuple[int, Any]] = []
        failures: list[Failure] = []
        for start in range(0, len(documents), step.at_once):
            found, failed = apply_here(step, documents.slice(start, step.at_once))
            pieces += [(start + position, piece) for position, piece in found]
            failures += [Failure(start + one.position, one.reason) for one in failed]
        yield step.finish(part, assembled(step, len(documents), pieces, failures), failures)


def _noted(parts: Iterable[P], ahead: deque[P]) -> Iterator[P]:
    for part in parts:
        ahead.append(part)
        yield part
