"""The key-value cache: room for every layer's keys and values, allocated once and sliced.

The slot of a token is its position, for each row on its own. Rows may therefore be at different
positions: what padding wrote at a slot is hidden (no query sees a slot after its own position) and
overwritten when the row's real token gets there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from gristmill.model.language_model import Cache


class KVCache(Cache):
    """Keys and values of `rows` sequences of up to `capacity` tokens, for `layers` layers.

    `length` is the number of slots in use by the longest row; slots beyond it are never read.
    """

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(capacity)
        shape = (layers, rows, kv_heads, capacity, head_dim)
        self._k_LBKSD = torch.zeros(shape, device=device, dtype=dtype)
        self._v_LBKSD = torch.zeros(shape, device=device, dtype=dtype)

    @property
    def rows(self) -> int:
        return self._k_LBKSD.shape[1]

    def layer(self, index: int) -> LayerCache:
        """The part that one layer reads and writes."""
        return LayerCache(self._k_LBKSD[index], self._v_LBKSD[index], self.length)

    def keep(self, rows: Tensor) -> None:
        self._k_LBKSD = self._k_LBKSD[:, rows]
        self._v_LBKSD = self._v_LBKSD[:, rows]

    def join(self, other: Self) -> None:
        capacity = max(self.capacity, other.capacity)
        self.grow(capacity)
        other.grow(capacity)
        self.length = max(self.length, other.length)
        self._k_LBKSD = torch.cat([self._k_LBKSD, other._k_LBKSD], dim=1)
        self._v_LBKSD = torch.cat([self._v_LBKSD, other._v_LBKSD], dim=1)

    def grow(self, capacity: int) -> None:
        more = capacity - self.capacity
        if more > 0:
            self._k_LBKSD = F.pad(self._k_LBKSD, (0, 0, 0, more))
            self._v_LBKSD = F.pad(self._v_LBKSD, (0, 0, 0, more))
            self.capacity = capacity


@dataclass(frozen=True)
class LayerCache:
    """One layer's slots, of which the first `length` are read."""

    k_BKSD: Tensor
    v_BKSD: Tensor
    length: int

    def write(
        self, k_BKTD: Tensor, v_BKTD: Tensor, positions_BT: Tensor, start: int | None
    ) -> tuple[Tensor, Tensor]:
        """Stores the new keys and values; returns all in use, (B, K, length, D) each.

        start: the first position where all rows write the same run of slots, else None.
        """
        if start is not None:
            stop = start + k_BKTD.shape[2]
            self.k_BKSD[:, :, start:stop] = k_BKTD
            self.v_BKSD[:, :, start:stop] = v_BKTD
        else:
            rows_B1 = torch.arange(k_BKTD.shape[0], device=k_BKTD.device)[:, None]
            # Index tensors on both sides of a slice put their axes first: (B, T, K, D).
            self.k_BKSD[rows_B1, :, positions_BT] = k_BKTD.transpose(1, 2).to(self.k_BKSD.dtype)
            self.v_BKSD[rows_B1, :, positions_BT] = v_BKTD.transpose(1, 2).to(self.v_BKSD.dtype)
        return self.k_BKSD[:, :, : self.length], self.v_BKSD[:, :, : self.length]
