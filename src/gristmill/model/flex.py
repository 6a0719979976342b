"""Attention within documents on a GPU, by blocks that see each other: FlexAttention.

The fused kernels know causal masks; one that also keeps documents apart they only take as a
matrix, which leaves the fast ones out, and grouped heads with it. FlexAttention (Dong et al. 2024,
"Flex attention: a programming model for generating optimized attention kernels") compiles a kernel
that skips the blocks of queries and keys in which nobody sees anybody. It needs a compiler on the
machine, so it is tried once, forward and backward, and left alone where it fails or errs.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

_SLACK = 0.02
"""How far its numbers may be from the plain way's in bf16, as a share of the largest."""


def document_blocks(segments_BT: Tensor) -> BlockMask:
    """Which blocks hold a query and a key that it sees: no later one, of its own segment."""

    def sees(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (segments_BT[b, query] == segments_BT[b, key])

    rows, length = segments_BT.shape
    device = segments_BT.device
    compiled = device.type == "cuda"
    return create_block_mask(sees, rows, None, length, length, device=device, _compile=compiled)


def block_attention(q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, blocks: BlockMask) -> Tensor:
    """softmax(q k^T / sqrt(D)) v among those that see each other, out_BHTD; H is a multiple of K.

    On a CPU without gradients only.
    """
    kernel: Any = flex_attention
    if q_BHTD.is_cuda and not torch.compiler.is_compiling():
        kernel = _compiled()
    gqa = q_BHTD.shape[1] != k_BKSD.shape[1]
    out: Tensor = kernel(q_BHTD, k_BKSD, v_BKSD, block_mask=blocks, enable_gqa=gqa)
    return out


@functools.cache
def _compiled() -> Any:
    return torch.compile(flex_attention)


@functools.cache
def works(device: torch.device, head_dim: int, dtype: torch.dtype) -> bool:
    """Whether it gives the plain way's numbers and gradients on this device, for heads of this size
    in this dtype; tried once for each, and what goes wrong is said. Only GPUs of CUDA are tried."""
    if device.type != "cuda":
        return False
    try:
        error = _error(device, head_dim, dtype)
    except Exception as failed:
        wrong = (str(failed).strip() or type(failed).__name__).splitlines()[0]
    else:
        if error <= _SLACK:
            return True
        wrong = f"its numbers are off by {error:.3f}"
    print(
        f"  attention: FlexAttention does not work here ({wrong}); documents are kept apart by a "
        "matrix, which is slower",
        file=sys.stderr,
        flush=True,
    )
    return False


def _error(device: torch.device, head_dim: int, dtype: torch.dtype) -> float:
    """Of output and gradients, as a share of the largest, on rows of three documents."""
    generator = torch.Generator().manual_seed(0)

    def drawn(heads: int) -> Tensor:
        x = torch.randn(2, heads, 384, head_dim, generator=generator)
        return x.to(device, dtype).requires_grad_()

    q, k, v, upstream = drawn(4), drawn(2), drawn(2), drawn(4).detach()
    segments_BT = (torch.arange(384, device=device) // 150).expand(2, -1).contiguous()
    index_T = torch.arange(384, device=device)
    allowed = (segments_BT[:, :, None] == segments_BT[:, None, :]) & (index_T[:, None] >= index_T)
    with torch.enable_grad():
        plain = F.scaled_dot_product_attention(
            q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), attn_mask=allowed[:, None]
        )
        wanted = [plain, *torch.autograd.grad(plain, (q, k, v), upstream)]
        ours = block_attention(q, k, v, document_blocks(segments_BT))
        found = [ours, *torch.autograd.grad(ours, (q, k, v), upstream)]
    pairs = zip(found, wanted, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
