"""Decoding that requests join and leave between two tokens (Orca: Yu et al. 2022, section 3.1).

`RunningBatch` holds the rows of one model. `join` reads the prompts of new rows, `step` gives
every row its next token, `leave` takes rows out. What a row says is a function of its prompt, its
sampling and its seed: it draws its own numbers, whoever shares the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gristmill.infer.generator import Finish, Request, Sampling
from gristmill.infer.sampling import SamplingRows, choose, token_seeds

if TYPE_CHECKING:
    from gristmill.model.language_model import Cache, LanguageModel

# Tokens of prompts that are read in one pass; between two passes the other rows go on.
PREFILL_TOKENS = 2048
# Tokens of an output that a cache has room for at first; it grows by half when they are used up.
_ROOM = 128
# Logits held at once while a prompt is scored.
_SCORED_LOGITS = 1 << 22


@dataclass(frozen=True)
class TokenScore:
    """A token, its log-probability (nats, temperature 1, the whole vocabulary) and the most
    probable tokens of its place. log_probability is None for the first token of a prompt, which
    nothing precedes, and where none was asked for."""

    token: int
    log_probability: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class RowSpec:
    """A row to decode. top: None for no log-probabilities, else how many alternatives.

    room: the most tokens it may make; 0 only reads the prompt.
    """

    prompt: Sequence[int]
    sampling: Sampling
    seed: int
    room: int
    top: int | None = None
    score_prompt: bool = False


@dataclass(frozen=True)
class Step:
    """What a row made: a token and whether it is its last."""

    key: int
    score: TokenScore
    finish: Finish | None


@dataclass
class _Row:
    key: int
    spec: RowSpec
    uniform_N: np.ndarray[Any, np.dtype[np.float64]]
    made: int = 0
    stops: frozenset[int] = field(default_factory=frozenset)

    @property
    def length(self) -> int:
        """Tokens of the row that the cache holds."""
        return len(self.spec.prompt) + self.made

    def finish(self, token: int) -> Finish | None:
        if token in self.stops:
            return "stop"
        return "length" if self.made >= self.spec.room else None


@dataclass
class _Group:
    """Rows with one cache, and the hidden state from which each one's next token is chosen."""

    rows: list[_Row]
    cache: Cache
    hidden_BD: Tensor
    sampling: SamplingRows | None = None

    def keep(self, places: list[int]) -> None:
        kept = torch.tensor(places, dtype=torch.long, device=self.hidden_BD.device)
        self.rows = [self.rows[place] for place in places]
        self.hidden_BD = self.hidden_BD[kept]
        self.cache.keep(kept)
        self.sampling = None


class RunningBatch:
    """The rows of one model that are being decoded. One thread at a time."""

    def __init__(self, model: LanguageModel):
        self.model = model
        self._group: _Group | None = None

    def __len__(self) -> int:
        return 0 if self._group is None else len(self._group.rows)

    def join(self, rows: Sequence[tuple[int, RowSpec]]) -> Iterator[tuple[int, list[TokenScore]]]:
        """Reads prompts; gives the key of each row that is read, with the scores of its prompt's
        tokens where those are wanted. A row takes part in `step` from then on, unless its room
        is 0. Between two rows others may `step`."""
        for chunk in _alike(rows):
            yield from self._read(chunk)

    def step(self) -> list[Step]:
        """The next token of every row; rows that end leave."""
        if self._group is None:
            return []
        steps = self._step(self._group)
        self._drop_if_empty()
        return steps

    def leave(self, keys: Collection[int]) -> None:
        """Takes rows out, wherever they are."""
        group = self._group
        if group is None:
            return
        staying = [i for i, row in enumerate(group.rows) if row.key not in keys]
        if len(staying) < len(group.rows):
            group.keep(staying)
        self._drop_if_empty()

    def _drop_if_empty(self) -> None:
        # The next rows begin with a cache of their own size.
        if self._group is not None and not self._group.rows:
            self._group = None

    def _read(self, rows: Sequence[tuple[int, RowSpec]]) -> Iterator[tuple[int, list[TokenScore]]]:
        # A prompt that several rows share (n choices) is read once.
        place: dict[tuple[int, ...], int] = {}
        copy_B = [place.setdefault(tuple(spec.prompt), len(place)) for _, spec in rows]
        device = self.model.head_weight.device
        prompts = list(place)
        tokens_UT = torch.from_numpy(_padded(prompts)).to(device)
        # Room for all that a row may say would often stay empty: a chat may fill the context.
        capacity = max(len(spec.prompt) + min(spec.room, _ROOM) for _, spec in rows)
        cache = self.model.new_cache(len(prompts), capacity)
        length_U = torch.tensor([len(prompt) for prompt in prompts], device=device)
        with torch.no_grad():
            hidden_UTD = self.model(tokens_UT, cache=cache, lengths_B=length_U)
        hidden_UD = hidden_UTD[torch.arange(len(prompts), device=device), length_U - 1]
        going = [i for i, (_, spec) in enumerate(rows) if spec.room > 0]
        if going:
            kept = torch.tensor([copy_B[i] for i in going], dtype=torch.long, device=device)
            if kept.tolist() != list(range(len(prompts))):
                cache.keep(kept)
            self._add(_Group([_row(*rows[i]) for i in going], cache, hidden_UD[kept]))
        for (key, spec), copy in zip(rows, copy_B, strict=True):
            scores: list[TokenScore] = []
            if spec.score_prompt:
                scores = self._score(spec.prompt, hidden_UTD[copy], spec.top)
            yield key, scores

    def _add(self, group: _Group) -> None:
        if self._group is None:
            self._group = group
            return
        self._group.cache.join(group.cache)
        self._group.rows += group.rows
        self._group.hidden_BD = torch.cat([self._group.hidden_BD, group.hidden_BD])
        self._group.sampling = None

    def _score(self, prompt: Sequence[int], hidden_TD: Tensor, top: int | None) -> list[TokenScore]:
        """The prompt's tokens, each with its log-probability given those before it."""
        scores = [TokenScore(prompt[0])]
        chunk = max(1, _SCORED_LOGITS // self.model.config.vocab_size)
        for start in range(0, len(prompt) - 1, chunk):
            tokens = prompt[start + 1 : start + 1 + chunk]
            with torch.no_grad():
                logits_TV = self.model.head(hidden_TD[start : start + len(tokens)])
            scores += _scored(logits_TV, tokens, [top or 0] * len(tokens))
        return scores

    def _step(self, group: _Group) -> list[Step]:
        with torch.no_grad():
            logits_BV = self.model.head(group.hidden_BD)
            token_B, _ = choose(logits_BV, self._sampling(group), 0)
        tokens = token_B.tolist()
        asked = [i for i, row in enumerate(group.rows) if row.spec.top is not None]
        scores = [TokenScore(token) for token in tokens]
        if asked:
            found = _scored(
                logits_BV[torch.tensor(asked, device=logits_BV.device)],
                [tokens[i] for i in asked],
                [group.rows[i].spec.top or 0 for i in asked],
            )
            for i, score in zip(asked, found, strict=True):
                scores[i] = score
        steps, going = [], []
        for i, (row, score) in enumerate(zip(group.rows, scores, strict=True)):
            row.made += 1
            finish = row.finish(score.token)
            steps.append(Step(row.key, score, finish))
            if finish is None:
                going.append(i)
        if len(going) < len(group.rows):
            group.keep(going)
            token_B = token_B[torch.tensor(going, dtype=torch.long, device=token_B.device)]
        if group.rows:
            group.hidden_BD = self._forward(group, token_B)
        return steps

    def _forward(self, group: _Group, token_B: Tensor) -> Tensor:  # hidden_BD
        # The slot of the token just made is its position, one before the row's length.
        ends = [row.length - 1 for row in group.rows]
        if max(ends) >= group.cache.capacity:
            group.cache.grow(max(ends) + max(_ROOM, max(ends) // 2))
        even = group.cache.length == ends[0] and len(set(ends)) == 1
        positions_B1 = None if even else torch.tensor(ends, device=token_B.device)[:, None]
        with torch.no_grad():
            hidden_B1D = self.model(token_B[:, None], positions_BT=positions_B1, cache=group.cache)
        hidden_BD: Tensor = hidden_B1D[:, 0]
        return hidden_BD

    def _sampling(self, group: _Group) -> SamplingRows:
        if group.sampling is None:
            # One number a row: the numbers of a row that has come far are at another place.
            requests = [
                Request(row.spec.prompt, replace(row.spec.sampling, max_tokens=1), 0)
                for row in group.rows
            ]
            group.sampling = SamplingRows.of(requests, group.hidden_BD.device)
        numbers = [[row.uniform_N[row.made] if len(row.uniform_N) else 0.0] for row in group.rows]
        uniform_B1 = torch.tensor(numbers, dtype=torch.float64, device=group.hidden_BD.device)
        return replace(group.sampling, uniform_BN=uniform_B1)


def _row(key: int, spec: RowSpec) -> _Row:
    drawn = spec.sampling.temperature > 0
    numbers = token_seeds(spec.seed, spec.room) if drawn else np.zeros(0)
    return _Row(key, spec, numbers, stops=frozenset(spec.sampling.stop_ids))


def _alike(rows: Sequence[tuple[int, RowSpec]]) -> Iterator[list[tuple[int, RowSpec]]]:
    """Rows of like length, at most PREFILL_TOKENS together with their padding."""
    chunk: list[tuple[int, RowSpec]] = []
    for row in sorted(rows, key=lambda row: (len(row[1].prompt), row[0])):
        if chunk and len(row[1].prompt) * (len(chunk) + 1) > PREFILL_TOKENS:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def _padded(prompts: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    tokens = np.zeros((len(prompts), max(map(len, prompts))), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    return tokens


def _scored(logits_NV: Tensor, tokens: Sequence[int], tops: Sequence[int]) -> list[TokenScore]:
    """The log-probability of each token and of the `tops[n]` most probable of its place; equal
    ones rank by id."""
    log_probs_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    token_N1 = torch.tensor(tokens, device=logits_NV.device)[:, None]
    own = log_probs_NV.gather(1, token_N1)[:, 0].tolist()
    most = max(tops)
    if most == 0:
        return [TokenScore(token, score) for token, score in zip(tokens, own, strict=True)]
    best_NK, id_NK = log_probs_NV.topk(min(most, log_probs_NV.shape[1]), dim=-1)
    return [
        TokenScore(token, score, tuple(zip(ids, best, strict=True))[:top])
        for token, score, top, ids, best in zip(
            tokens, own, tops, id_NK.tolist(), best_NK.tolist(), strict=True
        )
    ]
