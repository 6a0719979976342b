"""Messages in, text out: what a judge or a comparison needs of a model, wherever it runs.

`LocalText` makes one of a live module; `infer.endpoint.Endpoint` one of an HTTP endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gristmill.core.progress import Progress, Silent
from gristmill.infer.generator import Generator, Request, Sampling
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer

TextFinish = Literal["stop", "length", "failed"]


@dataclass(frozen=True)
class TextRequest:
    """What is asked. temperature 0 takes the most probable tokens. choices: short texts of which
    the log-probabilities as the answer's beginning are wanted, in place of an answer."""

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextAnswer:
    """What came back.

    finish: `failed` where there is no answer, for the reason in `error`. tokens_in, tokens_out:
    of this request; None where the endpoint does not say. choice_log_p: nats, one for each
    choice; None where they are not known.
    """

    text: str
    finish: TextFinish
    tokens_in: int | None = None
    tokens_out: int | None = None
    choice_log_p: tuple[float, ...] | None = None
    error: str = ""


@runtime_checkable
class TextGenerator(Protocol):
    """Conversations in, answers out, in the order of the requests."""

    def answer(
        self, requests: Sequence[TextRequest], progress: Progress | None = None
    ) -> list[TextAnswer]:
        """One answer for each request; what cannot be answered is `failed`, not raised."""
        ...


class LocalModel(Generator, Protocol):
    """What `LocalText` needs of a model, such as `infer.engine.Engine`."""

    context: int

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """log p of every token but the first of each."""
        ...


class LocalText:
    """A `TextGenerator` over a model in memory.

    chat_format: None for a base model, which goes on from the last message's plain text.
    """

    def __init__(
        self, engine: LocalModel, tokenizer: Tokenizer, chat_format: ChatFormat | None = None
    ):
        self.engine, self.tokenizer, self.chat_format = engine, tokenizer, chat_format

    def answer(
        self, requests: Sequence[TextRequest], progress: Progress | None = None
    ) -> list[TextAnswer]:
        """The answers; a prompt that fills the context is `failed`."""
        progress = progress or Silent()
        prompts = [self._prompt(request) for request in requests]
        found: list[TextAnswer | None] = [None] * len(requests)
        written: list[int] = []
        chosen: list[int] = []
        for place, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            if len(prompt) >= self.engine.context - (4 if request.choices else 0):
                found[place] = TextAnswer(
                    "", "failed", len(prompt), 0,
                    error=f"a prompt of {len(prompt)} tokens leaves no room in a context of "
                    f"{self.engine.context}",
                )  # fmt: skip
                progress.advance()
            else:
                (chosen if request.choices else written).append(place)
        for place, answer in zip(
            chosen, self._choose([(requests[i], prompts[i]) for i in chosen]), strict=True
        ):
            found[place] = answer
        progress.advance(len(chosen))
        for place, answer in zip(
            written, self._write([(requests[i], prompts[i]) for i in written]), strict=True
        ):
            found[place] = answer
        progress.advance(len(written))
        return [answer for answer in found if answer is not None]

    def _prompt(self, request: TextRequest) -> list[int]:
        if self.chat_format is not None:
            return self.chat_format.prompt(request.messages)
        return [self.tokenizer.eot_id, *self.tokenizer.encode(request.messages[-1].content)]

    def _write(self, asked: Sequence[tuple[TextRequest, list[int]]]) -> list[TextAnswer]:
        stops = (self.tokenizer.eot_id,) if self.chat_format is None else self.chat_format.stop_ids
        completions = self.engine.generate(
            [
                Request(prompt, Sampling(r.max_tokens, r.temperature, stop_ids=stops), r.seed)
                for r, prompt in asked
            ]
        )
        answers = []
        for (_, prompt), done in zip(asked, completions, strict=True):
            if self.chat_format is not None:
                text = self.chat_format.text(done.tokens)
                # One that strays to the end of a document did not end its answer.
                ended = done.finish == "stop" and done.tokens[-1] == self.chat_format.end_id
            else:
                text = self.tokenizer.decode(done.tokens, skip_special=True)
                ended = done.finish == "stop"
            answer = TextAnswer(text, "length", len(prompt), len(done.tokens))
            answers.append(replace(answer, finish="stop") if ended else answer)
        return answers

    def _choose(self, asked: Sequence[tuple[TextRequest, list[int]]]) -> list[TextAnswer]:
        """The log-probabilities of the choices; the text is the most probable one."""
        sequences, tails = [], []
        for request, prompt in asked:
            for choice in request.choices:
                ids = self.tokenizer.encode(choice)
                sequences.append([*prompt, *ids])
                tails.append(len(ids))
        scores = iter(
            float(log_p[-tail:].sum())
            for log_p, tail in zip(self.engine.score_tokens(sequences), tails, strict=True)
        )
        answers = []
        for request, prompt in asked:
            log_p = tuple(next(scores) for _ in request.choices)
            best = request.choices[int(np.argmax(log_p))]
            answers.append(TextAnswer(best, "stop", len(prompt), 1, log_p))
        return answers
