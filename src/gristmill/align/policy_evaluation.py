"""How far a policy went from its reference, and what it gained: fresh answers to held-out prompts.

Nothing that a policy was trained on says either; roll-outs of the training do not, because the
prompts are known and the reward was fitted to them. KL is in nats a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gristmill.align.ppo_source import Score, scores
from gristmill.align.rollouts import lay_out, sample
from gristmill.core.figure import Figure, proportion, t_mean
from gristmill.core.seeds import derive_seed
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asking:
    """How answers are drawn: as in the training, so that the KL is that of the same policy."""

    max_tokens: int
    temperature: float
    stop_ids: tuple[int, ...]
    seed: int

    def answers(self, engine: Engine, prompts: Sequence[Sequence[int]]) -> list[Completion]:
        """One answer a prompt; the same seed a prompt for every model that is asked."""
        return sample(
            engine,
            prompts,
            [derive_seed(self.seed, "held-out", number) for number in range(len(prompts))],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stop_ids=self.stop_ids,
        )


@dataclass(frozen=True)
class PolicyEvaluation:
    """What a policy does with held-out prompts.

    reward: the mean score, kl: nats a sequence from the reference, both with Student's t interval
    over prompts. ended: share of answers whose end was sampled. length: tokens an answer.
    """

    reward: Figure
    kl: Figure
    ended: Figure
    length: Figure
    scores: Floats
    answers: list[Completion]


def evaluate_policy(
    policy: Engine,
    reference: Engine,
    prompts: Sequence[Sequence[int]],
    score: Score,
    asking: Asking,
    *,
    end_id: int,
    missing_end_score: float,
    as_reference: AbstractContextManager[None] | None = None,
) -> PolicyEvaluation:
    """Fresh answers of the policy, scored as in the training. as_reference: see `sequence_kl`."""
    answers = asking.answers(policy, prompts)
    rows = lay_out(prompts, answers, end_id)
    found = scores(score, rows, missing_end_score).numpy().astype(np.float64)
    kl = sequence_kl(
        reference, prompts, answers, temperature=asking.temperature, as_reference=as_reference
    )
    lengths = [float(len(answer.tokens)) for answer in answers]
    return PolicyEvaluation(
        reward=t_mean(found.tolist()),
        kl=t_mean(kl.tolist()),
        ended=proportion(int(rows.ended_B.sum()), len(answers)),
        length=t_mean(lengths),
        scores=found,
        answers=answers,
    )


def gain(before: PolicyEvaluation, after: PolicyEvaluation) -> Figure:
    """The mean of the scores' differences, paired by prompt, with Student's t interval."""
    return t_mean((after.scores - before.scores).tolist())


def measure_kl(
    policy: Engine,
    reference: Engine,
    prompts: Sequence[Sequence[int]],
    asking: Asking,
    *,
    as_reference: AbstractContextManager[None] | None = None,
) -> Figure:
    """KL(policy || reference) in nats a sequence from fresh answers, with Student's t interval.

    k1, the plain mean of log p - log ref: unbiased, and may come out below 0 where the KL is small.
    The standard error is the half width over the t quantile; `n` counts prompts.
    """
    answers = asking.answers(policy, prompts)
    kl = sequence_kl(
        reference, prompts, answers, temperature=asking.temperature, as_reference=as_reference
    )
    return t_mean(kl.tolist())


def sequence_kl(
    reference: Engine,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Completion],
    *,
    temperature: float,
    as_reference: AbstractContextManager[None] | None = None,
) -> Floats:
    """log p - log ref of each whole answer, at the temperature that it was drawn with.

    as_reference: entered while the reference scores; it switches the adapter off where the
    reference is the policy without it.
    """
    whole = [[*p, *a.tokens] for p, a in zip(prompts, answers, strict=True)]
    with as_reference or nullcontext():
        given = reference.score_tokens(whole, temperature=temperature)
    return np.array(
        [
            math.fsum(answer.log_probabilities) - math.fsum(found[len(prompt) - 1 :].tolist())
            for prompt, answer, found in zip(prompts, answers, given, strict=True)
        ]
    )
