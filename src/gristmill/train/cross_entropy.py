"""Next-token cross-entropy that never holds the logits of all rows.

The rows go through the head in chunks; where gradients are wanted, each chunk's are computed at
once, while its logits are at hand, so that nothing of size rows x vocabulary outlives a chunk
and nothing is computed twice (the idea of Liger-Kernel's fused linear cross-entropy, Hsu et al.
2024, section 3.2; the code is ours).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gristmill.train.softmax_gradient import compiled

# On a CPU: the logits, then their gradients in the same place, of so many rows lie there for one
# product with the weights, 16 MiB in bf16; what is in float32 between them is of fewer rows, which
# stay in a cache. Forward and backward over 8,000 tokens of width 384 in bf16, CPU ms on one thread
# for 1,024 rows: 46 (256 rows for a product 52, 512 rows 49; the products alone 40).
_CHUNK_FLOATS = 1 << 23
_SOFTMAX_FLOATS = 1 << 20
# On a GPU, where a product of few rows leaves most of it idle: 5,300 rows of 50,257 tokens, half a
# GiB in bf16.
_GPU_CHUNK_FLOATS = 1 << 28
# A probability below it is taken from the logits again, lest its logarithm be that of a rounded 0.
_SMALL = 1e-30


def cross_entropy_sum(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    mask_N: Tensor | None = None,
    *,
    z_loss: float = 0.0,
    logit_cap: float = 0.0,
    chunk_rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum over rows of mask * (-log softmax(weight hidden)[target]), in nats, float32; twice.

    The first carries the graph and includes the z-loss (mask * z_loss * logsumexp^2; de Brebisson
    and Vincent 2016); the second is the plain cross-entropy, detached. The products run in the
    dtype of `hidden_ND`, softmax and sums in float32, the weight's gradient is summed over chunks
    in float32. mask_N: weights of the rows, default 1; a row of weight 0 adds nothing.
    logit_cap: see `LanguageModel.logit_cap`.
    """
    rows = chunk_rows or rows_at_a_time(weight_VD.shape[0], weight_VD.device)
    grad = torch.is_grad_enabled() and (hidden_ND.requires_grad or weight_VD.requires_grad)
    total, plain = _CrossEntropySum.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, targets_N, mask_N, z_loss, logit_cap, rows, grad
    )
    return total, plain


def rows_at_a_time(vocab_size: int, device: torch.device) -> int:
    """How many rows of logits are held on that device, where nobody says it."""
    floats = _CHUNK_FLOATS if device.type == "cpu" else _GPU_CHUNK_FLOATS
    return max(64, floats // vocab_size)


class _CrossEntropySum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        mask_N: Tensor | None,
        z_loss: float,
        logit_cap: float,
        rows: int,
        grad: bool,
    ) -> tuple[Tensor, Tensor]:
        weight_VD = weight_VD.to(hidden_ND.dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        plain = torch.zeros_like(total)
        grad_hidden_ND = torch.empty_like(hidden_ND) if grad else None
        grad_weight_VD: Tensor | None = None
        piece = partial(_piece, z_loss=z_loss, logit_cap=logit_cap, grad=grad)
        for start in range(0, hidden_ND.shape[0], rows):
            part = slice(start, start + rows)
            hidden_CD, targets_C1 = hidden_ND[part], targets_N[part, None]
            mask_C = None if mask_N is None else mask_N[part].float()
            logits_CV = hidden_CD @ weight_VD.T
            if logits_CV.is_cuda and grad:
                both, loss, grad_CV = compiled()(logits_CV, targets_C1, mask_C, z_loss, logit_cap)
            else:
                both, loss = _in_pieces(piece, logits_CV, targets_C1, mask_C)
                grad_CV = logits_CV
            total += both
            plain += loss
            if grad_hidden_ND is not None:
                torch.mm(grad_CV, weight_VD, out=grad_hidden_ND[part])
                product_VD = grad_CV.T @ hidden_CD
                if rows >= hidden_ND.shape[0]:  # nothing to sum
                    grad_weight_VD = product_VD
                else:
                    grad_weight_VD = _added(grad_weight_VD, product_VD)
        if grad and grad_weight_VD is None:  # no rows
            grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
        ctx.mark_non_differentiable(plain)
        ctx.save_for_backward(grad_hidden_ND, grad_weight_VD)
        return total, plain

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden_ND, grad_weight_VD = ctx.saved_tensors
        if grad_total.device.type == "cpu" and grad_total.item() == 1.0:
            # The loss itself was asked for: two passes over what is as large as the head.
            return grad_hidden_ND, grad_weight_VD, None, None, None, None, None, None
        hidden = grad_hidden_ND * grad_total.to(grad_hidden_ND.dtype)
        weight = grad_weight_VD * grad_total
        return hidden, weight, None, None, None, None, None, None


def _in_pieces(
    piece: Callable[..., tuple[Tensor, Tensor]],
    logits_CV: Tensor,
    targets_C1: Tensor,
    mask_C: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """`piece` of some rows after the other, as many on a CPU as stay in a cache; the sums."""
    rows = logits_CV.shape[0]
    if logits_CV.device.type == "cpu":
        rows = min(rows, max(16, _SOFTMAX_FLOATS // logits_CV.shape[1]))
    sums = []
    for start in range(0, logits_CV.shape[0], rows):
        part = slice(start, start + rows)
        mask_P = None if mask_C is None else mask_C[part]
        sums.append(piece(logits_CV[part], targets_C1[part], mask_P))
    both, plain = (torch.stack(one).sum() for one in zip(*sums, strict=True))
    return both, plain


def _piece(
    logits_CV: Tensor,
    targets_C1: Tensor,
    mask_C: Tensor | None,
    *,
    z_loss: float,
    logit_cap: float,
    grad: bool,
) -> tuple[Tensor, Tensor]:
    """The loss with and without the z-loss, summed; grad: the gradient of the first by the logits
    takes their place."""
    place_CV, tanh_CV = logits_CV, None
    if logit_cap:
        tanh_CV = torch.tanh(logits_CV.float() / logit_cap)
        logits_CV = logit_cap * tanh_CV
    p_CV, loss_C = _probabilities(logits_CV, targets_C1)
    plain = both = _weighted(loss_C, mask_C)
    z_C = None
    if z_loss:
        z_C = logits_CV.gather(1, targets_C1)[:, 0].float() + loss_C
        both = _weighted(loss_C + z_loss * z_C.square(), mask_C)
    if not grad:
        return both, plain
    # d loss / d logits = p - onehot(target); d z^2 / d logits = 2 z p.
    grad_CV = p_CV
    if z_C is not None:
        grad_CV.mul_(1.0 + 2.0 * z_loss * z_C[:, None])
    grad_CV.scatter_add_(1, targets_C1, torch.full_like(targets_C1, -1.0, dtype=torch.float32))
    if mask_C is not None:
        grad_CV.mul_(mask_C[:, None])
    if tanh_CV is not None:
        # d cap tanh(x / cap) / d x = 1 - tanh^2.
        grad_CV.mul_(1.0 - tanh_CV.square_())
    place_CV.copy_(grad_CV)
    return both, plain


def _added(sum_VD: Tensor | None, product_VD: Tensor) -> Tensor:
    """The sum in float32, begun where there is none."""
    return product_VD.float() if sum_VD is None else sum_VD.add_(product_VD)


def _probabilities(logits_CV: Tensor, targets_C1: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(logits), float32, and the targets' negative logarithms, (C,)."""
    if logits_CV.device.type != "cpu":
        # No question here whose answer the processor would have to wait for.
        log_p_CV = torch.log_softmax(logits_CV, dim=-1, dtype=torch.float32)
        loss_C = -log_p_CV.gather(1, targets_C1)[:, 0]
        return log_p_CV.exp_(), loss_C
    # One exponential for each logit, not two.
    p_CV = torch.softmax(logits_CV, dim=-1, dtype=torch.float32)
    p_C = p_CV.gather(1, targets_C1)[:, 0]
    if bool((p_C < _SMALL).any()):
        log_p_CV = torch.log_softmax(logits_CV, dim=-1, dtype=torch.float32)
        return p_CV, -log_p_CV.gather(1, targets_C1)[:, 0]
    return p_CV, -p_C.log()


def _weighted(values_C: Tensor, mask_C: Tensor | None) -> Tensor:
    if mask_C is None:
        return values_C.sum()
    # 0 * inf is nan: a row of weight 0 must not count whatever its value is.
    return torch.where(mask_C != 0, values_C * mask_C, 0.0).sum()
