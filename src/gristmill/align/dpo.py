"""Direct preference optimisation with one model in memory (Rafailov et al. 2023).

The reference's log-probabilities are numbers of the data: they are computed once, before the first
step, batch by batch as the objective will read them, and kept. So the first loss is log 2 and the
first margins are 0 exactly, and no second model is held; what is trained is the reference then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gristmill.align.losses import DpoForm, dpo_loss
from gristmill.align.pair_rows import Pair, PairOrder, stack_pairs
from gristmill.core.errors import GristmillError
from gristmill.core.progress import progress
from gristmill.train.interfaces import Batch, Loss, Models, Moment, Share, State

# Logits held at once in one product; what autograd keeps is of the answers' tokens alone.
_HEAD_CHUNK = 4096 * 4096


def answer_log_probabilities(model: nn.Module, tokens_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Nats of each row's answer, its end included, summed, (B,) float32; of the masked tokens only.

    The head is computed at answers' tokens alone. Gradients flow where they are enabled.
    """
    at_BT = mask_BT[:, 1:]
    hidden_ND = model(tokens_BT[:, :-1])[at_BT]
    target_N = tokens_BT[:, 1:][at_BT]
    assert callable(model.head) and isinstance(model.head_weight, Tensor)
    chunk = max(1, _HEAD_CHUNK // model.head_weight.shape[0])
    parts = []
    for start in range(0, len(target_N), chunk):
        part = slice(start, start + chunk)
        logits_CV = model.head(hidden_ND[part]).float()
        picked_C = logits_CV.gather(1, target_N[part, None])[:, 0]
        parts.append(picked_C - logits_CV.logsumexp(dim=-1))
    spread_BT = torch.zeros(at_BT.shape, device=tokens_BT.device)
    if parts:
        spread_BT = spread_BT.masked_scatter(at_BT, torch.cat(parts))
    return spread_BT.sum(dim=1)


def _of_pairs(model: nn.Module, tensors: Mapping[str, Tensor]) -> Tensor:
    tokens_PST, mask_PST = tensors["tokens_PST"], tensors["mask_PST"]
    both_B = answer_log_probabilities(model, tokens_PST.flatten(0, 1), mask_PST.flatten(0, 1))
    return both_B.view(tokens_PST.shape[:2])


class DpoSource:
    """Batches of pairs with the reference's log-probabilities of their answers.

    A batch holds `tokens_PST`, `mask_PST` and `reference_PS` (sides: chosen, rejected). micro_batch
    is the trainer's, so that the reference is read in the very shapes that the objective reads.
    reference: the role of a frozen model; where there is none, the policy as it is at the first
    step. Its state is the number of batches drawn and those log-probabilities, read in the first
    epoch's order: later epochs and resumes need no reference.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        batch: int,
        seed: int,
        micro_batch: int | None = None,
        policy: str = "policy",
        reference: str = "reference",
    ):
        self._pairs, self._micro_batch = pairs, micro_batch
        self._policy, self._reference = policy, reference
        self._order = PairOrder([pair.longest for pair in pairs], batch, seed)
        self._drawn = 0
        self.reference_PS: Tensor | None = None
        """Log-probabilities of the answers under the reference, (pairs, 2); None until computed."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self._order.steps_per_epoch

    def next(self, moment: Moment) -> Batch:
        """This process's rows of the next batch."""
        if self.reference_PS is None:
            self.reference_PS = self._computed(moment)
        mine = self._rows(self._drawn, moment.share)
        self._drawn += 1
        tensors = stack_pairs([self._pairs[i] for i in mine])
        tokens = int((tensors.pop("last_PS") + 1).sum())
        tensors["reference_PS"] = self.reference_PS[mine]
        return Batch(tensors, tokens=tokens, info={"batches": self._drawn})

    def state(self) -> State:
        """The number of batches drawn, and the reference's log-probabilities."""
        tensors = {} if self.reference_PS is None else {"reference_PS": self.reference_PS}
        return State({"batches": self._drawn}, tensors)

    def restore(self, state: State) -> None:
        """Goes on after that many batches. Raises GristmillError for those of other pairs."""
        self._drawn = int(state.json["batches"])
        self.reference_PS = state.tensors.get("reference_PS")
        if self.reference_PS is not None and len(self.reference_PS) != len(self._pairs):
            raise GristmillError(
                f"the checkpoint is of {len(self.reference_PS)} pairs, not {len(self._pairs)}",
                mend="start a new run",
            )

    def _rows(self, step: int, share: Share) -> list[int]:
        indices = self._order.indices(step)
        return [indices[row] for row in share.rows(len(indices))]

    def _computed(self, moment: Moment) -> Tensor:
        """All processes compute all pairs, each share's rows in that share's shapes."""
        assert self._drawn == 0, "the reference is computed before the first step, or restored"
        role = self._reference if self._reference in moment.models else self._policy
        device = next(moment.models[role].parameters()).device
        found_PS = torch.full((len(self._pairs), 2), math.nan)
        processes = moment.share.processes
        bar = progress("reference", len(self._pairs), "pairs")
        try:
            for step in range(self.steps_per_epoch):
                for rank in range(processes):
                    mine = self._rows(step, Share(rank, processes))
                    if not mine:
                        continue
                    tensors = stack_pairs([self._pairs[i] for i in mine])
                    size = self._micro_batch or len(mine)
                    for start in range(0, len(mine), size):
                        part = {
                            name: tensor[start : start + size].to(device)
                            for name, tensor in tensors.items()
                        }
                        values_PS = moment.compute(
                            lambda models, part=part: _of_pairs(models[role], part)  # type: ignore[misc]
                        )
                        found_PS[mine[start : start + size]] = values_PS.cpu()
                    bar.advance(len(mine))
        finally:
            bar.close()
        return found_PS


@dataclass(frozen=True)
class Dpo:
    """The preference loss, summed over pairs, and what must be watched beside it.

    form, beta, label_smoothing: see `losses.dpo_loss`. sft_weight: of the chosen answer's
    cross-entropy per token, added to the loss (RPO, Pang et al. 2024, equation 1), which holds up
    the chosen log-probability; without it both fall together.
    """

    beta: float = 0.1
    form: DpoForm = "dpo"
    label_smoothing: float = 0.0
    sft_weight: float = 0.0
    role: str = "policy"

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        """The loss of these pairs. `preference_loss` leaves the added cross-entropy out."""
        policy_PS, reference_PS = _of_pairs(models[self.role], tensors), tensors["reference_PS"]
        tokens_PS = tensors["mask_PST"].sum(dim=-1).float()
        terms = dpo_loss(
            policy_PS[:, 0],
            policy_PS[:, 1],
            reference_PS[:, 0],
            reference_PS[:, 1],
            beta=self.beta,
            form=self.form,
            label_smoothing=self.label_smoothing,
            chosen_tokens_B=tokens_PS[:, 0],
            rejected_tokens_B=tokens_PS[:, 1],
        )
        total, count = terms.loss.sum(), float(len(terms.loss))
        values = {
            "preference_loss": terms.loss.detach(),
            "margin": terms.margin,
            "accuracy": (terms.margin > 0).float(),
            "chosen_reward": terms.chosen,
            "rejected_reward": terms.rejected,
            "chosen_log_probability": policy_PS[:, 0].detach(),
            "rejected_log_probability": policy_PS[:, 1].detach(),
        }
        if self.sft_weight:
            cross_entropy_P = -policy_PS[:, 0] / tokens_PS[:, 0]
            values["chosen_cross_entropy"] = cross_entropy_P.detach()
            total = total + self.sft_weight * cross_entropy_P.sum()
        return Loss(total, count, {name: (value.sum(), count) for name, value in values.items()})


@dataclass(frozen=True)
class StartsAtReference:
    """At the first step the policy is the reference: every margin is 0 and the loss is known.

    log 2, whatever beta is (also with smoothed labels); 1 / (4 beta^2) for ipo.
    """

    objective: Dpo
    name: str = "DPO starts at log 2"

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """None where margins are exactly 0 and the loss is that of margin 0 to float32."""
        policy_PS = _of_pairs(models[self.objective.role], tensors)
        apart = float((policy_PS - tensors["reference_PS"]).abs().max())
        if apart != 0.0:  # nan too
            return (
                f"policy and reference differ by up to {apart:.3g} nats in an answer, and should "
                f"not at all"
            )
        total, count = loss.metrics["preference_loss"]
        found = float(total) / float(count)
        expected = math.log(2.0)
        if self.objective.form == "ipo":
            expected = 1.0 / (4.0 * self.objective.beta**2)
        if not abs(found - expected) <= 1e-5 * expected:
            return f"the loss is {found:.7g} nats, not {expected:.7g}"
        return None
