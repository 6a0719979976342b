"""What the families with attention share: the checks of a shape, who sees whom, and the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gristmill.core.errors import GristmillError
from gristmill.model.attention import Visibility, compute_dtype
from gristmill.model.cache import KVCache
from gristmill.model.flex import document_blocks, works
from gristmill.model.language_model import Cache, LanguageModel, run_starts
from gristmill.model.rotary import Rotary, rotary_angles


class AttentionShape(Protocol):
    """Of a configuration, what attention asks for."""

    @property
    def heads(self) -> int:
        """Query heads."""

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values, each read by as many query heads."""

    @property
    def head_dim(self) -> int:
        """Numbers in a head."""


_SIZES = ("vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "mlp_width", "context")


def check_attention_shape(config: AttentionShape, *, further_sizes: Sequence[str] = ()) -> None:
    """Raises GristmillError, with the key, for sizes below 1, heads that cannot share keys evenly
    and a head that rotary positions cannot turn. further_sizes: fields that are at least 1 too."""
    for name in (*_SIZES, *further_sizes):
        if getattr(config, name) < 1:
            raise GristmillError(f"{name} must be at least 1", where=f"model.{name}")
    if config.heads % config.kv_heads:
        raise GristmillError(
            f"{config.heads} heads cannot share {config.kv_heads} key-value heads evenly",
            where="model.kv_heads",
            mend="make it a divisor of model.heads",
        )
    if config.head_dim % 2:
        raise GristmillError(
            f"rotary positions need an even head_dim, not {config.head_dim}",
            where="model.head_dim",
        )


class AttentionModel(LanguageModel):
    """A `LanguageModel` whose cache holds keys and values. cache_type: its family's kind of it."""

    cache_type: type[KVCache] = KVCache

    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
        lengths_B: Tensor | None = None,
    ) -> Tensor:
        """Final-normed hidden states, hidden_BTD.

        segments_BT: integers; a token sees only earlier tokens of its own segment (several
        documents in one row). positions_BT: default 0, 1, ... in each row; restarting in each
        segment where segments are given; going on from `cache.length` where a cache is given.
        cache: what the rows held before; the new tokens are added to it. With a cache, positions
        must be such that every earlier slot of the row has been written. lengths_B: not needed
        here: what padding writes is overwritten before a query sees it (model/cache.py).
        Raises GristmillError where segments and a cache are both given or the cache is full.
        """
        assert cache is None or isinstance(cache, self.cache_type), "a cache of another family"
        hidden_BTD: Tensor = self.model(
            tokens_BT, segments_BT=segments_BT, positions_BT=positions_BT, cache=cache
        )
        return hidden_BTD

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for `rows` sequences of up to `capacity` tokens, beside the weights."""
        return self.cache_type(
            layers=self.config.layers,
            rows=rows,
            kv_heads=self.config.kv_heads,
            head_dim=self.config.head_dim,
            capacity=capacity,
            device=self.embedding_weight.device,
            dtype=compute_dtype(self.embedding_weight),
        )


@dataclass(frozen=True)
class Step:
    """What all layers share in one pass. `start`: see LayerCache.write."""

    positions_BT: Tensor
    rotary: tuple[Tensor, Tensor]
    visibility: Visibility
    start: int | None = None


def positions_of_segments(segments_BT: Tensor) -> Tensor:
    """Positions that restart at 0 where a row's segment id changes; int64, (B, T)."""
    length = segments_BT.shape[1]
    index_T = torch.arange(length, device=segments_BT.device)
    start_BT = torch.where(run_starts(segments_BT), index_T, 0).cummax(dim=1).values
    return index_T - start_BT


def plan(
    config: Rotary,
    dtype: torch.dtype,
    tokens_BT: Tensor,
    segments_BT: Tensor | None,
    positions_BT: Tensor | None,
    cache: KVCache | None,
) -> Step:
    """Positions, their angles in `dtype` and who sees whom, for the tokens of one pass; makes room
    in the cache. Raises GristmillError for segments beside a cache."""
    length, device = tokens_BT.shape[1], tokens_BT.device
    if cache is not None and segments_BT is not None:
        raise GristmillError("segments and a cache cannot be combined")
    start = None
    if positions_BT is None:
        if segments_BT is not None:
            positions_BT = positions_of_segments(segments_BT)
        else:
            start = 0 if cache is None else cache.length
            positions_BT = torch.arange(start, start + length, device=device)[None]
    if cache is None:
        # Layers that see a window cut it out of the matrix.
        in_blocks = not getattr(config, "window", 0) and (
            segments_BT is not None and works(device, config.head_dim, dtype)
        )
        visibility = _visible(segments_BT, length, device, in_blocks)
    else:
        end = int(positions_BT.max()) + 1 if start is None else start + length
        cache.reserve(end)
        visibility = _visible_in_cache(positions_BT, cache.length, start)
    rotary = rotary_angles(
        positions_BT, config.head_dim, config.rope_theta, dtype, config.rope_scaling
    )
    return Step(positions_BT, rotary, visibility, start)


def _visible(
    segments_BT: Tensor | None, length: int, device: torch.device, in_blocks: bool
) -> Visibility:
    if segments_BT is None:
        return Visibility(causal=True)
    if in_blocks:
        return Visibility(causal=True, blocks=document_blocks(segments_BT))
    same_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
    index_T = torch.arange(length, device=device)
    return Visibility(causal=True, allowed_BTS=same_BTS & (index_T[:, None] >= index_T))


def _visible_in_cache(positions_BT: Tensor, keys: int, start: int | None) -> Visibility:
    if start == 0:
        return Visibility(causal=True)
    if start is not None and positions_BT.shape[1] == 1:
        return Visibility(causal=False)
    slots_S = torch.arange(keys, device=positions_BT.device)
    return Visibility(causal=False, allowed_BTS=slots_S <= positions_BT[:, :, None])
