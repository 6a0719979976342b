"""Tokens that are of no use: never made, impossible to make, or hardly ever seen.

A token that no text produces is a row of the embedding that is never trained; one that is rare in
training has a vector that is little more than its random start, and a model that meets it
misbehaves (Land and Bartolo 2024, "Fishing for Magikarp").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import Vocabulary

_BATCH = 4096
# Below so many tokens of text for each of the vocabulary a count says little of a single token.
ENOUGH = 20
# Of the mean count over the vocabulary.
RARE_SHARE = 0.01


@dataclass(frozen=True)
class Unreachable:
    """Ids of ordinary tokens whose own bytes do not encode to them.

    cut: the pre-tokenizer (or the normalizer) never lets their bytes stand together. merged: the
    merges make something else of their bytes.
    """

    cut: list[int]
    merged: list[int]

    @property
    def ids(self) -> list[int]:
        """All of them, ascending."""
        return sorted([*self.cut, *self.merged])


def ordinary_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids that text can be made of: no special tokens, no rows that stand for nothing."""
    return sorted(tokenizer.vocabulary.ordinary.values())


def unreachable(tokenizer: Tokenizer) -> Unreachable:
    """Every ordinary token, encoded from its own bytes.

    Bytes that are no whole characters stand alone in no text, so for them the merges alone count.
    """
    tokens = tokenizer.vocabulary.tokens
    found = Unreachable([], [])
    whole: list[int] = []
    merging: _Merging | None = None
    for i in ordinary_ids(tokenizer):
        try:
            tokens[i].decode()
        except UnicodeDecodeError:
            if len(tokens[i]) == 1 or not tokenizer.vocabulary.merges:
                continue
            merging = merging or _Merging(tokenizer.vocabulary)
            if merging.ids(tokens[i]) != [i]:
                found.merged.append(i)
        else:
            whole.append(i)
    for start in range(0, len(whole), _BATCH):
        batch = whole[start : start + _BATCH]
        encoded = tokenizer.encode_batch([tokens[i].decode() for i in batch])
        for i, ids in zip(batch, encoded, strict=True):
            if ids.tolist() != [i]:
                merging = merging or _Merging(tokenizer.vocabulary)
                (found.cut if merging.ids(tokens[i]) == [i] else found.merged).append(i)
    return found


def glitch_prone(
    tokenizer: Tokenizer,
    id_counts: npt.NDArray[np.int64],
    apart: frozenset[int] = frozenset(),
) -> list[int] | None:
    """Ids of whole characters that the text has less often than a hundredth of the mean token, the
    rarest and among equals the longest first; None where the text is too short to say.

    apart: ids that are not asked after, such as those that are unreachable.
    """
    ordinary = ordinary_ids(tokenizer)
    total = int(id_counts[ordinary].sum())
    if total < ENOUGH * len(ordinary):
        return None
    bar = RARE_SHARE * total / len(ordinary)
    tokens = tokenizer.vocabulary.tokens
    rare = [
        i
        for i in ordinary
        if id_counts[i] < bar and i not in apart and len(tokens[i]) > 1 and _is_text(tokens[i])
    ]
    return sorted(rare, key=lambda i: (int(id_counts[i]), -len(tokens[i]), i))


def swallowed_by(tokenizer: Tokenizer, token_id: int) -> int | None:
    """The token of the first merge that takes this one in: where most of its occurrences go."""
    vocabulary = tokenizer.vocabulary
    for (left, right), merged in zip(vocabulary.merges, vocabulary.merged_ids, strict=True):
        if token_id in (left, right):
            return merged
    return None


def _is_text(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Merging:
    """The merges of a vocabulary on bytes that no pre-tokenizer cuts."""

    def __init__(self, vocabulary: Vocabulary):
        self._byte_ids, self._merged_ids = vocabulary.byte_ids, vocabulary.merged_ids
        self._whole = vocabulary.whole_tokens
        self._ranks: dict[tuple[int, int], int] = {}
        for rank, pair in enumerate(vocabulary.merges):
            self._ranks.setdefault(pair, rank)

    def ids(self, data: bytes) -> list[int]:
        if data in self._whole:
            return [self._whole[data]]
        ids = [self._byte_ids[byte] for byte in data]
        while len(ids) > 1:
            ranked = [(self._ranks[pair], i) for i, pair in enumerate(pairwise(ids))
                      if pair in self._ranks]  # fmt: skip
            if not ranked:
                break
            rank, i = min(ranked)
            ids[i : i + 2] = [self._merged_ids[rank]]
        return ids
