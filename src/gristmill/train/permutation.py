"""A seeded permutation of 0..size-1 that is computed, not stored.

A Feistel network over the next power of four, walked until it lands inside (Black and Rogaway
2002, "Ciphers with arbitrary finite domains", the cycle-walking cipher). The order of a data set of
any size costs no memory, and the state of a shuffled pass is one number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gristmill.core.seeds import derive_seed

_ROUNDS = 6


def permute(index_N: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """The images of `index_N` (each in 0..size-1) under the permutation that `seed` names."""
    if size <= 1:
        return np.zeros_like(index_N)
    half = np.uint64(((size - 1).bit_length() + 1) // 2)
    keys = [np.uint64(derive_seed(seed, "round", number)) for number in range(_ROUNDS)]
    value_N = _encrypt(index_N.astype(np.uint64), half, keys)
    outside_N = value_N >= size
    while outside_N.any():
        value_N[outside_N] = _encrypt(value_N[outside_N], half, keys)
        outside_N = value_N >= size
    return value_N.astype(np.int64)


def _encrypt(
    value_N: NDArray[np.uint64], half: np.uint64, keys: list[np.uint64]
) -> NDArray[np.uint64]:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left_N, right_N = value_N >> half, value_N & mask
    for key in keys:
        left_N, right_N = right_N, left_N ^ (_mix(right_N ^ key) & mask)
    return (left_N << half) | right_N


def _mix(value_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of splitmix64 (Steele, Lea and Flood 2014); products wrap on purpose.
    value_N = (value_N ^ (value_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value_N = (value_N ^ (value_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value_N ^ (value_N >> np.uint64(31))
