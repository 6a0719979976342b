"""Interpolated modified Kneser-Ney (Chen and Goodman 1999, section 3.2) over token ids.

Exact, in sorted arrays: every n-gram is a pair (id of its first n - 1 tokens, last token) in one
sorted int64 array per order, so that counting is a sort and looking up is a binary search. Each
document is read as eot, its tokens, eot: the first eot opens it and is only ever context, the last
one closes it and is predicted. n-grams that begin with the opening eot keep their plain counts, as
nothing can stand before them (as in SRILM and KenLM). The unigram level is interpolated with the
uniform distribution, so every token of the vocabulary has probability and they sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gristmill.core.errors import GristmillError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ABSENT = -1


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length n.

    keys: sorted, context * vocabulary + last token, where context is the place of the first n - 1
    tokens among the (n - 1)-grams (the token itself for n = 2, 0 for n = 1). counts: plain for the
    longest order and after the opening eot, else the number of different tokens before (adjusted).
    totals, left: for each context the sum of its counts and the mass that discounting leaves.
    """

    keys: Ints
    counts: Ints
    discounts: Floats
    totals: Ints
    left: Floats


class KneserNey:
    """`KneserNey.train(documents, ...)`, then `log_probabilities(documents)`."""

    def __init__(self, orders: list[_Order], vocab_size: int, eot_id: int):
        self._orders = orders
        self.vocab_size = vocab_size
        self.eot_id = eot_id

    @property
    def order(self) -> int:
        """The length of the longest n-gram."""
        return len(self._orders)

    @property
    def discounts(self) -> list[list[float]]:
        """D1, D2, D3+ of each order, from unigrams up."""
        return [order.discounts[1:].tolist() for order in self._orders]

    @property
    def sizes(self) -> list[int]:
        """How many n-grams each order holds."""
        return [len(order.keys) for order in self._orders]

    @classmethod
    def train(
        cls, documents: Sequence[ArrayLike], vocab_size: int, eot_id: int, order: int = 5
    ) -> KneserNey:
        """Counts the documents: token ids without eot. Raises GristmillError where there are none.

        Peak memory is about 25 bytes per token and order.
        """
        tokens, place = _flatten(documents, vocab_size, eot_id)
        if len(tokens) == 0:
            raise GristmillError("no documents to count n-grams in")
        orders: list[_Order] = []
        # n-grams that end at each position: their place among the n-grams of this length.
        ends: list[Ints] = [np.where(place >= 0, tokens, ABSENT)]
        plain: list[Ints] = []
        keys: list[Ints] = [np.arange(vocab_size)]
        opening: list[NDArray[np.bool_]] = []
        for n in range(2, order + 1):
            here = np.flatnonzero(place >= n - 1)
            found, first, inverse, count = np.unique(
                ends[-1][here - 1] * vocab_size + tokens[here],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            end = np.full(len(tokens), ABSENT, dtype=np.int64)
            end[here] = inverse
            keys.append(found)
            plain.append(count)
            opening.append(place[here[first]] == n - 1)
            ends.append(end)
            # The n-gram without its first token is the (n - 1)-gram that ends at the same place.
            before = np.bincount(ends[-2][here[first]], minlength=len(keys[-2]))
            if n > 2:
                before = np.where(opening[-2], plain[-2], before)
            contexts = 1 if n == 2 else len(keys[-3])
            orders.append(_finish(keys[-2], before, contexts, vocab_size))
        if order == 1:
            counts = np.bincount(tokens[place >= 1], minlength=vocab_size)
            return cls([_finish(keys[0], counts, 1, vocab_size)], vocab_size, eot_id)
        orders.append(_finish(keys[-1], plain[-1], len(keys[-2]), vocab_size))
        return cls(orders, vocab_size, eot_id)

    def log_probabilities(self, documents: Sequence[ArrayLike]) -> list[Floats]:
        """For each document (ids without eot) log p (nats) of its tokens and its closing eot."""
        tokens, place = _flatten(documents, self.vocab_size, self.eot_id)
        log_p = np.log(self._probabilities(tokens, place))
        starts = np.flatnonzero(place == 0)
        return [part[1:] for part in np.split(log_p, starts[1:])] if len(starts) else []

    def score_tokens(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """log p of every token but the first of each sequence, whose first token is eot."""
        for sequence in sequences:
            if len(sequence) == 0 or sequence[0] != self.eot_id:
                raise GristmillError("an n-gram model scores from a document's start, after eot")
        scores = self.log_probabilities([np.asarray(s[1:], dtype=np.int64) for s in sequences])
        return [score[:-1].astype(np.float32) for score in scores]

    def distribution(self, history: ArrayLike) -> Floats:
        """p of every token of the vocabulary after a document's first tokens, (V,)."""
        history = np.asarray(history, dtype=np.int64)
        length = len(history) + 2
        rows = np.empty((self.vocab_size, length), dtype=np.int64)
        rows[:, 0] = self.eot_id
        rows[:, 1:-1] = history
        rows[:, -1] = np.arange(self.vocab_size)
        place = np.tile(np.arange(length), self.vocab_size)
        return self._probabilities(rows.ravel(), place).reshape(rows.shape)[:, -1]

    def _probabilities(self, tokens: Ints, place: Ints) -> Floats:
        """p of the token at each position given those before it in its document."""
        p = np.full(len(tokens), 1.0 / self.vocab_size)
        # The context of length n - 1 that ends just before each position, or ABSENT.
        context = np.where(place >= 1, 0, ABSENT)
        ending = np.zeros(len(tokens), dtype=np.int64)
        for n, order in enumerate(self._orders, start=1):
            found = _find(order.keys, context * self.vocab_size + tokens)
            found[context < 0] = ABSENT
            known = np.flatnonzero(context >= 0)
            known = known[order.totals[context[known]] > 0]
            total = order.totals[context[known]]
            count = np.where(found[known] >= 0, order.counts[found[known]], 0)
            kept = count - order.discounts[np.minimum(count, 3)]
            p[known] = kept / total + order.left[context[known]] * p[known]
            # n-grams ending here are the contexts of length n of the next position.
            ending = tokens if n == 1 else self._ends(ending, tokens, place, n)
            context = np.full(len(tokens), ABSENT, dtype=np.int64)
            context[1:] = ending[:-1]
        return p

    def _ends(self, shorter: Ints, tokens: Ints, place: Ints, n: int) -> Ints:
        """The n-gram that ends at each position, from the (n - 1)-gram that ends before it."""
        before = np.full(len(tokens), ABSENT, dtype=np.int64)
        before[1:] = shorter[:-1]
        before[place < n - 1] = ABSENT
        found = _find(self._orders[n - 1].keys, before * self.vocab_size + tokens)
        found[before < 0] = ABSENT
        return found


def _finish(keys: Ints, counts: Ints, contexts: int, vocab_size: int) -> _Order:
    discounts = _discounts(counts)
    context = keys // vocab_size
    kept_out = discounts[np.minimum(counts, 3)]
    totals = np.bincount(context, weights=counts, minlength=contexts).astype(np.int64)
    out = np.bincount(context, weights=kept_out, minlength=contexts)
    left = np.divide(out, totals, out=np.ones(contexts), where=totals > 0)
    return _Order(keys, counts.astype(np.int64), discounts, totals, left)


def _discounts(counts: Ints) -> Floats:
    """[0, D1, D2, D3+] from how many n-grams occur 1, 2, 3 and 4 times (equations 24 to 26).

    A small or odd sample may lack one of these; then 0.5, 1, 1.5. Never more than the count, so
    that nothing goes below 0.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    if (n[1:5] == 0).any():
        return np.array([0.0, 0.5, 1.0, 1.5])
    share = n[1] / (n[1] + 2 * n[2])
    raw = [k - (k + 1) * share * n[k + 1] / n[k] for k in (1, 2, 3)]
    if any(not 0 < d < k for k, d in enumerate(raw, start=1)):
        return np.array([0.0, 0.5, 1.0, 1.5])
    return np.array([0.0, *raw])


def _flatten(documents: Sequence[ArrayLike], vocab_size: int, eot_id: int) -> tuple[Ints, Ints]:
    """All documents as eot, tokens, eot, and the place of each token in its document."""
    parts = [np.asarray(document, dtype=np.int64) for document in documents]
    lengths = np.array([len(part) + 2 for part in parts], dtype=np.int64)
    tokens = np.full(int(lengths.sum()), eot_id, dtype=np.int64)
    start = 0
    for part, length in zip(parts, lengths.tolist(), strict=True):
        tokens[start + 1 : start + length - 1] = part
        start += length
    if len(tokens) and (tokens.min() < 0 or tokens.max() >= vocab_size):
        raise GristmillError(f"a token id outside the vocabulary of {vocab_size}")
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return tokens, np.arange(len(tokens)) - first


def _find(keys: Ints, wanted: Ints) -> Ints:
    """The place of each wanted key, or ABSENT."""
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    return np.where(keys[place] == wanted, place, ABSENT)
