"""Roll-outs: answers sampled for prompts, laid out in rows, with what the models say of them.

A row is prompt and answer, padded on the right: no token sees what follows it, so padding needs no
mask. Rows have L tokens; whatever belongs to a predicted token (log-probability, value, reward)
has T = L - 1 columns, column t for token t + 1. `mask_BT` is 1 where that token is the answer's,
its end included. All log-probabilities are of softmax(logits / temperature).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gristmill.infer.generator import Completion, Generator, Request, Sampling
from gristmill.model.language_model import LanguageModel
from gristmill.train.interfaces import Models, Share


@dataclass(frozen=True)
class Rows:
    """Prompts with their sampled answers.

    tokens_BL: int64, 0 where padded. mask_BT and sampler_BT (the log-probabilities that the sampler
    gave): float32, 0 where masked. ended_B: whether the answer's end was sampled; it is never
    appended where it was not.
    """

    tokens_BL: Tensor
    mask_BT: Tensor
    sampler_BT: Tensor
    ended_B: Tensor
    conversations: list[list[int]]
    """The same rows unpadded, for what scores them."""


def sample(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    max_tokens: int,
    temperature: float,
    stop_ids: tuple[int, ...],
) -> list[Completion]:
    """One answer for each prompt, from the whole distribution: no top-k, no top-p.

    What was cut away at sampling would still carry probability in the loss.
    """
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature, stop_ids=stop_ids)
    pairs = zip(prompts, seeds, strict=True)
    return generator.generate([Request(prompt, sampling, seed) for prompt, seed in pairs])


def lay_out(prompts: Sequence[Sequence[int]], answers: Sequence[Completion], end_id: int) -> Rows:
    """Rows as long as the longest conversation. end_id: what ends an answer."""
    conversations = [[*p, *a.tokens] for p, a in zip(prompts, answers, strict=True)]
    length = max(len(conversation) for conversation in conversations)
    tokens_BL = torch.zeros(len(answers), length, dtype=torch.int64)
    mask_BT = torch.zeros(len(answers), length - 1)
    sampler_BT = torch.zeros_like(mask_BT)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        tokens_BL[row, : len(conversations[row])] = torch.tensor(conversations[row])
        columns = slice(len(prompt) - 1, len(conversations[row]) - 1)
        mask_BT[row, columns] = 1.0
        sampler_BT[row, columns] = torch.tensor(answer.log_probabilities)
    ended_B = torch.tensor([answer.tokens[-1] == end_id for answer in answers])
    return Rows(tokens_BL, mask_BT, sampler_BT, ended_B, conversations)


def answer_log_probabilities(
    model: LanguageModel, tokens_BL: Tensor, mask_BT: Tensor, *, temperature: float
) -> Tensor:
    """log p of each token of the answers given those before it, (B, T), float32; 0 where masked.

    Gradients flow where they are enabled. The head is multiplied for the answers' tokens alone,
    and columns after the longest answer are not computed.
    """
    return _spread(_log_p(*_answer_logits(model, tokens_BL, mask_BT, temperature)), mask_BT)


def answer_statistics(
    model: LanguageModel, tokens_BL: Tensor, mask_BT: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The log-probabilities, bit for bit those above; and of the distribution that each token was
    drawn from the entropy and the variance of -log p, nats; (B, T) each, 0 where masked."""
    logits_NV, target_N = _answer_logits(model, tokens_BL, mask_BT, temperature)
    log_NV = logits_NV.log_softmax(dim=-1)
    p_NV = log_NV.exp()
    entropy_N = -(p_NV * log_NV).sum(dim=-1)
    variance_N = (p_NV * (log_NV + entropy_N[:, None]).square()).sum(dim=-1)
    found = (_log_p(logits_NV, target_N), entropy_N, variance_N)
    log_p_BT, entropy_BT, variance_BT = (_spread(values_N, mask_BT) for values_N in found)
    return log_p_BT, entropy_BT, variance_BT


def answer_values(model: nn.Module, tokens_BL: Tensor, mask_BT: Tensor) -> Tensor:
    """The value before each token of the answers, (B, T), float32; 0 where masked."""
    length = _columns(mask_BT)
    values_BT: Tensor = model(tokens_BL[:, :length])
    return _spread(values_BT[mask_BT[:, :length] > 0].float(), mask_BT)


def policy_of(models: Models) -> LanguageModel:
    """The model that is sampled from and trained."""
    policy = models["policy"]
    assert isinstance(policy, LanguageModel)
    return policy


@contextmanager
def reference_of(models: Models) -> Iterator[LanguageModel]:
    """The frozen reference; where there is none, the policy with its adapter switched off, so that
    no second copy is held."""
    reference = models.get("reference")
    if reference is not None:
        assert isinstance(reference, LanguageModel)
        yield reference
        return
    from gristmill.model.lora import disabled

    policy = models["policy"]
    assert isinstance(policy, LanguageModel)
    with disabled(policy):
        yield policy


def micro_batches(
    rows: int, minibatch: int, micro_batch: int | None, processes: int
) -> list[slice]:
    """The slices in which `rows` rows go through the models when each `minibatch` of them in turn
    is one step of the trainer: every process has a part, and cuts it into micro-batches.

    What is computed in these slices has the bits that the objective computes.
    """
    found = []
    for first in range(0, rows, minibatch):
        for rank in range(processes):
            own = Share(rank, processes).rows(min(minibatch, rows - first))
            size = micro_batch or max(1, len(own))
            for start in range(own.start, own.stop, size):
                found.append(slice(first + start, first + min(start + size, own.stop)))
    return found


def _answer_logits(
    model: LanguageModel, tokens_BL: Tensor, mask_BT: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """logits_NV / temperature in float32 and target_N of the N tokens of the answers."""
    length = _columns(mask_BT)
    real_BT = mask_BT[:, :length] > 0
    hidden_BTD = model(tokens_BL[:, :length])
    logits_NV = model.head(hidden_BTD[real_BT]).float() / temperature
    return logits_NV, tokens_BL[:, 1 : length + 1][real_BT]


def _log_p(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    return logits_NV.gather(1, target_N[:, None])[:, 0] - logits_NV.logsumexp(dim=-1)


def _spread(values_N: Tensor, mask_BT: Tensor) -> Tensor:
    zeros_BT = torch.zeros(mask_BT.shape, dtype=values_N.dtype, device=values_N.device)
    return zeros_BT.masked_scatter(mask_BT > 0, values_N)


def _columns(mask_BT: Tensor) -> int:
    """Columns up to the last token of the longest answer."""
    real_T = (mask_BT > 0).any(dim=0)
    return int(real_T.nonzero().max()) + 1
