"""Batched generation from a live module with its cache of what was read.

Prompts of different lengths are padded on the right and each row goes on from its own position;
the model is told their lengths, so that no padding is ever part of what a row has read. A row's
output is a function of its prompt, its sampling and its seed; what shares its batch moves nothing
but float rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress, Silent
from gristmill.infer.generator import Completion, Emitted, Finish, Request
from gristmill.infer.sampling import SamplingRows, choose
from gristmill.infer.scoring import BATCH_TOKENS, score_sequences
from gristmill.model.language_model import Cache, LanguageModel

# Finished rows leave when only this share of a batch still goes on: each time the whole cache is
# copied.
_COMPACT = 0.7


class Engine:
    """A `Generator` and a `Scorer` over a module that may be in training meanwhile.

    max_rows: requests that are decoded together. batch_tokens: tokens that are scored together.
    context: prompt and output together never get longer (default: the length that the model is
    trained for). Precision is the module's own, or that of the autocast around the call.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        max_rows: int = 32,
        context: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ):
        self.model = model
        self.batch_tokens = batch_tokens
        self.max_rows = max_rows
        self.context = context or model.config.context

    def generate(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Completion]:
        """One completion for each request, in order.

        Raises GristmillError where a prompt is empty, has an id outside the vocabulary or fills
        the context.
        """
        progress = progress or Silent()
        tokens: list[list[int]] = [[] for _ in requests]
        scores: list[list[float]] = [[] for _ in requests]
        finishes: list[Finish] = ["length" for _ in requests]
        for emitted in self.stream(requests):
            tokens[emitted.request].append(emitted.token)
            scores[emitted.request].append(emitted.log_probability)
            if emitted.finish is not None:
                finishes[emitted.request] = emitted.finish
                progress.advance()
        return [Completion(*parts) for parts in zip(tokens, scores, finishes, strict=True)]

    def stream(self, requests: Sequence[Request]) -> Iterator[Emitted]:
        """Tokens as they are made, batch by batch; prompts of like length share a batch."""
        for index, request in enumerate(requests):
            self._check(request, index)
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt), i))
        for start in range(0, len(order), self.max_rows):
            yield from self._batch(requests, order[start : start + self.max_rows])

    def score_tokens(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        progress: Progress | None = None,
    ) -> list[NDArray[np.float32]]:
        """log p(token | those before it), nats, of every token but the first of each sequence.

        Raises GristmillError where a sequence is longer than the context.
        """
        for sequence in sequences:
            # The last token is only predicted, it takes no place in the context.
            if len(sequence) > self.context + 1:
                raise GristmillError(
                    f"{len(sequence)} tokens do not fit a context of {self.context}",
                    mend="cut it into windows",
                )
        return score_sequences(
            self.model,
            sequences,
            temperature=temperature,
            batch_tokens=self.batch_tokens,
            progress=progress,
        )

    def _check(self, request: Request, index: int) -> None:
        where = f"prompt {index + 1}"
        prompt, vocabulary = request.prompt, self.model.config.vocab_size
        if len(prompt) == 0:
            raise GristmillError("an empty prompt", where=where, mend="begin with end-of-text")
        if len(prompt) >= self.context:
            raise GristmillError(
                f"{len(prompt)} tokens leave no room in a context of {self.context}",
                where=where,
                mend="shorten the prompt",
            )
        if min(prompt) < 0 or max(prompt) >= vocabulary:
            raise GristmillError(f"a token id outside the vocabulary of {vocabulary}", where=where)

    def _batch(self, requests: Sequence[Request], places: list[int]) -> Iterator[Emitted]:
        batch = [requests[place] for place in places]
        rows = [
            _Row(
                place,
                len(request.prompt),
                self._room(request),
                frozenset(request.sampling.stop_ids),
            )
            for place, request in zip(places, batch, strict=True)
        ]
        device = self.model.head_weight.device
        sampling = SamplingRows.of(batch, device)
        cache, hidden_BD = self._read_prompts(batch, max(row.length + row.room for row in rows))
        step = 0
        done = [False] * len(rows)
        while not all(done):
            with torch.no_grad():
                token_B, score_B = choose(self.model.head(hidden_BD), sampling, step)
            step += 1
            for index, (row, token, score) in enumerate(
                zip(rows, token_B.tolist(), score_B.tolist(), strict=True)
            ):
                if not done[index]:
                    finish = row.finish(token, step)
                    done[index] = finish is not None
                    yield Emitted(row.place, token, score, finish)
            if done.count(False) <= _COMPACT * len(done):
                going = [index for index, ended in enumerate(done) if not ended]
                if not going:
                    break
                kept = torch.tensor(going, dtype=torch.long, device=device)
                rows = [rows[index] for index in going]
                done = [False] * len(rows)
                token_B, sampling = token_B[kept], sampling.keep(kept)
                cache.keep(kept)
            # A row that has ended but is still here writes where no one looks.
            ends = [min(row.length + step, cache.capacity) - 1 for row in rows]
            even = cache.length == ends[0] and len(set(ends)) == 1
            positions_B1 = None if even else torch.tensor(ends, device=device)[:, None]
            hidden_BD = self._forward(token_B[:, None], positions_B1, cache)[:, 0]

    def _read_prompts(self, batch: Sequence[Request], capacity: int) -> tuple[Cache, Tensor]:
        """A cache that holds the prompts of the rows, and the hidden state of each one's last
        token, hidden_BD. A prompt that several rows share is read once."""
        place: dict[tuple[int, ...], int] = {}
        copy_B = [place.setdefault(tuple(request.prompt), len(place)) for request in batch]
        device = self.model.head_weight.device
        tokens_UT = torch.from_numpy(_padded(list(place))).to(device)
        cache = self.model.new_cache(len(place), capacity)
        lengths_U = torch.tensor([len(prompt) for prompt in place], device=device)
        hidden_UTD = self._forward(tokens_UT, None, cache, lengths_U)
        hidden_UD = hidden_UTD[torch.arange(len(place), device=device), lengths_U - 1]
        if len(place) == len(batch):
            return cache, hidden_UD
        rows_B = torch.tensor(copy_B, device=device)
        cache.keep(rows_B)
        return cache, hidden_UD[rows_B]

    def _room(self, request: Request) -> int:
        return min(request.sampling.max_tokens, self.context - len(request.prompt))

    def _forward(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None,
        cache: Cache,
        lengths_B: Tensor | None = None,
    ) -> Tensor:  # hidden_BTD
        # Per call, not per batch: between two tokens of a stream a trainer may go on training.
        was_training = self.model.training
        if was_training:
            self.model.eval()
        try:
            with torch.no_grad():
                hidden_BTD: Tensor = self.model(
                    tokens_BT, positions_BT=positions_BT, cache=cache, lengths_B=lengths_B
                )
                return hidden_BTD
        finally:
            if was_training:
                self.model.train()


@dataclass(frozen=True)
class _Row:
    """A request in a batch: its place in the list, its prompt's length, how much it may add."""

    place: int
    length: int
    room: int
    stop_ids: frozenset[int]

    def finish(self, token: int, made: int) -> Finish | None:
        if token in self.stop_ids:
            return "stop"
        return "length" if made >= self.room else None


def _padded(prompts: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    tokens = np.zeros((len(prompts), max(map(len, prompts))), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    return tokens
