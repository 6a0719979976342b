"""What everything that produces text looks like from outside.

`Engine` (a live module) fulfils these; a client of an HTTP endpoint or of another engine can. A
judge, a preference sampler or PPO takes a `Generator` and never asks what is behind it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    temperature: logits are divided by it; 0 takes the most probable token. top_k: only that many
    of the most probable tokens (0: all). top_p: only the fewest most probable tokens whose
    probability reaches it (Holtzman et al. 2020). Where both are given, top_k cuts first.
    stop_ids: any of these ends the output, itself included in it.
    """

    max_tokens: int = 64
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, sound, rule in (
            ("max_tokens", self.max_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < math.inf, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
        ):
            if not sound:
                raise GristmillError(f"{name} must be {rule}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Request:
    """One prompt. What is drawn depends on its own seed, not on what it is batched with."""

    prompt: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """What came out: token ids (a stop id included), the log-probability (nats) of each, and why
    it ended.

    The log-probabilities are those of the whole vocabulary at the sampling temperature, before
    top-k and top-p (at temperature 1 for greedy choice): what PPO needs.
    """

    tokens: list[int]
    log_probabilities: list[float]
    finish: Finish


@dataclass(frozen=True)
class Emitted:
    """One token as it comes out of a stream; `request` is the place in the list of requests."""

    request: int
    token: int
    log_probability: float
    finish: Finish | None


@runtime_checkable
class Generator(Protocol):
    """Prompts in, completions out, in the order of the requests."""

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion for each request."""
        ...


@runtime_checkable
class StreamingGenerator(Generator, Protocol):
    """A generator that can hand out tokens one by one."""

    def stream(self, requests: Sequence[Request]) -> Iterator[Emitted]:
        """Tokens as they are made; those of one request in order."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Gives probabilities to tokens that exist already."""

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """log p(token | the tokens before it), nats, of every token but the first of each."""
        ...
