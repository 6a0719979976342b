"""Steps over parts as tasks of a Ray cluster, one part each.

A task is told the name of its part. It runs it as this machine would, in a worker process of its
own that may be killed, which the Ray worker keeps for its next task; so time, memory, retries and
quarantine are the same. What the part tells comes back through Ray; the part itself is read from
and written to storage that all nodes see under the same path. A task whose node is lost runs again
on another, and writes the same bytes.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gristmill.core.errors import GristmillError
from gristmill.data.engine.limits import BatchResult, Limits
from gristmill.data.engine.local import told
from gristmill.data.engine.pool import Pool
from gristmill.data.engine.steps import P, Part, Q, Step, job_for
from gristmill.data.engine.worker import AtOnce, job_of

if TYPE_CHECKING:
    from gristmill.data.engine.exchange import Exchange

R = TypeVar("R")

# Nodes come and go (spot machines); a part that costs its worker is dealt with in the task.
_NODE_LOSSES = 20
# For each processor of the cluster: tasks that run or wait to; with them the parts that are done
# while an earlier one is not.
_AHEAD, _WINDOW = 3, 30
# Seconds in which a cluster must take a connection.
_ANSWERS_WITHIN = 10


@dataclass(frozen=True)
class RayEngine:
    """The cluster at `address` (`HOST:PORT`, `ray://HOST:PORT`); none: the one that RAY_ADDRESS
    names or this machine belongs to, or a new one of this machine alone."""

    address: str | None = None

    @property
    def elsewhere(self) -> bool:
        return True

    def run(
        self,
        step: Step[P],
        parts: Iterable[P],
        *,
        limits: Limits,
        isolate: bool = True,
        most_workers: int | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """What became of each part, in order; see `Engine`. Always isolated."""
        work = Work(job_for(step), pickle.dumps(step), step.at_once, limits)
        yield from self._tasks(run_part, work, parts)

    def map_batches(
        self,
        function: Callable[[Any], Any],
        batches: Iterable[Any],
        *,
        limits: Limits,
        setup: Callable[[], None] | None = None,
    ) -> Iterator[BatchResult]:
        """What became of each batch, in order; Ray brings it to its task. See `Engine`."""
        work = Work(job_of(AtOnce(function), setup), b"", None, limits)
        for index, found in enumerate(self._tasks(run_batch, work, batches)):
            yield replace(found, index=index)

    def _tasks(
        self, function: Callable[[Work, bytes], Any], work: Work, items: Iterable[Any]
    ) -> Iterator[Any]:
        """What the function returned for each of the items, a task each, in order."""
        with _connected(self.address) as ray:
            shared = ray.put(work)
            task = ray.remote(function).options(
                num_cpus=1, max_retries=_NODE_LOSSES, scheduling_strategy="SPREAD"
            )
            source = iter(items)
            waiting: deque[Any] = deque()
            running: list[Any] = []
            ended: set[Any] = set()
            try:
                while True:
                    room = max(1, int(ray.cluster_resources().get("CPU", 1)))
                    while len(running) < _AHEAD * room and len(waiting) < _WINDOW * room:
                        try:
                            item = next(source)
                        except StopIteration:
                            break
                        running.append(task.remote(shared, pickle.dumps(item)))
                        waiting.append(running[-1])
                    if not waiting:
                        return
                    if running:
                        done, running = ray.wait(running)
                        ended.update(done)
                    while waiting and waiting[0] in ended:
                        found = _result(ray, waiting[0])
                        ended.discard(waiting.popleft())
                        yield found
            finally:
                for one in waiting:
                    ray.cancel(one, force=True)

    def exchange(
        self,
        exchange: Exchange[Q],
        parts: Iterable[Q],
        scratch: Path,
        *,
        isolate: bool = True,
        most_workers: int | None = None,
    ) -> Iterator[Any]:
        """By Ray Data, which spills where its nodes do; see `Engine`."""
        from gristmill.data.engine.exchange_ray import exchange_on

        with _connected(self.address) as ray:
            yield from exchange_on(ray, exchange, parts)


@dataclass(frozen=True)
class Work:
    """What is the same for all tasks. The Ray worker itself need not load what the step imports,
    so `step` stays pickled unless a part is to be finished there; batches have none."""

    job: bytes
    step: bytes
    at_once: int | None
    limits: Limits


def run_part(work: Work, part: bytes) -> Mapping[str, Any] | GristmillError:
    """A task: what the part tells, or the error that ends the run."""
    return _in_kept_worker(work, lambda worker: worker.run(pickle.loads(part)))  # noqa: S301


def run_batch(work: Work, batch: bytes) -> BatchResult | GristmillError:
    """A task: what became of the batch, or the error that ends the run."""
    return _in_kept_worker(work, lambda worker: worker.result(pickle.loads(batch)))  # noqa: S301


def _in_kept_worker(work: Work, do: Callable[[_Worker], R]) -> R | GristmillError:
    try:
        return do(_kept_worker(work))
    except GristmillError as error:
        _end_kept_worker()
        return error
    except BaseException:
        _end_kept_worker()
        raise


class _Worker:
    """A pool of one process, which outlives a task: starting it costs a second."""

    def __init__(self, work: Work):
        self.work = work
        parts = bool(work.step)
        self._pool = Pool(work.job, work.limits, 1, stride=work.at_once, parts=parts)

    def result(self, batch: Any) -> BatchResult:
        with _without_main():
            (result,) = self._pool.run([batch])
        return result

    def run(self, part: Part) -> Mapping[str, Any]:
        result = self.result(part)
        if result.finished is not None:
            found: Mapping[str, Any] = result.finished
            return found
        return told(pickle.loads(self.work.step), part, result)  # noqa: S301

    def close(self) -> None:
        self._pool.close()


_kept: _Worker | None = None


def _kept_worker(work: Work) -> _Worker:
    global _kept
    if _kept is None or _kept.work != work:
        _end_kept_worker()
        _kept = _Worker(work)
    return _kept


def _end_kept_worker() -> None:
    global _kept
    if _kept is not None:
        _kept.close()
        _kept = None


@contextmanager
def _without_main() -> Iterator[None]:
    """A process that starts now does not import the program that started it: that is Ray's."""
    main = vars(sys.modules["__main__"])
    names: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(names)


def _result(ray: Any, reference: Any) -> Any:
    try:
        found = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise RuntimeError(f"a task of the cluster failed:\n{error}") from None
    except ray.exceptions.RayError as error:
        raise GristmillError(
            f"the Ray cluster lost a part of the work: {type(error).__name__}",
            where="--engine ray",
            mend="look at its nodes and memory (ray status) and run again; it goes on from here",
        ) from error
    if isinstance(found, GristmillError):
        raise found
    return found


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    # Ray reports what it is used for to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise GristmillError(
            "Ray is not installed", where="--engine ray", mend="pip install 'gristmill[ray]'"
        ) from None
    ours = not ray.is_initialized()
    if ours:
        _check_that_it_answers(address)
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="WARNING",
                include_dashboard=False if address is None else None,
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise GristmillError(
                f"no Ray cluster can be used: {str(error).splitlines()[0]}",
                where=f"--address {address}" if address else "--engine ray",
                mend="start one with ray start --head, of this Ray and this Python",
            ) from error
    # What Ray held back it prints when it is shut down.
    with redirect_stdout(_NodesTold()):
        try:
            yield ray
        finally:
            if ours:
                ray.shutdown()


def _check_that_it_answers(address: str | None) -> None:
    """Ray itself tries for minutes, and says nothing of use meanwhile."""
    if address is None or address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if not (host and port.isdigit()):
            raise ValueError("an address is HOST:PORT or ray://HOST:PORT")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_WITHIN).close()
    except (OSError, ValueError, OverflowError) as error:
        raise GristmillError(
            f"no Ray cluster answers: {error}",
            where=f"--address {address}",
            mend="start one with ray start --head, which prints its HOST:PORT",
        ) from error


class _NodesTold(io.TextIOBase):
    """Ray prints what happens to its nodes among the program's output: that goes to standard
    error, without the dumps of their state."""

    def write(self, text: str) -> int:
        lines = [line for line in text.splitlines(keepends=True) if "[state-dump]" not in line]
        return sys.stderr.write("".join(lines))

    def flush(self) -> None:
        sys.stderr.flush()
