"""What every family of language models has in common: all that the house asks of one.

The trainer, the engine, scoring and evaluation take a `LanguageModel` and never ask which one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class Cache(Protocol):
    """What some rows have read: keys and values, or a state."""

    @property
    def capacity(self) -> int:
        """Tokens that a row may have at most."""

    @property
    def length(self) -> int:
        """Tokens of the longest row so far."""

    @property
    def rows(self) -> int:
        """How many sequences it holds."""

    def keep(self, rows: Tensor) -> None:
        """Keeps only these rows, in this order; one that stands twice is copied."""

    def join(self, other: Any) -> None:
        """Adds the rows of another cache of the same model after its own."""


class LanguageModel(ABC, nn.Module):
    """Token ids in, hidden states out; `head` turns hidden states into logits.

    Its parameters are named as the trainer's optimizers expect: the embedding has `embed` in its
    name, an untied head `lm_head`, and what repeats stands under `.layers.`.
    """

    # Where `load_model` and a constructor put them.
    config: Any
    lm_head: nn.Linear | None

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

    @property
    @abstractmethod
    def embedding_weight(self) -> Tensor:
        """The (vocab_size, width) matrix that tokens are looked up in."""

    @abstractmethod
    def new_cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache for `rows` sequences of up to `capacity` tokens, beside the weights."""

    @abstractmethod
    def init_weights(self, seed: int) -> None:
        """Fills every parameter; each from its own seed."""

    @abstractmethod
    def num_matrix_parameters(self) -> int:
        """Parameters that multiply activations, the head among them: the N of 6 N D."""

    @property
    def head_weight(self) -> Tensor:
        """The (vocab_size, width) matrix that `head` multiplies by: the embedding where tied."""
        return self.embedding_weight if self.lm_head is None else self.lm_head.weight

    def head(self, hidden_BTD: Tensor) -> Tensor:
        """logits_BTV of hidden states (any leading axes)."""
        return F.linear(hidden_BTD, self.head_weight)

    def num_parameters(self) -> int:
        """All parameters, a tied embedding counted once."""
        return sum(parameter.numel() for parameter in self.parameters())


def run_starts(segments_BT: Tensor) -> Tensor:
    """True where a run of one segment id begins in its row; (B, T)."""
    starts_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    starts_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    return starts_BT
