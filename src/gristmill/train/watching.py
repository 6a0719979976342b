"""What one watches of a training beside its loss: spikes, how far updates move, memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

SPIKE_STEPS = 128
"""Steps that a loss is compared with."""
_SIGMAS = 6.0
_MEMORY_EVERY_S = 1.0


def spike(before: Sequence[float], loss: float) -> float | None:
    """How many deviations `loss` lies above the mean of the last 128 losses, where more than 6.

    None too while there are fewer than 128. A loss that falls all the while has a wide window, so
    a training's first steps are never spikes.
    """
    if len(before) < SPIKE_STEPS:
        return None
    window = before[-SPIKE_STEPS:]
    mean = math.fsum(window) / len(window)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in window) / len(window))
    sigmas = (loss - mean) / deviation if deviation else 0.0
    return sigmas if sigmas > _SIGMAS else None


@contextmanager
def measured_update(weights: Sequence[Tensor], into: dict[str, Any]) -> Iterator[None]:
    """Writes `update_norm`, the norm of what the block adds to all weights together, and
    `update_ratio`, that over the norm of the weights before."""
    with torch.no_grad():
        before = [weight.detach().clone() for weight in weights]
        size = float(torch.nn.utils.get_total_norm(before, foreach=True))
    yield
    with torch.no_grad():
        torch._foreach_sub_(before, [weight.detach() for weight in weights])
        moved = float(torch.nn.utils.get_total_norm(before, foreach=True))
    into["update_norm"] = moved
    into["update_ratio"] = moved / size if size else 0.0


class Watch:
    """The memory of this process or of its GPU, asked for at most once a second."""

    def __init__(self, device: torch.device):
        self._device = device
        self._process: Any = None
        self._asked, self._bytes = -math.inf, 0.0

    def memory_bytes(self) -> float:
        """Resident memory; on a GPU the most that tensors held there."""
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device))
        now = time.monotonic()
        if now - self._asked >= _MEMORY_EVERY_S:
            if self._process is None:
                import psutil

                self._process = psutil.Process()
            self._asked, self._bytes = now, float(self._process.memory_info().rss)
        return self._bytes


def note(record: Mapping[str, Any]) -> str:
    """What one sees of a step while it trains: 78 characters, for a line of 80. lr: the share of
    the peak rate."""
    parts = [f"loss {record['loss']:.3f}"]
    if "bits_per_byte" in record:
        parts.append(f"{record['bits_per_byte']:.3f} bits/byte")
    parts.append(f"lr {record['lr']:.0%}, norm {record['grad_norm']:.1f}")
    parts.append(f"{record['tokens_per_second']:,.0f} tok/s")
    if "mfu" in record:
        parts.append(f"{record.get('mfu_published', record['mfu']):.0%} MFU")
    parts.append(f"{record['memory_bytes'] / 2**30:.1f} GiB")
    return ", ".join(parts)
