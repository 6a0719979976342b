"""Which of equally frequent pairs is merged first, and the definition of training that it is part
of, in plain Python: slow, short, and what the compiled training is held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

Ties = Literal["lowest-ids", "greatest-bytes"]
"""lowest-ids: the pair with the smallest left id, then the smallest right id. rustbpe and
tokenizers have this rule. greatest-bytes: the pair whose left token comes last in the order of
bytes, then the right one: subword-nmt's, by the authors of the paper, and of what follows it."""


def learn_merges_plainly(
    pretokens: Mapping[bytes, int],
    merges: int,
    *,
    min_frequency: int = 2,
    max_token_length: int | None = 64,
    ties: Ties = "lowest-ids",
) -> list[tuple[int, int]]:
    """The pairs that `merging.learn_merges` finds; recounts everything at every step."""
    words: dict[tuple[int, ...], int] = {tuple(word): n for word, n in pretokens.items()}
    tokens = [bytes([byte]) for byte in range(256)]
    learned: list[tuple[int, int]] = []

    def order(pair: tuple[int, int]) -> Any:
        if ties == "lowest-ids":
            return (-pair[0], -pair[1])
        return (tokens[pair[0]], tokens[pair[1]])

    while len(learned) < merges:
        counts: Counter[tuple[int, int]] = Counter()
        for word, n in words.items():
            for pair in pairwise(word):
                counts[pair] += n
        fitting = [
            pair
            for pair, n in counts.items()
            if n >= max(1, min_frequency)
            and (
                max_token_length is None
                or len(tokens[pair[0]] + tokens[pair[1]]) <= max_token_length
            )
        ]
        if not fitting:
            break
        best = max(fitting, key=lambda pair: (counts[pair], order(pair)))
        new = len(tokens)
        tokens.append(tokens[best[0]] + tokens[best[1]])
        learned.append(best)
        merged: Counter[tuple[int, ...]] = Counter()
        for word, n in words.items():
            merged[_merged(word, best, new)] += n
        words = dict(merged)
    return learned


def _merged(word: tuple[int, ...], pair: tuple[int, int], new: int) -> tuple[int, ...]:
    out: list[int] = []
    for symbol in word:
        # The last one may be a symbol that was just made: its id is new, so it is not the pair's.
        if out and (out[-1], symbol) == pair:
            out[-1] = new
        else:
            out.append(symbol)
    return tuple(out)
