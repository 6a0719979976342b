"""What a worker process of the engine does: wait for a batch, run the function, send the result.

Imports nothing but the standard library: what a worker loads is decided by the function it runs.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

# One thread in each worker: there are as many workers as cores to use. Arrow's own allocator
# reserves a gigabyte of addresses at once, which a limit on the address space would refuse.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def serve(pipe: Connection, payload: bytes, memory_bytes: int | None, at: Any) -> None:
    """Runs batches from `pipe` until it closes.

    payload: the pickled (function, setup, by_item). at: where the parent sees which item of a
    batch is being worked on. Messages to the parent are tuples that begin with 'ready', 'broken',
    'done', 'raised' or 'memory'.
    """
    # Ctrl-C goes to the whole group of processes; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        # Bytes of our own parent process; the modules that they name are imported here, after
        # the environment is set.
        function, setup, by_item = pickle.loads(payload)  # noqa: S301
        if setup is not None:
            setup()
        if memory_bytes is not None:
            _limit_memory(memory_bytes)
    except BaseException as error:
        _send(pipe, ("broken", error_of(error), traceback.format_exc()))
        return
    _send(pipe, ("ready", _resident_bytes()))
    while True:
        try:
            batch = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result = _one_by_one(function, batch, at) if by_item else function(batch)
            message: tuple[Any, ...] = ("done", result)
        except MemoryError:
            # What failed may have left the heap in pieces: the parent starts a fresh worker.
            _send(pipe, ("memory",))
            return
        except Exception as error:
            message = ("raised", error_of(error), traceback.format_exc())
        if not _send(pipe, message):
            return


def _one_by_one(function: Callable[[Any], Any], batch: Any, at: Any) -> list[Any]:
    results: list[Any] = []
    for index in range(len(batch)):
        at.value = index
        results += function(batch[index : index + 1])
    return results


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
