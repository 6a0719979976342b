"""PPO's roll-outs as a source: sample, score, take off the KL, estimate advantages, hand out.

An iteration samples `rollouts` answers and then makes `epochs` passes over these rows in
`minibatches` steps each. The models are policy and value (trained), reference (frozen; or the
policy with its adapter switched off) and whatever stands behind `score`. The papers are named in
ppo.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.align import losses
from gristmill.align.checks import check_sampler, check_whole_distribution, compute_dtype
from gristmill.align.ppo import PpoSettings
from gristmill.align.rollouts import (
    Rows,
    answer_log_probabilities,
    answer_statistics,
    answer_values,
    lay_out,
    micro_batches,
    policy_of,
    reference_of,
    sample,
)
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion
from gristmill.train.interfaces import Batch, Json, Models, Moment, State
from gristmill.train.permutation import permute

Score = Callable[[Sequence[Sequence[int]]], Sequence[float] | NDArray[np.floating[Any]]]
"""Conversations as ids (prompt and answer) to one number each."""


class PpoSource:
    """Minibatches of roll-outs; samples new ones when the last are used up.

    prompts: ids, each ending with the assistant's header. end_id: what ends an answer; stop_ids:
    what stops the sampler. max_rows: decoded together. micro_batch: the trainer's.
    Its state is the iteration, the step in it, beta, how many prompts were drawn, and the rows.
    Every process samples and holds the same rows; the trainer's share picks among them.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        score: Score,
        settings: PpoSettings,
        *,
        end_id: int,
        stop_ids: tuple[int, ...],
        seed: int,
        max_rows: int = 64,
        micro_batch: int | None = None,
    ):
        if not prompts:
            raise GristmillError("PPO has no prompts", mend="give a chats artifact with prompts")
        self._prompts, self._score, self._settings = list(prompts), score, settings
        self._end_id, self._stop_ids = end_id, stop_ids
        self._seed, self._max_rows, self._micro_batch = seed, max_rows, micro_batch
        self._iteration, self._position, self._drawn = 0, 0, 0
        self._beta = settings.beta
        self._buffer: dict[str, Tensor] = {}

    @property
    def beta(self) -> float:
        """The weight of the KL that the next roll-outs will get."""
        return self._beta

    def next(self, moment: Moment) -> Batch:
        """This process's rows of the next minibatch."""
        settings, metrics = self._settings, {}
        if not self._buffer:
            metrics = self._roll_out(moment)
        epoch, minibatch = divmod(self._position, settings.minibatches)
        size = settings.rollouts // settings.minibatches
        order_N = self._order(epoch)[minibatch * size : (minibatch + 1) * size]
        own = moment.share.rows(size)
        tensors = {name: t[order_N[own.start : own.stop]] for name, t in self._buffer.items()}
        info = {"iteration": self._iteration, "epoch": epoch, "prompts": self._drawn}
        self._position += 1
        if self._position == settings.steps_per_iteration:
            self._buffer, self._position = {}, 0
            self._iteration += 1
        return Batch(tensors, int(tensors["length_B"].sum()), info=info, metrics=metrics)

    def state(self) -> State:
        """Everything, rows included, so that a run goes on in the middle of an iteration."""
        numbers: Json = {
            "iteration": self._iteration,
            "position": self._position,
            "drawn": self._drawn,
            "beta": self._beta,
        }
        return State(numbers, dict(self._buffer))

    def restore(self, state: State) -> None:
        """Goes on from there."""
        self._iteration, self._position = state.json["iteration"], state.json["position"]
        self._drawn, self._beta = state.json["drawn"], state.json["beta"]
        self._buffer = dict(state.tensors)

    def _order(self, epoch: int) -> Tensor:
        """The rows' order: as sampled in the first epoch, which the recomputed log-probabilities
        rely on; shuffled anew in each later one."""
        rows = self._settings.rollouts
        if epoch == 0:
            return torch.arange(rows)
        seed = derive_seed(self._seed, "order", self._iteration, epoch)
        return torch.from_numpy(permute(np.arange(rows), rows, seed))

    def _roll_out(self, moment: Moment) -> dict[str, float]:
        """Fills the buffer with an iteration's rows; what is to be logged of them."""
        settings = self._settings
        # 1. Sample, from the models as an update sees them.
        numbers = range(self._drawn, self._drawn + settings.rollouts)
        prompts = [self._prompts[self._which(number)] for number in numbers]
        rows = lay_out(prompts, self._answers(moment, prompts, numbers), self._end_id)
        self._drawn += settings.rollouts
        mask_BT = rows.mask_BT
        # 2. Score; an answer without an end has a fixed score, whatever it says.
        score_B = scores(self._score, rows, settings.missing_end_score)
        # 3. What policy, reference and value model say, in the micro-batches of the first epoch.
        said = self._look(moment, rows)
        # 4. KL at each token, taken off the reward; the score at the last token.
        k1_BT, _, k3_BT = losses.kl_estimates(said.log_p_BT, said.reference_BT)
        kl_BT = (k1_BT if settings.kl == "k1" else k3_BT).detach()
        rewards_BT = losses.token_rewards(score_B, kl_BT, mask_BT, self._beta)
        if settings.whiten_rewards:
            rewards_BT = losses.whiten(rewards_BT, mask_BT, shift_mean=False)
        # 5. Advantages and returns.
        advantages_BT, returns_BT = losses.advantages_and_returns(
            rewards_BT, said.values_BT, mask_BT, gamma=settings.gamma, lam=settings.lam
        )
        if settings.whiten_advantages:
            advantages_BT = losses.whiten(advantages_BT, mask_BT)
        weight_BT = self._weights(said.log_p_BT, rows)
        self._buffer = {
            "tokens_BL": rows.tokens_BL,
            "length_B": torch.tensor([len(c) for c in rows.conversations]),
            "mask_BT": mask_BT,
            "weight_BT": weight_BT,
            "old_log_p_BT": said.log_p_BT,
            "old_values_BT": said.values_BT,
            "advantages_BT": advantages_BT,
            "returns_BT": returns_BT,
        }
        kl_B = losses.masked_sum(k1_BT, mask_BT)
        metrics = {
            "score": float(score_B.mean()),
            "kl": float(kl_B.mean()),
            "kl_error": float(kl_B.std()) / math.sqrt(len(kl_B)) if len(kl_B) > 1 else 0.0,
            "kl_k3": float(losses.masked_sum(k3_BT, mask_BT).mean()),
            "beta": self._beta,
            "answer_tokens": float(mask_BT.sum(dim=1).mean()),
            "ended": float(rows.ended_B.float().mean()),
            "entropy": float(losses.masked_mean(said.entropy_BT, mask_BT)),
            "explained_variance": float(
                losses.explained_variance(said.values_BT, returns_BT, mask_BT)
            ),
            **_mismatch(rows.sampler_BT, said.log_p_BT, mask_BT),
        }
        # 6. Ziegler's controller, for the next roll-outs.
        if settings.target_kl is not None:
            self._beta = losses.adapted_beta(
                self._beta, metrics["kl"], settings.target_kl, settings.rollouts, settings.horizon
            )
        return metrics

    def _which(self, number: int) -> int:
        """The prompt of the `number`th roll-out: every pass has an order of its own."""
        turn, index = divmod(number, len(self._prompts))
        seed = derive_seed(self._seed, "prompts", turn)
        return int(permute(np.array([index]), len(self._prompts), seed)[0])

    def _answers(
        self, moment: Moment, prompts: Sequence[Sequence[int]], numbers: range
    ) -> list[Completion]:
        seeds = [derive_seed(self._seed, "roll-out", number) for number in numbers]
        settings = self._settings
        return moment.compute(
            lambda models: sample(
                Engine(policy_of(models), max_rows=self._max_rows),
                prompts,
                seeds,
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                stop_ids=self._stop_ids,
            )
        )

    def _look(self, moment: Moment, rows: Rows) -> _Said:
        settings = self._settings
        slices = micro_batches(
            settings.rollouts,
            settings.rollouts // settings.minibatches,
            self._micro_batch,
            moment.share.processes,
        )

        def look(models: Models) -> tuple[_Said, torch.dtype]:
            policy = policy_of(models)
            device = policy.head_weight.device
            parts = []
            for part in slices:
                tokens_BL, mask_BT = rows.tokens_BL[part].to(device), rows.mask_BT[part].to(device)
                about = answer_statistics(
                    policy, tokens_BL, mask_BT, temperature=settings.temperature
                )
                with reference_of(models) as reference:
                    reference_BT = answer_log_probabilities(
                        reference, tokens_BL, mask_BT, temperature=settings.temperature
                    )
                values_BT = answer_values(models["value"], tokens_BL, mask_BT)
                parts.append([t.cpu() for t in (*about, reference_BT, values_BT)])
            whole = [torch.cat(column) for column in zip(*parts, strict=True)]
            return _Said(*whole), compute_dtype(policy)

        said, dtype = moment.compute(look)
        if dtype == torch.float32:
            check_sampler(rows.sampler_BT, said.log_p_BT, rows.mask_BT)
        check_whole_distribution(said.log_p_BT, said.entropy_BT, said.variance_BT, rows.mask_BT)
        return said

    def _weights(self, log_p_BT: Tensor, rows: Rows) -> Tensor:
        """What each token's policy loss is multiplied by; see the settings."""
        settings = self._settings
        if self._iteration < settings.value_warmup:
            return torch.zeros_like(rows.mask_BT)
        if settings.truncated_importance is None:
            return rows.mask_BT.clone()
        ratio_BT = torch.exp(log_p_BT - rows.sampler_BT)
        return ratio_BT.clamp(max=settings.truncated_importance) * rows.mask_BT


def scores(score: Score, rows: Rows, missing_end_score: float) -> Tensor:
    """What each conversation is given, (B,): the score, or the fixed one where the end is missing.

    Raises GristmillError where a score is not finite.
    """
    score_B = torch.tensor(np.asarray(score(rows.conversations), dtype=np.float32))
    if not bool(torch.isfinite(score_B).all()):
        raise GristmillError("a score is not a finite number", mend="look at the reward model")
    return torch.where(rows.ended_B, score_B, missing_end_score)


@dataclass(frozen=True)
class _Said:
    """What the models say of each token of the answers, (B, T) each, 0 where masked."""

    log_p_BT: Tensor
    entropy_BT: Tensor
    variance_BT: Tensor
    reference_BT: Tensor
    values_BT: Tensor


def _mismatch(sampler_BT: Tensor, log_p_BT: Tensor, mask_BT: Tensor) -> dict[str, float]:
    """How far sampler and trainer are apart: KL in nats a token, and the largest difference."""
    _, _, k3_BT = losses.kl_estimates(sampler_BT, log_p_BT)
    return {
        "sampler_kl": float(losses.masked_mean(k3_BT, mask_BT)),
        "sampler_difference": float(((sampler_BT - log_p_BT) * mask_BT).abs().max()),
    }
