"""Where merge order and longest match make different tokens of the same text.

Longest match takes, from the left, the largest token that fits. With the merges bc, then ab,
`abc` is a|bc in merge order and ab|c by longest match. What every model expects is merge order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from gristmill.tokenizer.counting import PretokenCounter
from gristmill.tokenizer.dead_tokens import ordinary_ids
from gristmill.tokenizer.tokenizer import Tokenizer

_BATCH = 4096


@dataclass(frozen=True)
class Disagreement:
    """One pretoken that the two cut differently: how often it stands in the text, and both cuts."""

    count: int
    merge_order: tuple[int, ...]
    longest: tuple[int, ...]


@dataclass(frozen=True)
class MatchComparison:
    """pretokens, differing: occurrences in the text. merge_tokens, longest_tokens: of all of it.
    examples: the most frequent pretokens that differ."""

    pretokens: int
    differing: int
    kinds: int
    kinds_differing: int
    merge_tokens: int
    longest_tokens: int
    examples: tuple[Disagreement, ...]

    @property
    def share(self) -> float:
        """Of the pretokens of the text."""
        return self.differing / self.pretokens if self.pretokens else 0.0


class LongestMatch:
    """Takes the largest token that fits, from the left."""

    def __init__(self, tokens: Mapping[bytes, int]):
        self._tokens = dict(tokens)
        # For the first bytes of a token the longest one that begins so: bounds the tries.
        self._reach: dict[bytes, int] = {}
        for token in self._tokens:
            first = token[:2]
            self._reach[first] = max(self._reach.get(first, 0), len(token))

    def ids(self, data: bytes) -> list[int] | None:
        """The ids; None where a byte has no token."""
        ids: list[int] = []
        at = 0
        while at < len(data):
            reach = min(self._reach.get(data[at : at + 2], 1), len(data) - at)
            for length in range(reach, 0, -1):
                found = self._tokens.get(data[at : at + length])
                if found is not None:
                    ids.append(found)
                    at += length
                    break
            else:
                return None
        return ids


def compare_matching(
    tokenizer: Tokenizer, texts: Iterable[str], most_examples: int = 12
) -> MatchComparison:
    """Both ways inside the pretokens of the texts, each distinct one once.

    Nothing is compared for a vocabulary that is not encoded in merge order.
    """
    if not tokenizer.vocabulary.by_merges:
        return MatchComparison(0, 0, 0, 0, 0, 0, ())
    counter = PretokenCounter(tokenizer.vocabulary.pattern)
    counter.add([text.encode("utf-8", "replace") for text in texts])
    counts = counter.result().as_dict()
    longest = LongestMatch({tokenizer.token_bytes(i): i for i in ordinary_ids(tokenizer)})
    pieces = [piece for piece in counts if _is_text(piece)]
    pretokens = differing = kinds_differing = merge_tokens = longest_tokens = 0
    examples: list[Disagreement] = []
    for start in range(0, len(pieces), _BATCH):
        batch = pieces[start : start + _BATCH]
        encoded = tokenizer.encode_batch([piece.decode() for piece in batch])
        for piece, ids in zip(batch, encoded, strict=True):
            greedy = longest.ids(piece)
            if greedy is None:
                continue
            count = counts[piece]
            pretokens += count
            merge_tokens += count * len(ids)
            longest_tokens += count * len(greedy)
            if not np.array_equal(ids, greedy):
                differing += count
                kinds_differing += 1
                examples.append(Disagreement(count, tuple(ids.tolist()), tuple(greedy)))
    examples.sort(key=lambda one: (-one.count, one.merge_order))
    return MatchComparison(
        pretokens, differing, len(pieces), kinds_differing, merge_tokens, longest_tokens,
        tuple(examples[:most_examples]),
    )  # fmt: skip


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
