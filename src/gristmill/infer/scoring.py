"""Log-probabilities of given tokens, never holding more than a chunk of the logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.core.progress import Progress, Silent
from gristmill.model.language_model import LanguageModel

# Logits held at once: 64 MB in float32 at 4,096 tokens of vocabulary.
_HEAD_CHUNK = 4096 * 4096
# A short sequence is padded to the longest of its batch; sorting by length keeps that small.
BATCH_TOKENS = 4096


def token_log_probabilities(
    model: LanguageModel,
    tokens_BT: Tensor,
    *,
    segments_BT: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """log softmax(logits / temperature) of each token given those before it, (B, T - 1), float32.

    Gradients flow where they are enabled.
    """
    segments_BT = None if segments_BT is None else segments_BT[:, :-1]
    hidden_BTD = model(tokens_BT[:, :-1], segments_BT=segments_BT)
    hidden_ND, target_N = hidden_BTD.flatten(0, 1), tokens_BT[:, 1:].flatten()
    chunk = max(1, _HEAD_CHUNK // model.config.vocab_size)
    parts = [
        _log_probability(
            model.head(hidden_ND[start : start + chunk]) / temperature,
            target_N[start : start + chunk],
        )
        for start in range(0, len(target_N), chunk)
    ]
    return torch.cat(parts).view(tokens_BT.shape[0], -1)


def score_sequences(
    model: LanguageModel,
    sequences: Sequence[Sequence[int]],
    *,
    temperature: float = 1.0,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """For each sequence the log-probabilities (nats) of all its tokens but the first.

    Sequences of like length share a batch of at most `batch_tokens` tokens. Right padding needs no
    mask: no token sees what follows it. Equal sequences are scored once. The module is in
    evaluation mode meanwhile.
    """
    progress = progress or Silent()
    device = model.head_weight.device
    asked = [tuple(sequence) for sequence in sequences]
    copies = Counter(asked)
    sequences = list(copies)
    results: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32) for _ in sequences]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in _batches([len(sequence) for sequence in sequences], batch_tokens):
                longest = len(sequences[batch[0]])
                tokens = np.zeros((len(batch), longest), dtype=np.int64)
                for row, index in enumerate(batch):
                    tokens[row, : len(sequences[index])] = sequences[index]
                scores = token_log_probabilities(
                    model, torch.from_numpy(tokens).to(device), temperature=temperature
                )
                scores_BT = scores.cpu().numpy()
                for row, index in enumerate(batch):
                    results[index] = scores_BT[row, : len(sequences[index]) - 1].copy()
                    progress.advance(len(sequences[index]) * copies[tuple(sequences[index])])
    finally:
        model.train(was_training)
    found = dict(zip(copies, results, strict=True))
    return [found[sequence].copy() for sequence in asked]


def _log_probability(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    logits_NV = logits_NV.float()
    return logits_NV.gather(1, target_N[:, None])[:, 0] - logits_NV.logsumexp(dim=-1)


def _batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of sequences of two tokens or more, longest first, in batches by padded size."""
    order = sorted((i for i in range(len(lengths)) if lengths[i] > 1), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    for index in order:
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
