"""What a worker process of the engine does: wait for a task, run it, send the result.

Imports nothing but the standard library: what a worker loads is decided by the function it runs.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

# One thread in each worker: there are as many workers as cores to use. Arrow's own allocator
# reserves a gigabyte of addresses at once, which a limit on the address space would refuse.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
}

_OBJECTS = 50_000

LOADING = -1
"""Where a worker is that has not come to an item yet."""


class Runner(Protocol):
    """What a worker does with a task; picklable."""

    def __call__(self, batch: Any, at: Any, whole: bool, /) -> Any:
        """A result for each item of `batch`, or Finished where it is a whole part.

        at: its `value` tells the parent which item is worked on, so that it knows who is guilty
        when the process dies.
        """


@dataclass(frozen=True)
class Finished:
    """A part is done and written; `told` is what its step tells of it."""

    told: Any


@dataclass(frozen=True)
class AtOnce:
    """Gives a batch to the function."""

    function: Callable[[Any], Any]

    def __call__(self, batch: Any, at: Any, whole: bool) -> Any:
        return self.function(batch)


@dataclass(frozen=True)
class OneByOne:
    """Gives the items of a list to the function, one after the other."""

    function: Callable[[Any], Any]

    def __call__(self, batch: Any, at: Any, whole: bool) -> list[Any]:
        results: list[Any] = []
        for index in range(len(batch)):
            at.value = index
            results += self.function(batch[index : index + 1])
        return results


def job_of(runner: Runner, setup: Callable[[], None] | None) -> bytes:
    """What a worker is told when it starts. setup: run before its memory is measured."""
    return pickle.dumps((runner, setup))


def serve(pipe: Connection, job: bytes, memory_bytes: int | None, at: Any) -> None:
    """Runs tasks (a batch, and whether it is a whole part) from `pipe` until it closes.

    job: of `job_of`. Messages to the parent are tuples that begin with 'ready', 'broken', 'done',
    'raised' or 'memory'.
    """
    # Ctrl-C goes to the whole group of processes; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        # Bytes of our own parent process; the modules that they name are imported here, after
        # the environment is set.
        runner, setup = pickle.loads(job)  # noqa: S301
        if setup is not None:
            setup()
        if memory_bytes is not None:
            _limit_memory(memory_bytes)
    except BaseException as error:
        _send(pipe, ("broken", error_of(error), traceback.format_exc()))
        return
    # What was loaded stays: to look through it again and again for circles costs each document a
    # twentieth. What a document leaves in circles is still found, after _OBJECTS more.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 10, 10)
    _send(pipe, ("ready", _resident_bytes()))
    while True:
        try:
            batch, whole = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            message: tuple[Any, ...] = ("done", runner(batch, at, whole))
        except MemoryError:
            # What failed may have left the heap in pieces: the parent starts a fresh worker.
            _send(pipe, ("memory",))
            return
        except Exception as error:
            message = ("raised", error_of(error), traceback.format_exc())
        if not _send(pipe, message):
            return


def _end_with_the_parent() -> None:
    """A worker whose parent was killed would go on with its task, which may hang for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def error_of(error: BaseException) -> BaseException | str:
    """The error itself where the parent can rebuild it (ours), else one line about it."""
    from gristmill.core.errors import GristmillError

    return error if isinstance(error, GristmillError) else one_line(error)


def one_line(error: BaseException) -> str:
    """`KeyError: 'x'`, cut to 300 characters."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


def _send(pipe: Connection, message: tuple[Any, ...]) -> bool:
    try:
        pipe.send(message)
    except (BrokenPipeError, ConnectionError, EOFError):
        return False
    except MemoryError:
        pipe.send(("memory",))
        return False
    except Exception as error:
        # A result that cannot be pickled is the function's defect, told like any other.
        pipe.send(("raised", one_line(error), traceback.format_exc()))
    return True


def _limit_memory(extra: int) -> None:
    """Refuses allocations past `extra` bytes over what is mapped now (Linux; elsewhere the parent
    watches the resident size alone)."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = mapped + extra
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
