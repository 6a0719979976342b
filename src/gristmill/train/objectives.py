"""What pre-training minimises. Losses of post-training stand with their methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gristmill.train.cross_entropy import cross_entropy_sum
from gristmill.train.interfaces import Loss, Models


@dataclass(frozen=True)
class NextToken:
    """Cross-entropy of each next token under the policy, in nats, summed over loss tokens.

    Tensors: tokens_BT, targets_BT; optionally segments_BT (attention stays inside a segment) and
    mask_BT (weights; 0 where a token carries no loss; SFT's answers). The count is the mask's sum.
    """

    z_loss: float = 0.0
    role: str = "policy"

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        """The loss of these rows."""
        model = models[self.role]
        targets_BT, mask_BT = tensors["targets_BT"], tensors.get("mask_BT")
        hidden_BTD = model(tensors["tokens_BT"], segments_BT=tensors.get("segments_BT"))
        weight_VD = model.head_weight
        assert isinstance(weight_VD, Tensor)
        total, plain = cross_entropy_sum(
            hidden_BTD.flatten(0, 1),
            weight_VD,
            targets_BT.flatten(),
            None if mask_BT is None else mask_BT.flatten(),
            z_loss=self.z_loss,
            logit_cap=getattr(model, "logit_cap", 0.0),
        )
        count = float(targets_BT.numel()) if mask_BT is None else mask_BT.float().sum()
        return Loss(total, count, {"cross_entropy": (plain, count)})
