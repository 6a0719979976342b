"""How many of the processor's threads share one operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Below this width the products of one step of an LSTM are too small to share: two threads took
# twice the CPU seconds of one, and more time, at widths of 32 to 64 (docs/log.md).
_SHARED_WIDTH = 512


def threads_for_lstm(hidden: int) -> int | None:
    """Threads for an LSTM of that width; None leaves the choice to torch."""
    return 1 if hidden < _SHARED_WIDTH else None


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Inside the block torch uses that many threads; None changes nothing."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
