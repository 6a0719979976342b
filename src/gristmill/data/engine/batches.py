"""Runs a function over batches in worker processes; results come back in input order and do not
depend on the number of workers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.data.engine.limits import BatchResult, Failure, Limits
from gristmill.data.engine.pool import Pool
from gristmill.data.engine.tasks import checked
from gristmill.data.engine.worker import AtOnce, OneByOne, error_of, job_of


def map_batches(
    function: Callable[[Any], Any],
    batches: Iterable[Any],
    *,
    workers: int,
    seconds_per_item: float = 5.0,
    memory_bytes: int = 512 << 20,
    retries: int = 3,
    isolate: bool = True,
    by_item: bool = False,
    setup: Callable[[], None] | None = None,
) -> Iterator[BatchResult]:
    """Yields a BatchResult for each batch, in input order.

    function: importable by name (a module's function, a functools.partial of one, or an instance
        of a module's class with `__call__`). It takes a batch and returns as many results, each
        depending on its own item alone: a batch may be run again in other slices.
    batches: lists, Arrow tables or anything with `len` and slices; read lazily, at most
        4 * workers ahead.
    seconds_per_item, memory_bytes, retries: as in `Limits`. A whole batch has
        `seconds_per_item * (1 + log2(size))` before it is cut up.
    isolate: False for cheap trusted functions: with one worker they run in this process, and
        neither time nor memory is limited.
    by_item: batches are lists, and workers give `function` one item after the other: each has
        its own clock, and the one that costs a worker is known at once. For items that cost much
        more than a call.
    setup: run once in each worker before the first batch and before memory is measured.

    Raises GristmillError raised by `function` or `setup` (a user's mistake, not a bad record),
    RuntimeError where a worker cannot start or `function` breaks its contract, Retryable where
    workers are killed again and again before they begin.
    """
    if workers < 1:
        raise ValueError("workers must be at least 1")
    if workers == 1 and not isolate:
        yield from _in_process(function, batches, setup)
        return
    limits = Limits(
        seconds_per_item if isolate else math.inf, memory_bytes if isolate else None, retries
    )
    runner = OneByOne(function) if by_item else AtOnce(function)
    with Pool(job_of(runner, setup), limits, workers, stride=1 if by_item else None) as pool:
        yield from pool.run(batches)


def in_batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _in_process(
    function: Callable[[Any], Any], batches: Iterable[Any], setup: Callable[[], None] | None
) -> Iterator[BatchResult]:
    if setup is not None:
        setup()
    for index, batch in enumerate(batches):
        pieces, failures = apply_here(function, batch)
        yield BatchResult(index, len(batch), pieces, failures)


def apply_here(
    function: Callable[[Any], Any], batch: Any
) -> tuple[list[tuple[int, Any]], list[Failure]]:
    """The function's results for a batch in this process: all of it, or item by item where that
    fails."""
    size = len(batch)
    pieces: list[tuple[int, Any]] = []
    failures: list[Failure] = []
    try:
        pieces.append((0, checked(function(batch), size)))
    except GristmillError:
        raise
    except Exception:
        for position in range(size):
            try:
                one = function(batch[position : position + 1])
            except GristmillError:
                raise
            except Exception as error:
                failures.append(Failure(position, f"error: {error_of(error)}"))
            else:
                pieces.append((position, checked(one, 1)))
    return pieces, failures
