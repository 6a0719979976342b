"""Muon: momentum whose update is made (nearly) orthogonal, for the matrices of the blocks.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". Matrices of one
shape are worked on as one batch: a small model spends more on calls than on products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The quintic's coefficients that raise small singular values fastest while they stay near 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def newton_schulz(
    matrices_NRC: Tensor, steps: int = 5, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Each matrix with its singular values moved to between about 0.7 and 1.2; dtype `dtype`.

    x <- a x + (b x x^T + c (x x^T)^2) x, from x / |x|. It runs on the shorter side.
    """
    x = matrices_NRC.to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, polynomial, x, beta=_A)
    return x.transpose(1, 2) if tall else x


class Muon:
    """Nesterov momentum, orthogonalised, decoupled weight decay.

    momentum is a running mean: m <- mu m + (1 - mu) g; the direction is mu m + (1 - mu) g again.
    The update of an R x C matrix is scaled by sqrt(max(1, R / C)), so that one rate serves all
    shapes. State: one float32 momentum for each parameter, by name.
    """

    def __init__(self, parameters: Sequence[tuple[str, Tensor]], *, lr: float, weight_decay: float):
        self.lr, self.weight_decay = lr, weight_decay
        self._groups: dict[tuple[torch.Size, torch.device], list[tuple[str, Tensor]]] = {}
        for name, parameter in parameters:
            assert parameter.ndim == 2, f"{name} is not a matrix"
            self._groups.setdefault((parameter.shape, parameter.device), []).append(
                (name, parameter)
            )
        self._momentum_NRC = {
            key: torch.zeros(len(group), *key[0], device=key[1])
            for key, group in self._groups.items()
        }

    @torch.no_grad()
    def step(self, factor: float, momentum: float) -> None:
        """One update from the parameters' `grad`, with the rate lr * factor."""
        lr = self.lr * factor
        for key, group in self._groups.items():
            grads = [p.grad if p.grad is not None else torch.zeros_like(p) for _, p in group]
            grad_NRC = torch.stack(grads).float()
            average_NRC = self._momentum_NRC[key].lerp_(grad_NRC, 1.0 - momentum)
            direction_NRC = newton_schulz(grad_NRC.lerp_(average_NRC, momentum))
            rows, columns = key[0]
            scale = lr * max(1.0, rows / columns) ** 0.5
            weights = [parameter for _, parameter in group]
            if self.weight_decay:
                torch._foreach_mul_(weights, 1.0 - lr * self.weight_decay)
            updates = [update.to(weights[0].dtype) for update in direction_NRC.unbind()]
            torch._foreach_add_(weights, updates, alpha=-scale)

    def tensors(self) -> dict[str, Tensor]:
        """The state: `momentum/NAME` to a tensor of the parameter's shape."""
        return {
            f"momentum/{name}": self._momentum_NRC[key][index]
            for key, group in self._groups.items()
            for index, (name, _) in enumerate(group)
        }
