"""What DPO did to held-out pairs: implicit rewards, and where the log-probabilities went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gristmill.align.dpo import answer_log_probabilities
from gristmill.align.losses import DpoForm, dpo_loss
from gristmill.align.pair_rows import Pair, mean_of, share_of, stack_pairs
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.core.progress import Progress, Silent
from gristmill.model.language_model import LanguageModel

_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class DpoEvaluation:
    """Of held-out pairs; 95% intervals are bootstrapped over prompts.

    margin: implicit reward of the chosen answer minus that of the rejected one (0 for the
    reference itself). accuracy: pairs with a margin above 0. The changes are in nats an answer
    against the reference: below 0 on both sides is the rule, a chosen one that falls far is harm.
    """

    margin: Figure
    accuracy: Figure
    chosen_log_probability: Figure
    rejected_log_probability: Figure
    chosen_change: Figure
    rejected_change: Figure


def pair_log_probabilities(
    model: LanguageModel, pairs: Sequence[Pair], *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Nats of the chosen and the rejected answer of each pair, (pairs, 2); eval mode."""
    progress = progress or Silent()
    found_PS = np.zeros((len(pairs), 2))
    device = model.head_weight.device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in _by_length(pairs):
                tensors = stack_pairs([pairs[i] for i in batch])
                values_B = answer_log_probabilities(
                    model,
                    tensors["tokens_PST"].flatten(0, 1).to(device),
                    tensors["mask_PST"].flatten(0, 1).to(device),
                )
                found_PS[batch] = values_B.view(-1, 2).cpu().numpy()
                progress.advance(len(batch))
    finally:
        model.train(was_training)
    return found_PS


def evaluate_dpo(
    policy: LanguageModel | NDArray[np.float64],
    reference: LanguageModel | NDArray[np.float64],
    pairs: Sequence[Pair],
    *,
    beta: float,
    form: DpoForm = "dpo",
    progress: Progress | None = None,
) -> DpoEvaluation:
    """Judges a policy against its reference, each a model or its `pair_log_probabilities`.

    Raises GristmillError where there is no pair.
    """
    if not pairs:
        raise GristmillError("there is no held-out pair to judge the policy on")
    policy_PS, reference_PS = (
        given if isinstance(given, np.ndarray) else pair_log_probabilities(
            given, pairs, progress=progress
        )
        for given in (policy, reference)
    )  # fmt: skip
    both = (torch.from_numpy(policy_PS), torch.from_numpy(reference_PS))
    terms = dpo_loss(
        both[0][:, 0],
        both[0][:, 1],
        both[1][:, 0],
        both[1][:, 1],
        beta=beta,
        form=form,
        chosen_tokens_B=torch.tensor([len(pair.chosen) for pair in pairs]),
        rejected_tokens_B=torch.tensor([len(pair.rejected) for pair in pairs]),
    )
    margin_P = terms.margin.numpy()
    change_PS = policy_PS - reference_PS
    return DpoEvaluation(
        margin=mean_of(margin_P, pairs),
        accuracy=share_of(margin_P > 0, pairs),
        chosen_log_probability=mean_of(policy_PS[:, 0], pairs),
        rejected_log_probability=mean_of(policy_PS[:, 1], pairs),
        chosen_change=mean_of(change_PS[:, 0], pairs),
        rejected_change=mean_of(change_PS[:, 1], pairs),
    )


def _by_length(pairs: Sequence[Pair]) -> list[list[int]]:
    batches: list[list[int]] = []
    for index in sorted(range(len(pairs)), key=lambda i: -pairs[i].longest):
        full = 2 * pairs[batches[-1][0]].longest * (len(batches[-1]) + 1) if batches else 0
        if batches and full <= _BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
