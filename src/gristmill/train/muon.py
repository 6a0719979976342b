"""Muon: momentum whose update is made (nearly) orthogonal, for the matrices of the blocks.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". Matrices of one
shape are worked on as one batch: a small model spends more on calls than on products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    shapes. cautious: weights decay only where the update moves them towards 0 (Chen et al. 2025,
    "Cautious weight decay", algorithm 1). State: one float32 momentum for each parameter, by name.
    """

    def __init__(
        self,
        parameters: Sequence[tuple[str, Tensor]],
        *,
        lr: float,
        weight_decay: float,
        cautious: bool = False,
    ):
        self.lr, self.weight_decay, self.cautious = lr, weight_decay, cautious
        groups: dict[tuple[torch.Size, torch.device], list[tuple[str, Tensor]]] = {}
        for name, parameter in parameters:
            assert parameter.ndim == 2, f"{name} is not a matrix"
            groups.setdefault((parameter.shape, parameter.device), []).append((name, parameter))
        self._groups = [
            _Group(
                [name for name, _ in group],
                [parameter for _, parameter in group],
                torch.zeros(len(group), *shape, device=device),
                max(1.0, shape[0] / shape[1]) ** 0.5,
            )
            for (shape, device), group in groups.items()
        ]

    @torch.no_grad()
    def step(self, factor: float, momentum: float, scale: float = 1.0) -> None:
        """One update from `scale` times the parameters' `grad`, with the rate lr * factor."""
        lr = self.lr * factor
        for group in self._groups:
            weights = group.weights
            grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in weights]
            grad_NRC = torch.stack(grads).float()
            if scale != 1.0:
                grad_NRC.mul_(scale)
            average_NRC = group.momentum_NRC.lerp_(grad_NRC, 1.0 - momentum)
            direction_NRC = newton_schulz(grad_NRC.lerp_(average_NRC, momentum))
            updates = list(direction_NRC.to(weights[0].dtype).unbind())
            if self.weight_decay:
                decay_weights(weights, updates, lr * self.weight_decay, self.cautious)
            torch._foreach_add_(weights, updates, alpha=-lr * group.scale)

    def tensors(self) -> dict[str, Tensor]:
        """The state: `momentum/NAME` to a tensor of the parameter's shape."""
        return {
            f"momentum/{name}": group.momentum_NRC[index]
            for group in self._groups
            for index, name in enumerate(group.names)
        }


@dataclass(frozen=True)
class _Group:
    """Matrices of one shape. scale: of their updates."""

    names: list[str]
    weights: list[Tensor]
    momentum_NRC: Tensor
    scale: float


@torch.no_grad()
def decay_weights(
    weights: Sequence[Tensor], updates: Sequence[Tensor], share: float, cautious: bool
) -> None:
    """w -= share * w; cautious: only where w and its update, which is subtracted, have one sign."""
    if not cautious:
        torch._foreach_mul_(list(weights), 1.0 - share)
        return
    for weight, update in zip(weights, updates, strict=True):
        weight.sub_(torch.where(weight * update > 0, weight, 0.0), alpha=share)
