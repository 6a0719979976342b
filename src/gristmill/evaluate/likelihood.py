"""Scoring many sequences with any `Scorer`, in an order and in portions that keep it busy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from gristmill.core.progress import Progress, Silent
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Scorer

Floats = NDArray[np.float64]
# Sequences handed to a scorer at once: enough for its batches, small enough for a moving bar.
_PORTION = 512


def score_all(
    scorer: Scorer, sequences: Sequence[Sequence[int]], bar: Progress | None = None
) -> list[Floats]:
    """log p (nats) of every token but the first of each sequence, in order.

    The scorer sees sequences of like length together; `bar` advances by tokens.
    """
    bar = bar or Silent()
    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i]), i))
    scores: list[Floats] = [np.zeros(0) for _ in sequences]
    for start in range(0, len(order), _PORTION):
        portion = order[start : start + _PORTION]
        scored = scorer.score_tokens([sequences[i] for i in portion])
        for i, score in zip(portion, scored, strict=True):
            scores[i] = score.astype(np.float64)
        bar.advance(float(sum(len(sequences[i]) for i in portion)))
    return scores


def score_endings(
    scorer: Scorer,
    endings: Sequence[tuple[Sequence[int], int]],
    bar: Progress | None = None,
) -> Floats:
    """log p (nats) of one token after each prompt, (prompt, token).

    Equal prompts are read once where the scorer is our engine, whatever the number of endings:
    four letters cost as much as one.
    """
    if not isinstance(scorer, Engine):
        scored = score_all(scorer, [[*prompt, token] for prompt, token in endings], bar)
        return np.array([float(scores[-1]) for scores in scored])
    bar = bar or Silent()
    asked: dict[tuple[int, ...], list[int]] = {}
    for place, (prompt, _) in enumerate(endings):
        asked.setdefault(tuple(prompt), []).append(place)
    log_p = np.zeros(len(endings))
    prompts = sorted(asked, key=lambda prompt: (-len(prompt), prompt))
    while prompts:
        rows = max(1, min(len(prompts), scorer.batch_tokens // len(prompts[0])))
        batch, prompts = prompts[:rows], prompts[rows:]
        for prompt, log_p_V in zip(batch, _next_tokens(scorer, batch), strict=True):
            for place in asked[prompt]:
                log_p[place] = log_p_V[endings[place][1]]
        bar.advance(float(sum(map(len, batch))))
    return log_p


def _next_tokens(engine: Engine, prompts: Sequence[Sequence[int]]) -> Floats:
    """log p of every token of the vocabulary after each prompt, (prompts, vocabulary)."""
    device = engine.model.head_weight.device
    tokens = np.zeros((len(prompts), max(map(len, prompts))), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    was_training = engine.model.training
    engine.model.eval()
    try:
        with torch.no_grad():
            # Padding on the right needs no mask: no token sees what follows it.
            hidden_BTD = engine.model(torch.from_numpy(tokens).to(device))
            hidden_BD = hidden_BTD[torch.arange(len(prompts), device=device), last]
            log_p_BV = engine.model.head(hidden_BD).float().log_softmax(dim=-1)
    finally:
        engine.model.train(was_training)
    return log_p_BV.cpu().numpy().astype(np.float64)


def score_documents(
    scorer: Scorer,
    documents: Sequence[ArrayLike],
    eot_id: int,
    context: int | None = None,
    stride: int | None = None,
    bar: Progress | None = None,
) -> list[Floats]:
    """log p (nats) of each document's tokens and its closing eot, given eot and what precedes.

    documents: ids without eot. context: the most tokens that the scorer can look back on (None: no
    limit). A longer document is read in windows that overlap, each scoring `stride` new tokens
    (default: half the context): every token is scored once and sees at least context - stride
    tokens, or all there are.
    """
    rows = [[eot_id, *np.asarray(d, dtype=np.int64).tolist(), eot_id] for d in documents]
    spans = [
        window for i, row in enumerate(rows) for window in _windows(i, len(row), context, stride)
    ]
    scored = score_all(scorer, [rows[i][start:stop] for i, start, _, stop in spans], bar)
    out = [np.zeros(len(row) - 1) for row in rows]
    for (i, start, new, stop), scores in zip(spans, scored, strict=True):
        out[i][new - 1 : stop - 1] = scores[new - 1 - start :]
    return out


def _windows(
    document: int, length: int, context: int | None, stride: int | None
) -> list[tuple[int, int, int, int]]:
    """(document, first token, first token that is scored, end) for each window of a row."""
    if context is None or length <= context + 1:
        return [(document, 0, 1, length)]
    stride = stride or max(1, context // 2)
    windows = [(document, 0, 1, context + 1)]
    while windows[-1][3] < length:
        new = windows[-1][3]
        windows.append((document, new + stride - context - 1, new, min(length, new + stride)))
    return windows
