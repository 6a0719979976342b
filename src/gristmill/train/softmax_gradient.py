"""The loss of a chunk of logits and its gradient in one pass over them, for GPUs.

On a GPU what the loss head costs beside its products is reading and writing the logits: a dozen
times in single operations, three times in one compiled kernel. On a CPU the products decide, and
a compilation is not worth its time there (docs/log.md).
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import torch
from torch import Tensor


def loss_and_gradient(
    logits_CV: Tensor,
    targets_C1: Tensor,
    mask_C: Tensor | None,
    z_loss: float,
    logit_cap: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(sum of mask * (loss + z_loss * z^2), sum of mask * loss, gradient of the first by the
    logits, in their dtype); z is the log of the sum of exponentials. Logits of a row of weight 0
    count nothing, whatever they are."""
    x_CV = logits_CV.float()
    tanh_CV = None
    if logit_cap:
        tanh_CV = torch.tanh(x_CV / logit_cap)
        x_CV = logit_cap * tanh_CV
    z_C1 = torch.logsumexp(x_CV, dim=1, keepdim=True)
    loss_C = (z_C1 - x_CV.gather(1, targets_C1))[:, 0]
    columns_V = torch.arange(x_CV.shape[1], device=x_CV.device)
    p_CV = torch.exp(x_CV - z_C1)
    # d loss / d logits = p - onehot(target); d z^2 / d logits = 2 z p.
    if z_loss:
        p_CV = p_CV * (1.0 + 2.0 * z_loss * z_C1)
    grad_CV = p_CV - (columns_V == targets_C1).float()
    both_C = loss_C + z_loss * z_C1[:, 0].square() if z_loss else loss_C
    if tanh_CV is not None:
        grad_CV = grad_CV * (1.0 - tanh_CV.square())
    if mask_C is not None:
        seen_C = mask_C != 0
        grad_CV = torch.where(seen_C[:, None], grad_CV * mask_C[:, None], 0.0)
        loss_C = torch.where(seen_C, loss_C * mask_C, 0.0)
        both_C = torch.where(seen_C, both_C * mask_C, 0.0)
    return both_C.sum(), loss_C.sum(), grad_CV.to(logits_CV.dtype)


class _Compiled:
    """Compiled at its first call; from the first failure on, as it stands."""

    def __init__(self) -> None:
        self._function: Any = None

    def __call__(self, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        if self._function is None:
            # Chunks are of two sizes: whole ones and the last.
            self._function = torch.compile(loss_and_gradient, dynamic=False)
        try:
            found: tuple[Tensor, Tensor, Tensor] = self._function(*arguments)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            if self._function is loss_and_gradient:
                raise
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(
                f"  the loss head's kernel did not compile ({first}); goes on in single operations",
                file=sys.stderr,
                flush=True,
            )
            self._function = loss_and_gradient
            found = loss_and_gradient(*arguments)
        return found


@functools.cache
def compiled() -> _Compiled:
    """`loss_and_gradient`, compiled once for the process."""
    return _Compiled()
