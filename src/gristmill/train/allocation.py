"""Memory that one step frees stays with the process for the next one, where glibc allocates.

glibc gives large blocks back to the system as soon as they are free, and each step asks for the
same ones again: a step of a 17 million parameter model touched 22,000 new pages, a fifteenth of its
CPU seconds (docs/log.md).
"""

from __future__ import annotations

import sys

# Names and numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
# The largest that glibc takes on 64 bits; larger blocks are mapped and given back each time.
_MMAP_THRESHOLD = 32 * 1024 * 1024
_TRIM_THRESHOLD = 2**31 - 1
# More than a heap of a thread, 64 MiB.
_TOP_PAD = 128 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Asks the C library to keep what is freed; whether it could be asked.

    It holds for the process from here on: blocks of at most 32 MiB, up to 2 GiB of free memory.
    """
    return _set(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD) and _set(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)


def keep_memory_freed_by_threads() -> bool:
    """Asks the C library to keep what threads free too; whether it could be asked.

    A thread's heap is of pieces of 64 MiB that go back to the system as soon as they are empty,
    whatever was asked for above, but where that would leave less at hand than is to be asked for at
    a time: two lanes touched 16,000 new pages a step (docs/log.md).
    """
    return _set(_M_TOP_PAD, _TOP_PAD)


def _set(name: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(name, value))
