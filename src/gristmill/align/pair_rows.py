"""Preferences as rows of ids: what the reward model and DPO read.

The two conversations of a pair lie in one row of every tensor, (pair, side, token), so that no
micro-batch tears a pair apart. Padding is to the right, where no token sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.align.chats import Baseline, Preference, Rejects, read_preferences
from gristmill.align.intervals import ratio_figure
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure, all_equal
from gristmill.core.seeds import derive_seed
from gristmill.tokenizer.chat import ChatFormat
from gristmill.train.permutation import permute

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")

# Pairs are sorted by length among so many batches' worth of them: most of the padding goes, and
# which pairs meet in a batch stays a matter of the seed.
_SORTED_BATCHES = 16


@dataclass(frozen=True)
class Pair:
    """A preference as ids. The answers end with the id that ends a turn where they stopped."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    baseline: Baseline | None = None

    def answer(self, side: Side) -> tuple[int, ...]:
        """The ids of one of the answers."""
        return self.chosen if side == "chosen" else self.rejected

    def conversation(self, side: Side) -> tuple[int, ...]:
        """The prompt and one of the answers."""
        return self.prompt + self.answer(side)

    @property
    def longest(self) -> int:
        """Tokens of the longer conversation."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def share_of(holds_P: NDArray[np.bool_], pairs: Sequence[Pair]) -> Figure:
    """The share of pairs of which something holds; see `mean_of`. n counts pairs."""
    return mean_of(holds_P.astype(np.float64), pairs, share=True)


def mean_of(values_P: NDArray[np.float64], pairs: Sequence[Pair], *, share: bool = False) -> Figure:
    """The mean over pairs with a 95% bootstrap interval that draws prompts, not pairs: answers to
    one prompt stand in several pairs, which say the same thing again. n counts pairs.
    """
    place: dict[tuple[int, ...], int] = {}
    prompt_P = np.array([place.setdefault(pair.prompt, len(place)) for pair in pairs], dtype=int)
    count = len(pairs)
    if count and len(set(values_P.tolist())) == 1:
        return all_equal(float(values_P[0]), len(place), count, share=share)
    sums_G = np.bincount(prompt_P, weights=values_P, minlength=len(place))
    pairs_G = np.bincount(prompt_P, minlength=len(place)).astype(np.float64)
    found = ratio_figure(np.asarray(sums_G, dtype=np.float64), np.asarray(pairs_G))
    return Figure(found.value, found.low, found.high, count)


def encode_pairs(
    preferences: Sequence[Preference], chat: ChatFormat, context: int
) -> tuple[list[Pair], list[Preference], Rejects]:
    """The pairs of at most `context` tokens, the preferences they are of, and the rejects.

    Nothing is cut: half an answer is not what was judged. The end of a turn is there only where
    the answer stopped by itself.
    """
    pairs: list[Pair] = []
    kept: list[Preference] = []
    rejects: Rejects = []
    for preference in preferences:
        try:
            pair = Pair(
                tuple(chat.prompt(preference.messages)),
                tuple(chat.answer(preference.chosen.content, stopped=preference.chosen.stopped)),
                tuple(
                    chat.answer(preference.rejected.content, stopped=preference.rejected.stopped)
                ),
                preference.baseline,
            )
            reason = _unfit(pair, context)
        except GristmillError as error:
            reason = error.what
        if reason is None:
            pairs.append(pair)
            kept.append(preference)
        else:
            sample = preference.messages[-1].content[:200] if preference.messages else ""
            rejects.append({"where": preference.id, "reason": reason, "sample": sample})
    return pairs, kept, rejects


def _unfit(pair: Pair, context: int) -> str | None:
    if pair.longest > context:
        return f"{pair.longest} tokens, more than the context of {context}"
    if not pair.chosen or not pair.rejected:
        return "an answer without a token"
    return "both answers are the same ids" if pair.chosen == pair.rejected else None


@dataclass(frozen=True)
class PairFiles:
    """The pairs of a folder of preferences, and what was wrong in it."""

    train: list[Pair]
    heldout: list[Pair]
    rejects: Rejects


def read_pairs(
    folder: Path | str, chat: ChatFormat, context: int, *, share: float, seed: int
) -> PairFiles:
    """`train.jsonl` and `heldout.jsonl` of a folder; where there is none held out, `share` of the
    training groups is.

    Raises GristmillError where a side is left without a pair.
    """
    folder = Path(folder)
    train, rejects = read_preferences(folder / "train.jsonl")
    heldout: list[Preference] = []
    if (folder / "heldout.jsonl").is_file():
        heldout, more = read_preferences(folder / "heldout.jsonl")
        rejects = [*rejects, *more]
    if not heldout:
        train, heldout = split_by_group(train, share, seed)
    found = []
    for preferences in (train, heldout):
        pairs, _, unfit = encode_pairs(preferences, chat, context)
        rejects = [*rejects, *unfit]
        found.append(pairs)
    for pairs, name in zip(found, ("train on", "hold out"), strict=True):
        if not pairs:
            why = (
                f"; the first of {len(rejects)} rejects: {rejects[0]['reason']}" if rejects else ""
            )
            raise GristmillError(
                f"no pair is left to {name}{why}",
                where=folder,
                mend="give more preferences (of two groups at least), or mend those",
            )
    return PairFiles(found[0], found[1], rejects)


def split_by_group(
    preferences: Sequence[Preference], share: float, seed: int = 0
) -> tuple[list[Preference], list[Preference]]:
    """Training and held-out preferences; about `share` of the groups are held out, whole.

    At least one group stays on each side where there are two. Which ones: by the seed and the
    groups' names alone, whatever the order of the records.
    """
    names = sorted(
        {p.group or p.id for p in preferences}, key=lambda n: (derive_seed(seed, "split", n), n)
    )
    count = min(max(round(share * len(names)), 1), len(names) - 1) if len(names) > 1 else 0
    held = set(names[:count])
    train = [p for p in preferences if (p.group or p.id) not in held]
    return train, [p for p in preferences if (p.group or p.id) in held]


def stack(conversations: Sequence[Sequence[tuple[int, ...]]]) -> dict[str, Tensor]:
    """`tokens_PST` and `last_PS` (index of the last real token) of P rows of S conversations."""
    longest = max(len(ids) for row in conversations for ids in row)
    shape = (len(conversations), len(conversations[0]))
    tokens_PST = np.zeros((*shape, longest), dtype=np.int64)
    last_PS = np.zeros(shape, dtype=np.int64)
    for p, row in enumerate(conversations):
        for s, ids in enumerate(row):
            tokens_PST[p, s, : len(ids)] = ids
            last_PS[p, s] = len(ids) - 1
    return {"tokens_PST": torch.from_numpy(tokens_PST), "last_PS": torch.from_numpy(last_PS)}


def stack_pairs(pairs: Sequence[Pair]) -> dict[str, Tensor]:
    """`stack` of both conversations, and `mask_PST`: True at an answer's tokens, its end too."""
    tensors = stack([[pair.conversation(side) for side in SIDES] for pair in pairs])
    mask_PST = torch.zeros_like(tensors["tokens_PST"], dtype=torch.bool)
    for p, pair in enumerate(pairs):
        for s, side in enumerate(SIDES):
            start = len(pair.prompt)
            mask_PST[p, s, start : start + len(pair.answer(side))] = True
    return {**tensors, "mask_PST": mask_PST}


class PairOrder:
    """Which pairs meet in which step's batch: seeded, another in each epoch, of like length.

    An epoch has ceil(pairs / batch) batches of equal size (give or take one pair), so that none of
    them is a small and noisy rest.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int):
        if not lengths:
            raise GristmillError("there is no pair to train on", mend="look at the rejects")
        self._lengths, self._batch, self._seed = np.asarray(lengths), batch, seed
        self.steps_per_epoch = -(-len(lengths) // batch)
        self._held: tuple[int, list[list[int]]] = (-1, [])

    def indices(self, step: int) -> list[int]:
        """The pairs of the batch of `step` (0-based, over all epochs)."""
        epoch, at = divmod(step, self.steps_per_epoch)
        if self._held[0] != epoch:
            self._held = (epoch, self._epoch(epoch))
        return self._held[1][at]

    def _epoch(self, epoch: int) -> list[list[int]]:
        count = len(self._lengths)
        seed = derive_seed(self._seed, "pairs", epoch)
        order = permute(np.arange(count), count, seed)
        window = self._batch * _SORTED_BATCHES
        parts = [order[start : start + window] for start in range(0, count, window)]
        ordered = np.concatenate(
            [part[np.argsort(self._lengths[part], kind="stable")] for part in parts]
        )
        batches = np.array_split(ordered, self.steps_per_epoch)
        turns = permute(
            np.arange(len(batches)), len(batches), derive_seed(self._seed, "batches", epoch)
        )
        return [batches[turn].tolist() for turn in turns]
