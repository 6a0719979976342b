"""The source of pre-training: windows of the token shards, in a seeded order, phase by phase.

A sample is a window of context + 1 tokens of a split, documents joined by their end-of-text tokens;
so a document longer than the context is cut, never dropped. Everything follows from one number, the
count of samples drawn so far: which phase, which split, which pass over it, which window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.model.transformer import document_segments
from gristmill.tokenizer.shards import TokenShards
from gristmill.train.interfaces import Batch, Moment, State
from gristmill.train.pace import Pace
from gristmill.train.permutation import permute

_MILLION = 1_000_000
# Samples whose places are worked out at a time: a permutation of one costs as much as of many.
_AHEAD = 1024


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: how many steps, and from which splits its samples come.

    weights: split name to share of the samples; they are scaled to sum to 1.
    """

    steps: int
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Position:
    """Where one sample comes from: the split, the pass over it and the window in that pass."""

    split: str
    epoch: int
    window: int
    start: int


class TextSource:
    """Batches of windows. Its state is the number of samples drawn.

    Each pass over a split has its own order and its own offset of the windows, so that a second
    pass cuts the text elsewhere. A batch holds `tokens_BT`, `targets_BT` and, with `document_mask`,
    `segments_BT`: an end-of-text token begins the segment of the document after it.
    token_bytes_V: UTF-8 bytes of each token, for bits per byte; None where unknown. pace: how many
    windows each step takes and how it cuts them; None: `batch`, uncut.
    """

    def __init__(
        self,
        splits: Mapping[str, TokenShards],
        phases: Sequence[Phase],
        *,
        context: int,
        batch: int,
        seed: int,
        document_mask: bool = False,
        token_bytes_V: NDArray[np.int64] | None = None,
        pace: Pace | None = None,
    ):
        self._splits, self._context, self._batch, self._seed = dict(splits), context, batch, seed
        self._document_mask, self._token_bytes_V = document_mask, token_bytes_V
        self._drawn, self._pace = 0, pace
        self._ahead: tuple[int, list[Position]] = (0, [])
        self._phases: list[_PlannedPhase] = []
        first, used = 0, dict.fromkeys(self._splits, 0)
        for phase in phases:
            planned = _PlannedPhase(first, phase.steps * batch, _parts(phase.weights), dict(used))
            for name, count in planned.counts(planned.samples).items():
                used[name] = used.get(name, 0) + count
            self._phases.append(planned)
            first += planned.samples
        for name in {name for phase in self._phases for name in phase.parts}:
            if name not in self._splits:
                raise GristmillError(f"a phase draws from '{name}', which was not given")
            if self.windows(name) < 1:
                raise GristmillError(
                    f"'{name}' has {self._splits[name].total_tokens} tokens, too few for "
                    f"a context of {context}",
                    mend="use a shorter context or more text",
                )
        self.used = used
        """Samples that all phases together draw from each split."""

    def windows(self, split: str) -> int:
        """Windows in one pass over a split; at most 2 * context of its tokens are left out."""
        # One more token than a multiple of the context, and an offset below the context.
        return (self._splits[split].total_tokens - self._context) // self._context

    def position(self, sample: int) -> Position:
        """Where the sample of that global index comes from; a pure function."""
        return self.positions(sample, 1)[0]

    def positions(self, first: int, count: int) -> list[Position]:
        """`position` of the samples `first` to `first + count`."""
        found: list[Position | None] = [None] * count
        passes: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for place, sample in enumerate(range(first, first + count)):
            phase = next(
                (p for p in self._phases if p.first <= sample < p.first + p.samples),
                self._phases[-1],
            )
            split, cursor = phase.draw(sample - phase.first)
            epoch, index = divmod(cursor, self.windows(split))
            passes.setdefault((split, epoch), []).append((place, index))
        for (split, epoch), drawn in passes.items():
            seed = derive_seed(self._seed, "order", split, epoch)
            offset = 0 if epoch == 0 else derive_seed(seed, "offset") % self._context
            windows_N = permute(np.array([i for _, i in drawn]), self.windows(split), seed)
            for (place, _), window in zip(drawn, windows_N.tolist(), strict=True):
                start = offset + window * self._context
                found[place] = Position(split, epoch, window, start)
        return [position for position in found if position is not None]

    def next(self, moment: Moment) -> Batch:
        """The rows of this process of the next global batch."""
        windows, context = self._batch, self._context
        if self._pace is not None:
            windows, context = self._pace.at(self._drawn)
        positions = [self._position(self._drawn + row) for row in moment.share.rows(windows)]
        # A piece ends with the token that the next one begins with, as windows do.
        pieces = self._context // context
        tokens_BT = np.empty((len(positions) * pieces, context + 1), dtype=np.int64)
        for number, position in enumerate(positions):
            text = self._splits[position.split].tokens(position.start, self._context + 1)
            for piece in range(pieces):
                cut = text[piece * context : (piece + 1) * context + 1]
                tokens_BT[number * pieces + piece] = cut
        self._drawn += windows
        both_BT = torch.from_numpy(tokens_BT)
        tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
        if self._document_mask:
            tensors["segments_BT"] = document_segments(tensors["tokens_BT"], self._eot_id)
        scored = None
        if self._token_bytes_V is not None:
            scored = float(self._token_bytes_V[tokens_BT[:, 1:]].sum())
        epochs = {p.split: p.epoch for p in positions}
        info: dict[str, Any] = {"samples": self._drawn, "epochs": epochs}
        if self._pace is not None:
            info |= {"rows": len(tokens_BT), "context": context}
        tokens = tokens_BT.shape[0] * context
        return Batch(tensors, tokens=tokens, bytes=scored, info=info, pieces=pieces, length=context)

    def _position(self, sample: int) -> Position:
        first, ahead = self._ahead
        if not first <= sample < first + len(ahead):
            count = max(self._batch, _AHEAD)
            first, ahead = self._ahead = (sample, self.positions(sample, count))
        return ahead[sample - first]

    def state(self) -> State:
        """The number of samples drawn."""
        return State({"samples": self._drawn})

    def restore(self, state: State) -> None:
        """Goes on after that many samples."""
        self._drawn = int(state.json["samples"])

    @property
    def _eot_id(self) -> int:
        return next(iter(self._splits.values())).eot_id


def _parts(weights: Mapping[str, float]) -> dict[str, int]:
    """Shares as whole millionths that sum to a million, so that no rounding can drift."""
    kept = {name: weight for name, weight in weights.items() if weight > 0}
    if not kept:
        raise GristmillError("a phase needs a split with a weight above 0")
    total = sum(kept.values())
    parts = {name: round(weight / total * _MILLION) for name, weight in kept.items()}
    first = next(iter(parts))
    parts[first] += _MILLION - sum(parts.values())
    return parts


@dataclass(frozen=True)
class _PlannedPhase:
    first: int
    samples: int
    parts: Mapping[str, int]
    used: Mapping[str, int]

    def draw(self, index: int) -> tuple[str, int]:
        """The split of the phase's sample `index`, and its cursor in that split over all phases."""
        rest_index, rest = index, _MILLION
        names = list(self.parts)
        for name in names[:-1]:
            before = rest_index * self.parts[name] // rest
            if (rest_index + 1) * self.parts[name] // rest > before:
                return name, self.used[name] + before
            rest_index, rest = rest_index - before, rest - self.parts[name]
        return names[-1], self.used[names[-1]] + rest_index

    def counts(self, samples: int) -> dict[str, int]:
        """How many of the phase's first `samples` come from each split."""
        left, rest, found = samples, _MILLION, {}
        names = list(self.parts)
        for name in names[:-1]:
            found[name] = left * self.parts[name] // rest
            left, rest = left - found[name], rest - self.parts[name]
        found[names[-1]] = left
        return found
