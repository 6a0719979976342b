"""Answers drawn from a model for prompts, with their tokens, log-probabilities and CPU time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gristmill.align.chats import Answer, Chat
from gristmill.align.intervals import Floats
from gristmill.align.sampling import answer_of
from gristmill.core.progress import Progress, Silent
from gristmill.core.seeds import derive_seed
from gristmill.infer.generator import Completion, Generator, Request, Sampling
from gristmill.tokenizer.chat import ChatFormat


@dataclass(frozen=True)
class Drawn:
    """N answers to each of P prompts.

    prompts: ids up to the answer's header. cpu_seconds: process time of the sampling alone, over
    all threads.
    """

    chats: list[Chat]
    prompts: list[list[int]]
    completions: list[list[Completion]]
    answers: list[list[Answer]]
    cpu_seconds: float

    @property
    def per_prompt(self) -> int:
        """N."""
        return len(self.answers[0]) if self.answers else 0

    @property
    def stopped_PN(self) -> NDArray[np.bool_]:
        """Which answers ended by themselves."""
        return np.array([[answer.stopped for answer in row] for row in self.answers])

    @property
    def conversations(self) -> list[list[int]]:
        """Prompt and answer as ids, as they were sampled, prompt by prompt: P * N of them."""
        return [
            [*prompt, *completion.tokens]
            for prompt, row in zip(self.prompts, self.completions, strict=True)
            for completion in row
        ]

    def matrix(self, values: Sequence[float] | Floats) -> Floats:
        """P * N values in the order of `conversations` as (P, N)."""
        return np.asarray(values, dtype=np.float64).reshape(len(self.prompts), -1)


def draw(
    engine: Generator,
    chat_format: ChatFormat,
    chats: Sequence[Chat],
    sampling: Sampling,
    *,
    count: int = 1,
    seed: int = 0,
    bar: Progress | None = None,
) -> Drawn:
    """`count` answers to each chat's prompt; `bar` advances by answers.

    sampling: its stop ids are replaced by the format's. A sample depends on `seed`, the chat's id
    and its own number alone.
    """
    bar = bar or Silent()
    stopping = replace(sampling, stop_ids=chat_format.stop_ids)
    prompts = [chat_format.prompt(chat.prompt) for chat in chats]
    requests = [
        Request(prompt, stopping, derive_seed(seed, chat.id, number))
        for chat, prompt in zip(chats, prompts, strict=True)
        for number in range(count)
    ]
    start = time.process_time()
    flat = engine.generate(requests)
    spent = time.process_time() - start
    bar.advance(len(requests))
    completions = [flat[i : i + count] for i in range(0, len(flat), count)]
    answers = [[answer_of(one, chat_format) for one in row] for row in completions]
    return Drawn(list(chats), prompts, completions, answers, spent)
