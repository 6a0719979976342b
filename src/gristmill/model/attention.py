"""Attention over grouped heads, by the way that is fastest where the tensors lie.

On a CPU, up to `MATMUL_LIMIT` keys, two batched matrix products in blocks of queries beat the fused
kernel, whose backward pass is slow at short lengths. Measured forward and backward, CPU ms on one
thread (AMD EPYC with avx512_bf16, torch 2.13), 8 rows, 4 heads on 2 key-value heads of 64:

    ================  ============  ==========  ===========
    keys, precision   fused kernel  one block   128 a block
    ================  ============  ==========  ===========
    256, bfloat16             29.3        16.2         13.2
    512, bfloat16             80.9        58.5         31.2
    256, float32              23.3        27.6         21.3
    512, float32             137.9       223.1        102.2
    ================  ============  ==========  ===========

A block of queries never looks at the keys after it, which is what makes blocks cheaper than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from gristmill.model.flex import block_attention

MATMUL_LIMIT = 512
QUERY_BLOCK = 128


@dataclass(frozen=True)
class Visibility:
    """Which keys each query sees; the same for all layers of one pass.

    causal: query i sees keys 0..i and nothing else says more (queries and keys are aligned).
    allowed_BTS: True where query t of row b sees key s; None where `causal` says it all, or where
    every key is seen. The first axis may be 1. blocks: in place of it, see flex.py.
    """

    causal: bool
    allowed_BTS: Tensor | None = None
    blocks: BlockMask | None = None


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """The precision that matrix products run in here: autocast's where it is on."""
    if torch.is_autocast_enabled(tensor.device.type):
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype


def attention(
    q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, visibility: Visibility
) -> Tensor:  # out_BHTD
    """softmax(q k^T / sqrt(D)) v, each key-value head serving H / K query heads in order.

    Vaswani et al. 2017, section 3.2.1; grouped heads: Ainslie et al. 2023. Runs in the dtype of
    `v_BKSD`, under autocast too, whose own casts (of the softmax to float32 on a GPU) are kept out.
    """
    device = q_BHTD.device.type
    q_BHTD, k_BKSD = q_BHTD.to(v_BKSD.dtype), k_BKSD.to(v_BKSD.dtype)
    with torch.autocast(device, enabled=False):
        if visibility.blocks is not None:
            return block_attention(q_BHTD, k_BKSD, v_BKSD, visibility.blocks)
        if _by_matmul(q_BHTD, k_BKSD):
            return _matmul_attention(q_BHTD, k_BKSD, v_BKSD, visibility)
        allowed = visibility.allowed_BTS
        return F.scaled_dot_product_attention(
            q_BHTD,
            k_BKSD,
            v_BKSD,
            attn_mask=None if allowed is None else allowed[:, None],
            is_causal=visibility.causal and allowed is None,
            enable_gqa=q_BHTD.shape[1] != k_BKSD.shape[1],
        )


def _by_matmul(q_BHTD: Tensor, k_BKSD: Tensor) -> bool:
    # One query a row (decoding) is a matrix-vector product: the fused kernel would copy each
    # key-value head to its query heads first.
    short = q_BHTD.shape[2] == 1 or k_BKSD.shape[2] <= MATMUL_LIMIT
    return q_BHTD.device.type == "cpu" and short


def _matmul_attention(
    q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, visibility: Visibility
) -> Tensor:
    queries, keys = q_BHTD.shape[2], k_BKSD.shape[2]
    aligned = visibility.causal and queries == keys
    q_BHTD = q_BHTD * q_BHTD.shape[3] ** -0.5
    blocks = []
    for start in range(0, queries, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, queries)
        seen = stop if aligned else keys
        bias = _bias(visibility, start, stop, seen, q_BHTD)
        blocks.append(
            _one_block(q_BHTD[:, :, start:stop], k_BKSD[:, :, :seen], v_BKSD[:, :, :seen], bias)
        )
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _one_block(q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, bias: Tensor | None) -> Tensor:
    rows, heads, queries, width = q_BHTD.shape
    groups, keys = k_BKSD.shape[1], k_BKSD.shape[2]
    per_group = heads // groups
    # The query heads of one key-value head become rows of one product: nothing is repeated.
    q = q_BHTD.reshape(rows * groups, per_group * queries, width)
    k = k_BKSD.reshape(rows * groups, keys, width)
    v = v_BKSD.reshape(rows * groups, keys, width)
    scores = torch.bmm(q, k.transpose(1, 2))
    if bias is not None:
        scores = scores.view(rows, heads, queries, keys).add_(bias).view_as(scores)
    out = torch.bmm(torch.softmax(scores, dim=-1), v)
    return out.view(rows, heads, queries, width)


def _bias(
    visibility: Visibility, start: int, stop: int, seen: int, like: Tensor
) -> Tensor | None:  # (1 or B, 1, stop - start, seen)
    """0 where a query sees a key, -inf elsewhere; None where it sees all."""
    allowed = visibility.allowed_BTS
    if allowed is not None:
        hidden = ~allowed[:, None, start:stop, :seen]
        return torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(
            hidden, float("-inf")
        )
    if not visibility.causal:
        return None
    triangle = torch.full((stop - start, seen), float("-inf"), dtype=like.dtype, device=like.device)
    return triangle.triu_(start + 1)[None, None]
