"""Memory that is free goes back to the system."""

import os
import platform
import subprocess
import sys
import threading

import numpy as np
import psutil
import pyarrow as pa
import pytest

from gristmill.data.engine import memory
from gristmill.data.filters.statistics import _SCRATCH


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def test_what_a_room_keeps_is_let_go_and_comes_again() -> None:
    first = _SCRATCH("words", 1 << 22, np.uint64)
    first[:] = 1
    assert _SCRATCH("words", 1 << 22, np.uint64) is first
    held = resident()
    del first
    memory.give_back()
    assert held - resident() > 24 << 20
    assert set(_SCRATCH.arrays) == {"buckets"} and not _SCRATCH.arrays["buckets"].any()
    assert len(_SCRATCH("words", 10, np.uint64)) == 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc")
def test_a_heap_that_is_free_in_the_middle_is_given_back() -> None:
    # Blocks below the threshold of maps, with one at the end that keeps the heap's top where it is.
    blocks = [bytearray(60_000) for _ in range(1_000)]
    last = bytearray(60_000)
    held = resident()
    blocks.clear()
    memory.give_back()
    assert held - resident() > 30 << 20 and len(last) == 60_000


def test_memory_is_given_back_in_any_thread() -> None:
    thread = threading.Thread(target=memory.give_back)
    thread.start()
    thread.join()
    assert "buckets" in _SCRATCH.arrays


@pytest.mark.parametrize(("asked", "used"), [(None, "system"), ("mimalloc", "mimalloc")])
def test_arrow_allocates_where_the_environment_says_or_from_the_c_library(
    asked: str | None, used: str
) -> None:
    code = (
        "import pyarrow, sys\n"
        "from gristmill.data.engine.memory import use_one_allocator\n"
        "use_one_allocator(); use_one_allocator()\n"
        "print(pyarrow.default_memory_pool().backend_name)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
    if asked is not None:
        if asked not in pa.supported_memory_backends():
            pytest.skip(f"no {asked} here")
        environment["ARROW_DEFAULT_MEMORY_POOL"] = asked
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == used
