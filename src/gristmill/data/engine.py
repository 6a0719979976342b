"""Runs a function over batches of documents in worker processes that may be killed.

Pages of the web hang parsers, exhaust memory and crash native code, so a worker has a limit on
time and on memory and is killed when it passes one. A batch that fails is run again item by item,
and an item that fails alone is quarantined with its reason. Results come back in input order and
do not depend on the number of workers.

Each worker has its own pipe and the parent waits on pipes and process handles together: a killed
worker is noticed at once and can hold no lock that the others need (pools that share one queue
wait for a dead worker's lock).
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from gristmill.core.errors import GristmillError, Retryable
from gristmill.data.engine_worker import error_of, serve

_POLL_S = 0.1
_PATIENCE = 10  # times the limit, for work that a busy machine keeps from its processor
_START_TRIES = 4


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

    def items(self) -> list[Any]:
        """One entry an item, for functions that return a sequence: its result or its Failure."""
        out: list[Any] = [None] * self.size
        for start, piece in self.pieces:
            out[start : start + len(piece)] = piece
        for failure in self.failures:
            out[failure.position] = failure
        return out


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
    seconds_per_item: an item that takes longer alone is quarantined. A whole batch has
        `seconds_per_item * (1 + log2(size))` before it is cut up. What counts is wall time, but
        for a worker that wants to run and is not let: that is the machine's fault.
    memory_bytes: what a worker may use above what it uses when it is ready to start.
    retries: how often work is tried again whose worker was killed from outside.
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
        return _in_process(function, batches, setup)
    limits = _Limits(
        seconds_per_item if isolate else math.inf, memory_bytes if isolate else None, retries
    )
    return _Pool(function, setup, limits, workers, by_item).run(batches)


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
        size = len(batch)
        pieces: list[tuple[int, Any]] = []
        failures: list[Failure] = []
        try:
            pieces.append((0, _checked(function(batch), size)))
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
                    pieces.append((position, _checked(one, 1)))
        yield BatchResult(index, size, pieces, failures)


def _checked(result: Any, size: int) -> Any:
    if len(result) != size:
        raise RuntimeError(f"the function returned {len(result)} results for {size} items")
    return result


@dataclass(frozen=True)
class _Limits:
    seconds_per_item: float
    memory_bytes: int | None
    retries: int

    def seconds(self, size: int) -> float:
        return self.seconds_per_item * (1 + math.log2(max(1, size)))


@dataclass
class _Task:
    """A slice of a batch that is to be run; `strikes` counts the workers that it has cost."""

    batch: int
    start: int
    stop: int
    strikes: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass
class _Open:
    """A batch that is not finished: its items and what came back so far."""

    batch: Any
    missing: int
    pieces: list[tuple[int, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    at: Any
    """Shared with the worker: which item of its task it is at."""
    task: _Task | None = None
    ready: bool = False
    resident: int = 0
    began: float = 0.0
    cpu: float = 0.0
    seen: int = 0


class _Pool:
    def __init__(
        self,
        function: Callable[[Any], Any],
        setup: Callable[[], None] | None,
        limits: _Limits,
        workers: int,
        by_item: bool,
    ):
        self._payload = pickle.dumps((function, setup, by_item))
        self._by_item = by_item
        self._limits = limits
        self._wanted = workers
        # spawn on every system: fork copies locks that other threads hold.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._queue: deque[_Task] = deque()
        self._open: dict[int, _Open] = {}
        self._failed_starts = 0
        self._next_look = 0.0

    def run(self, batches: Iterable[Any]) -> Iterator[BatchResult]:
        source: Iterator[tuple[int, Any]] = enumerate(batches)
        exhausted = False
        due = 0
        try:
            while True:
                while not exhausted and len(self._open) < 4 * self._wanted:
                    following = next(source, None)
                    if following is None:
                        exhausted = True
                        break
                    index, batch = following
                    size = len(batch)
                    self._open[index] = _Open(batch, size)
                    if size:
                        self._queue.append(_Task(index, 0, size))
                while due in self._open and self._open[due].missing == 0:
                    yield _finished(due, self._open.pop(due))
                    due += 1
                if exhausted and not self._open:
                    return
                if self._queue or any(worker.task for worker in self._workers):
                    self._hand_out()
                    self._collect()
        finally:
            for worker in list(self._workers):
                self._end(worker)

    def _hand_out(self) -> None:
        idle = [worker for worker in self._workers if worker.ready and worker.task is None]
        for worker in idle:
            if not self._queue:
                return
            task = self._queue.popleft()
            worker.task = task
            worker.at.value = 0
            self._start_clock(worker, time.monotonic())
            # Where it died meanwhile, its handle tells in the next round.
            with contextlib.suppress(OSError):
                worker.pipe.send(self._open[task.batch].batch[task.start : task.stop])
        starting = sum(1 for worker in self._workers if not worker.ready)
        room = self._wanted - len(self._workers)
        for _ in range(min(room, len(self._queue) - starting)):
            self._start()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        at = self._context.RawValue("q", 0)
        process = self._context.Process(
            target=serve, args=(theirs, self._payload, self._limits.memory_bytes, at), daemon=True
        )
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, at))

    def _collect(self) -> None:
        """Waits for something to happen and deals with all of it."""
        handles: list[Any] = []
        for worker in self._workers:
            handles += [worker.pipe, worker.process.sentinel]
        happened = set(wait(handles, timeout=_POLL_S))
        now = time.monotonic()
        look = now >= self._next_look
        if look:
            self._next_look = now + _POLL_S
        for worker in list(self._workers):
            # The pipe first: a worker may have answered and then ended.
            if worker.pipe in happened or worker.process.sentinel in happened:
                self._hear(worker)
            elif look and self._too_slow(worker, now):
                self._lose(worker, f"time: over {self._limits.seconds_per_item:g} s")
            elif look and self._too_big(worker):
                self._lose(worker, self._memory_reason())

    def _hear(self, worker: _Worker) -> None:
        try:
            if not worker.pipe.poll():
                raise EOFError
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        kind, task = message[0], worker.task
        if kind == "ready":
            worker.ready, worker.resident = True, message[1]
            self._failed_starts = 0
        elif kind == "broken":
            _reraise(message)
        elif kind == "memory":
            self._lose(worker, self._memory_reason())
        elif kind == "done":
            assert task is not None
            opened = self._open[task.batch]
            opened.pieces.append((task.start, _checked(message[1], task.size)))
            opened.missing -= task.size
            worker.task = None
        else:
            assert task is not None
            if isinstance(message[1], GristmillError):
                raise message[1]
            worker.task = None
            # The same input raises the same error again: no retry of a single item.
            if task.size > 1 and self._by_item:
                self._cut_around(task, worker.at.value, 0)
            elif task.size > 1:
                self._cut_up(task, 0)
            else:
                self._quarantine(task, f"error: {message[1]}")

    def _died(self, worker: _Worker) -> None:
        worker.process.join()
        code = worker.process.exitcode
        if not worker.ready:
            self._end(worker)
            self._failed_starts += 1
            if self._failed_starts >= _START_TRIES:
                raise Retryable(
                    f"{_START_TRIES} workers in a row ended at their start ({_exit(code)})",
                    mend="look for what kills them (memory, a job's limits) and run again",
                )
            return
        killed = code is not None and code in (-signal.SIGTERM, -getattr(signal, "SIGKILL", 9))
        self._lose(worker, f"died: {_exit(code)}", killed_from_outside=killed)

    def _lose(self, worker: _Worker, reason: str, killed_from_outside: bool = False) -> None:
        """Ends the worker and tries its work again, or gives it up."""
        task = worker.task
        self._end(worker)
        if task is None:
            return
        strikes = task.strikes + 1
        if task.size > 1 and self._by_item:
            self._cut_around(task, worker.at.value, strikes)
        elif task.size > 1:
            self._cut_up(task, strikes)
        elif strikes > (self._limits.retries if killed_from_outside else 1):
            self._quarantine(task, reason)
        else:
            self._queue.appendleft(_Task(task.batch, task.start, task.stop, strikes))

    def _cut_up(self, task: _Task, strikes: int) -> None:
        self._queue.extendleft(
            _Task(task.batch, position, position + 1, strikes)
            for position in reversed(range(task.start, task.stop))
        )

    def _cut_around(self, task: _Task, at: int, strikes: int) -> None:
        """The item `at` alone, and what stands before and after it, which it is not to cost."""
        guilty = min(task.start + at, task.stop - 1)
        pieces = [
            _Task(task.batch, task.start, guilty, task.strikes),
            _Task(task.batch, guilty, guilty + 1, strikes),
            _Task(task.batch, guilty + 1, task.stop, task.strikes),
        ]
        self._queue.extendleft(piece for piece in reversed(pieces) if piece.size)

    def _quarantine(self, task: _Task, reason: str) -> None:
        opened = self._open[task.batch]
        opened.failures.append(Failure(task.start, reason))
        opened.missing -= 1

    def _start_clock(self, worker: _Worker, now: float) -> None:
        worker.began, worker.seen = now, worker.at.value
        worker.cpu = _cpu_seconds(worker)[0] if self._limits.seconds_per_item < math.inf else 0.0

    def _too_slow(self, worker: _Worker, now: float) -> bool:
        if worker.task is None or self._limits.seconds_per_item == math.inf:
            return False
        if self._by_item and worker.at.value != worker.seen:
            self._start_clock(worker, now)
            return False
        limit = self._limits.seconds(1 if self._by_item else worker.task.size)
        spent = now - worker.began
        if spent <= limit:
            return False
        cpu, runnable = _cpu_seconds(worker)
        return not runnable or cpu - worker.cpu > limit or spent > _PATIENCE * limit

    def _too_big(self, worker: _Worker) -> bool:
        if self._limits.memory_bytes is None or worker.task is None:
            return False
        import psutil

        try:
            resident = int(psutil.Process(worker.process.pid).memory_info().rss)
        except psutil.Error:
            return False
        return resident > worker.resident + self._limits.memory_bytes

    def _memory_reason(self) -> str:
        return f"memory: over {(self._limits.memory_bytes or 0) >> 20} MB"

    def _end(self, worker: _Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()


def _finished(index: int, opened: _Open) -> BatchResult:
    return BatchResult(
        index,
        len(opened.batch),
        sorted(opened.pieces, key=lambda piece: piece[0]),
        sorted(opened.failures, key=lambda failure: failure.position),
    )


def _cpu_seconds(worker: _Worker) -> tuple[float, bool]:
    """Processor time that a worker has used, and whether it would run if it were let."""
    import psutil

    try:
        process = psutil.Process(worker.process.pid)
        times = process.cpu_times()
        waits = process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
    except psutil.Error:
        return 0.0, False
    return float(times.user + times.system), waits


def _reraise(message: Sequence[Any]) -> None:
    _, error, trace = message
    if isinstance(error, GristmillError):
        raise error
    raise RuntimeError(f"a worker process could not start: {error}\n{trace}")


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
