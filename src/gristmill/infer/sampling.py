"""From logits to a token, row by row: temperature, top-k, top-p, and one uniform number a token.

The token is found by inverting the cumulative distribution in the order of token ids, so that a
row's choice is a function of its logits and of its own uniform number alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gristmill.infer.generator import Request, Sampling

_LEAST_TEMPERATURE = 1e-30


@dataclass(frozen=True)
class SamplingRows:
    """The choices of each row as tensors; `top` says whether any row cuts the distribution."""

    temperature_B: Tensor
    top_k_B: Tensor
    top_p_B: Tensor
    uniform_BN: Tensor
    top: bool
    greedy: bool

    @classmethod
    def of(cls, requests: Sequence[Request], device: torch.device | str) -> SamplingRows:
        """`uniform_BN` holds one number for each token that a row may produce."""
        rows = [request.sampling for request in requests]
        return cls(
            torch.tensor([row.temperature for row in rows], dtype=torch.float64, device=device),
            torch.tensor([row.top_k for row in rows], device=device),
            torch.tensor([row.top_p for row in rows], dtype=torch.float64, device=device),
            _uniforms(requests).to(device),
            any(row.top_k > 0 or row.top_p < 1 for row in rows),
            all(row.temperature == 0 for row in rows),
        )

    def keep(self, rows: Tensor) -> SamplingRows:
        """Only these rows."""
        return SamplingRows(
            self.temperature_B[rows],
            self.top_k_B[rows],
            self.top_p_B[rows],
            self.uniform_BN[rows],
            self.top,
            self.greedy,
        )


def choose(logits_BV: Tensor, rows: SamplingRows, step: int) -> tuple[Tensor, Tensor]:
    """The next token of each row and its log-probability (see Completion), (B,) each."""
    temperature_B = rows.temperature_B
    scale_B = torch.where(temperature_B > 0, temperature_B, 1.0)
    # A temperature that float32 takes for 0, or that makes logits infinite, is one next to 0.
    scaled_BV = logits_BV.float() / scale_B[:, None].float().clamp(min=_LEAST_TEMPERATURE)
    log_probs_BV = torch.log_softmax(scaled_BV, dim=-1)
    token_B = logits_BV.argmax(dim=-1)
    if not rows.greedy:
        probs_BV = log_probs_BV.double().exp()
        if rows.top:
            probs_BV = truncate(probs_BV, rows.top_k_B, rows.top_p_B)
        drawn_B = _invert(probs_BV, rows.uniform_BN[:, step])
        token_B = torch.where(temperature_B > 0, drawn_B, token_B)
    return token_B, log_probs_BV.gather(1, token_B[:, None])[:, 0]


def truncate(probs_BV: Tensor, top_k_B: Tensor, top_p_B: Tensor) -> Tensor:
    """Probabilities with those outside top-k, then top-p, set to 0; not normalised again.

    The most probable token always stays. Equal probabilities rank by token id.
    """
    sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True, stable=True)
    rank_V = torch.arange(probs_BV.shape[1], device=probs_BV.device)
    beyond_BV = (rank_V >= top_k_B[:, None]) & (top_k_B[:, None] > 0)
    sorted_BV = sorted_BV.masked_fill(beyond_BV, 0.0)
    # top-p is a share of what top-k left.
    before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
    total_B1 = sorted_BV.sum(dim=-1, keepdim=True)
    enough_BV = (before_BV >= top_p_B[:, None] * total_B1) & (top_p_B[:, None] < 1)
    sorted_BV = sorted_BV.masked_fill(enough_BV, 0.0)
    return torch.zeros_like(probs_BV).scatter_(1, order_BV, sorted_BV)


def token_seeds(seed: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """`count` uniform numbers in [0, 1) of one request: the first n do not depend on `count`."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)


def _uniforms(requests: Sequence[Request]) -> Tensor:
    longest = max(request.sampling.max_tokens for request in requests)
    numbers = np.zeros((len(requests), longest))
    for row, request in enumerate(requests):
        if request.sampling.temperature > 0:
            count = request.sampling.max_tokens
            numbers[row, :count] = token_seeds(request.seed, count)
    return torch.from_numpy(numbers)


def _invert(probs_BV: Tensor, uniform_B: Tensor) -> Tensor:
    cumulative_BV = probs_BV.cumsum(dim=-1)
    target_B1 = uniform_B[:, None] * cumulative_BV[:, -1:]
    # right=True: the first token whose cumulative mass exceeds the target, so never one of mass 0.
    found_B = torch.searchsorted(cumulative_BV, target_B1, right=True)[:, 0]
    return found_B.clamp(max=probs_BV.shape[1] - 1)


def greedy(max_tokens: int, stop_ids: tuple[int, ...] = ()) -> Sampling:
    """The most probable token each time."""
    return Sampling(max_tokens=max_tokens, temperature=0.0, stop_ids=stop_ids)
