"""Which row of a table belongs to a run of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

# 2^64 / the golden ratio, odd, as a signed number: Fibonacci hashing (Knuth, volume 3, 6.4).
_FACTOR = 0x9E3779B97F4A7C15 - 2**64


def ngram_rows(run_BTN: Tensor, vocab_size: int, rows: int) -> Tensor:
    """The row of each run of N tokens (the last first; -1 where there is none), int64, (B, T).

    Where all runs fit each has a row of its own; else they are hashed, and runs that share a row
    share its embedding.
    """
    length = run_BTN.shape[-1]
    index_BT = run_BTN[..., 0] + 1
    for place in range(1, length):
        index_BT = index_BT * (vocab_size + 1) + run_BTN[..., place] + 1
    if (vocab_size + 1) ** length <= rows:
        return index_BT
    # Products wrap on purpose; the high bits are the mixed ones.
    mixed_BT = index_BT * _FACTOR
    mixed_BT = (mixed_BT ^ (mixed_BT >> 29)) * _FACTOR
    return ((mixed_BT >> 32) & torch.iinfo(torch.int32).max) % rows
