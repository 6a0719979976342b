"""Worker processes that may be killed, and what becomes of the work of those that were.

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
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from gristmill.core.errors import GristmillError, Retryable
from gristmill.data.engine.limits import BatchResult, Failure, Limits
from gristmill.data.engine.tasks import Open, Task, checked, divided
from gristmill.data.engine.worker import LOADING, Finished, serve

_POLL_S = 0.1
_PATIENCE = 10  # times the limit, for work that a busy machine keeps from its processor
_START_TRIES = 4


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    at: Any
    """Shared with the worker: which item of its task it is at."""
    task: Task | None = None
    ready: bool = False
    resident: int = 0
    began: float = 0.0
    cpu: float = 0.0
    seen: int = 0


class Pool:
    """Worker processes for one job (`worker.job_of`); a context, which ends them.

    stride: how many items at a time the runner is at, for one that tells so; None for one that
    does not. parts: batches are parts of a document set, which a worker reads and finishes.
    """

    def __init__(
        self,
        job: bytes,
        limits: Limits,
        workers: int,
        *,
        stride: int | None = None,
        parts: bool = False,
    ):
        self._job = job
        self._stride, self._parts = stride, parts
        self._limits = limits
        self._wanted = workers
        # spawn on every system: fork copies locks that other threads hold.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._queue: deque[Task] = deque()
        self._open: dict[int, Open] = {}
        self._failed_starts = 0
        self._started = False
        self._next_look = 0.0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers."""
        for worker in list(self._workers):
            self._end(worker)

    def run(self, batches: Iterable[Any]) -> Iterator[BatchResult]:
        """What became of each batch, in order. After an error, or where the reader stops before
        the end, the pool can only be closed."""
        source: Iterator[tuple[int, Any]] = enumerate(batches)
        exhausted = False
        due = 0
        while True:
            while not exhausted and len(self._open) < 4 * self._wanted:
                following = next(source, None)
                if following is None:
                    exhausted = True
                    break
                index, batch = following
                size = len(batch)
                self._open[index] = Open(batch, size, with_worker=self._parts)
                if size or self._parts:
                    self._queue.append(Task(index, 0, size, whole=self._parts))
                    self._hand_out()
            while due in self._open and self._open[due].done:
                yield self._open.pop(due).result(due)
                due += 1
            if exhausted and not self._open:
                return
            if self._queue or any(worker.task for worker in self._workers):
                self._hand_out()
                self._collect()
                # What the reader does with a result must not keep a worker waiting.
                self._hand_out()

    def _hand_out(self) -> None:
        idle = [worker for worker in self._workers if worker.ready and worker.task is None]
        for worker in idle:
            if not self._queue:
                return
            task = self._queue.popleft()
            worker.task = task
            worker.at.value = LOADING if self._parts else 0
            self._start_clock(worker, time.monotonic())
            # Where it died meanwhile, its handle tells in the next round.
            with contextlib.suppress(OSError):
                batch = self._open[task.batch].batch[task.start : task.stop]
                worker.pipe.send((batch, task.whole))
        starting = sum(1 for worker in self._workers if not worker.ready)
        # The first compiles into the cache what the others then load: not all at the same time.
        wanted = 1 if self._parts and not self._started else self._wanted
        room = wanted - len(self._workers)
        for _ in range(min(room, len(self._queue) - starting)):
            self._start()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        at = self._context.RawValue("q", 0)
        process = self._context.Process(
            target=serve, args=(theirs, self._job, self._limits.memory_bytes, at), daemon=True
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
            self._failed_starts, self._started = 0, True
        elif kind == "broken":
            _reraise(message)
        elif kind == "memory":
            self._lose(worker, self._memory_reason())
        elif kind == "done":
            assert task is not None
            self._take(task, message[1])
            worker.task = None
        else:
            assert task is not None
            if isinstance(message[1], GristmillError):
                raise message[1]
            worker.task = None
            # The same input raises the same error again: no retry of a single item.
            if not self._divided(task, worker.at.value, 0):
                self._quarantine(task, f"error: {message[1]}")

    def _take(self, task: Task, result: Any) -> None:
        opened = self._open[task.batch]
        if task.whole:
            opened.with_worker = False
        if isinstance(result, Finished):
            opened.finished = result.told
        else:
            opened.pieces.append((task.start, checked(result, task.size)))
        opened.missing -= task.size

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
        strikes, at = task.strikes + 1, worker.at.value
        if self._parts and at == LOADING and strikes > self._limits.retries:
            what = f"a part costs {strikes} workers before its first document ({reason})"
            if killed_from_outside:
                raise Retryable(what, mend="look for what kills them and run again")
            raise GristmillError(what, mend="give workers more memory (memory_mb)")
        again = killed_from_outside and task.whole and strikes <= self._limits.retries
        if again or (self._parts and at == LOADING):
            self._queue.appendleft(replace(task, strikes=strikes))
        elif self._parts and at >= task.size:
            # It died while it wrote the part: we write it.
            self._open[task.batch].with_worker = False
            if task.size:
                self._queue.appendleft(replace(task, whole=False))
        elif self._divided(task, at, 0 if killed_from_outside and task.whole else strikes):
            pass
        elif strikes > (self._limits.retries if killed_from_outside else 1):
            self._quarantine(task, reason)
        else:
            self._queue.appendleft(replace(task, strikes=strikes, whole=False))

    def _divided(self, task: Task, at: int, strikes: int) -> bool:
        """Queues the task in pieces, so that a document costs no other; False for one item."""
        if task.whole:
            self._open[task.batch].with_worker = False
        pieces = divided(task, at, self._stride, strikes)
        self._queue.extendleft(reversed(pieces))
        return bool(pieces)

    def _quarantine(self, task: Task, reason: str) -> None:
        opened = self._open[task.batch]
        opened.failures.append(Failure(task.start, reason))
        opened.missing -= 1

    def _start_clock(self, worker: _Worker, now: float) -> None:
        worker.began, worker.seen = now, worker.at.value
        worker.cpu = _cpu_seconds(worker)[0] if self._limits.seconds_per_item < math.inf else 0.0

    def _too_slow(self, worker: _Worker, now: float) -> bool:
        if worker.task is None or self._limits.seconds_per_item == math.inf:
            return False
        size, at = worker.task.size, worker.at.value
        if self._stride is not None and at != worker.seen:
            self._start_clock(worker, now)
            return False
        if self._parts and not 0 <= at < size:
            return False  # It reads or writes the part, which may be far away.
        limit = self._limits.seconds(size if self._stride is None else min(self._stride, size))
        spent = now - worker.began
        if spent <= limit:
            return False
        cpu, runnable = _cpu_seconds(worker)
        late = not runnable or cpu - worker.cpu > limit or spent > _PATIENCE * limit
        # One that is done by now sleeps too, where the whole machine stood still for a while.
        return late and not worker.pipe.poll()

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
