"""What every family of language models has in common: all that the house asks of one.

The trainer, the engine, scoring and evaluation take a `LanguageModel` and never ask which one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed


class ModelShape(Protocol):
    """What the configuration of every family tells."""

    @property
    def vocab_size(self) -> int:
        """Token ids are below it."""

    @property
    def width(self) -> int:
        """Of the hidden states that the head reads."""

    @property
    def layers(self) -> int:
        """How many blocks or recurrent layers follow each other."""

    @property
    def context(self) -> int:
        """The length that it is trained for."""

    @property
    def tied(self) -> bool:
        """Whether embedding and head are one matrix."""


class Cache(ABC):
    """What some rows have read: keys and values, or a state.

    capacity: tokens that a row may have at most. length: tokens of the longest row so far.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.length = 0

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many sequences it holds."""

    def reserve(self, length: int) -> None:
        """Lets rows have `length` tokens. Raises GristmillError beyond the capacity."""
        if length > self.capacity:
            raise GristmillError(
                f"{length} tokens do not fit into a cache of {self.capacity}",
                mend="shorten the prompt or the output, or make the cache larger",
            )
        self.length = max(self.length, length)

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Keeps only these rows, in this order (finished requests leave the batch). A row that
        stands twice is copied (requests that share a prompt)."""

    @abstractmethod
    def join(self, other: Self) -> None:
        """Adds the rows of `other`, of the same model, after its own (requests that join a
        batch)."""

    @abstractmethod
    def grow(self, capacity: int) -> None:
        """Makes room for rows of `capacity` tokens, where there is less."""


class LanguageModel(ABC, nn.Module):
    """Token ids in, hidden states out; `head` turns hidden states into logits.

    trunk: all but the head, with `embed_tokens` and, under `layers`, what repeats; the trainer's
    optimizers tell parameters apart by these names and `lm_head`.
    """

    config: Any
    model: Any
    lm_head: nn.Linear | None

    def __init__(self, config: ModelShape, trunk: nn.Module):
        super().__init__()
        self.config = config
        self.model = trunk
        self.lm_head = (
            None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        )

    @abstractmethod
    def forward(
        self,
        tokens_BT: Tensor,
        *,
        segments_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
        lengths_B: Tensor | None = None,
    ) -> Tensor:
        """hidden_BTD; each depends on its token and those before it in its row and segment.

        segments_BT: integers; a token sees only earlier tokens of its own segment (several
        documents in one row). positions_BT: default 0, 1, ... in each row, restarting in each
        segment, going on where a cache is given. cache: what the rows held before; the new tokens
        are added to it. lengths_B: with a cache, how many tokens of each row are real; the rest is
        padding on the right, whose hidden states mean nothing and which the cache forgets.
        Raises GristmillError where segments and a cache are both given or the cache is full.
        """

    @abstractmethod
    def new_cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache for `rows` sequences of up to `capacity` tokens, beside the weights."""

    @abstractmethod
    def init_weights(self, seed: int) -> None:
        """Fills every parameter; each from its own seed."""

    @property
    def embedding_weight(self) -> Tensor:
        """The (vocab_size, width) matrix that tokens are looked up in."""
        weight: Tensor = self.model.embed_tokens.weight
        return weight

    @property
    def head_weight(self) -> Tensor:
        """The (vocab_size, width) matrix that `head` multiplies by: the embedding where tied."""
        return self.embedding_weight if self.lm_head is None else self.lm_head.weight

    @property
    def logit_cap(self) -> float:
        """Logits are cap * tanh(logits / cap), so that none is beyond it; 0: as they are. Who
        computes logits from `head_weight` caps them too."""
        return 0.0

    def head(self, hidden_BTD: Tensor) -> Tensor:
        """logits_BTV of hidden states (any leading axes)."""
        logits_BTV = F.linear(hidden_BTD, self.head_weight)
        cap = self.logit_cap
        return cap * torch.tanh(logits_BTV / cap) if cap else logits_BTV

    def num_parameters(self) -> int:
        """All parameters, a tied embedding counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def num_matrix_parameters(self) -> int:
        """Parameters that multiply activations: every matrix in the layers, and the head.

        The head counts, tied or not, because it is multiplied; an untied embedding does not,
        because it is only looked up; norms and biases do not. This is the N of 6 N D (flops.py).
        """
        matrices = sum(p.numel() for p in self.model.layers.parameters() if p.ndim == 2)
        return matrices + self.head_weight.numel()


@torch.no_grad()
def draw(parameter: Tensor, std: float, seed: int, name: str) -> None:
    """Fills it with N(0, std) from a seed of its own, so that no shape moves another's values."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "init", name))
    values = torch.randn(parameter.shape, generator=generator) * std
    parameter.copy_(values.to(parameter.dtype))


def run_starts(segments_BT: Tensor) -> Tensor:
    """True where a run of one segment id begins in its row; (B, T)."""
    starts_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    starts_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    return starts_BT
