"""Trains the tagger of persons on invented documents, in seconds.

    python -m gristmill.data.personal_data.name_training [PATH]

writes the weights that the package ships (or to PATH). A third of the listed names is kept from the
lexicon while it learns, and further names are made up of syllables, as are firms and products: so
it must learn to tell unknown names by what stands around them.

Other weights find other names: with them the version of the stage `data filter` goes up.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from gristmill.core.seeds import derive_seed
from gristmill.data.filters.characters import class_table, lower_table
from gristmill.data.personal_data import name_lists
from gristmill.data.personal_data.name_documents import Span, invented_document
from gristmill.data.personal_data.name_features import (
    FEATURES,
    LONGEST,
    features,
    island_end,
    seen_lower,
)
from gristmill.data.personal_data.name_kernel import LABELS, marginals, scores
from gristmill.data.personal_data.name_words import read_words
from gristmill.data.personal_data.names import SHIPPED, NameTagger, WordTable, code_points

DOCUMENTS: Final = 20_000
BITS: Final = 15
EPOCHS: Final = 5
RATE: Final = 0.1
DECAY: Final = 2e-6
# Of the features, those that are left out at random at each step: a sentence must not be told by
# one word that its template happens to have.
DROPOUT: Final = 0.35


@dataclass(frozen=True)
class Islands:
    """Runs of capitalised words: words of island i are starts[i]:starts[i + 1]."""

    buckets: npt.NDArray[np.int32]
    """[words, FEATURES]"""
    labels: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]


def islands(documents: Sequence[tuple[str, list[Span]]], words: WordTable, bits: int) -> Islands:
    """The features and labels of all islands of these documents."""
    found, labels, lengths = [], [], []
    for text, spans in documents:
        codes = code_points(text)
        truth = np.zeros(len(codes) + 1, np.uint8)
        for start, end in spans:
            truth[start] = 1
            truth[start + 1 : end] = 2
        room = len(codes) + 1
        buckets = np.empty((room, FEATURES), np.int32)
        out = np.empty(room, np.uint8)
        sizes = np.empty(room, np.int64)
        count, total = _islands(
            codes, class_table(), lower_table(), words.keys, words.values, truth,
            np.uint64((1 << bits) - 1), buckets, out, sizes,
        )  # fmt: skip
        found.append(buckets[:total].copy())
        labels.append(out[:total].copy())
        lengths.append(sizes[:count].copy())
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
    return Islands(np.concatenate(found), np.concatenate(labels), starts)


@njit(cache=True, nogil=True)
def _islands(codes, classes, lowers, keys, values, truth, mask, buckets, labels, sizes):  # type: ignore[no-untyped-def]
    n = len(codes)
    start = np.empty(n + 1, np.int32)
    stop = np.empty(n + 1, np.int32)
    hashes = np.empty(n + 1, np.uint64)
    shapes = np.empty(n + 1, np.uint8)
    bits = np.empty(n + 1, np.uint16)
    count = read_words(codes, classes, lowers, keys, values, start, stop, hashes, shapes, bits)
    size = 16
    while size < 2 * count:
        size *= 2
    seen = np.empty(count + 1, np.uint8)
    seen_lower(count, hashes, shapes, bits, np.zeros(size, np.uint64), seen)
    row = np.empty((LONGEST + 2, FEATURES), np.int64)
    number = total = i = 0
    while i < count:
        if not 3 <= shapes[i] <= 6:
            i += 1
            continue
        end = island_end(i, count, start, stop, shapes, bits, codes)
        features(codes, lowers, count, start, stop, hashes, shapes, bits, i, end, seen, mask, row)
        for j in range(end - i):
            for k in range(FEATURES):
                buckets[total, k] = row[j, k]
            label = truth[start[i + j]]
            if label == 0 and truth[stop[i + j] - 1] != 0:
                label = 1
            # Inside a name, a word goes on with it if the name began before.
            if label == 2 and (j == 0 or labels[total - 1] == 0):
                label = 1
            labels[total] = label
            total += 1
        sizes[number] = end - i
        number += 1
        i = end
    return number, total


@njit(cache=True, nogil=True)
def _train(buckets, labels, starts, order, rate, decay, dropout, weights, transitions):  # type: ignore[no-untyped-def]
    """AdaGrad (Duchi et al. 2011) on the negative log-likelihood of the labels; returns its mean
    over the last tenth of the islands. The last row of weights stands for features left out."""
    nothing = len(weights) - 1
    kept = np.empty((LONGEST + 2, FEATURES), np.int64)
    state = np.uint64(88172645463325252)
    limit = np.uint64(dropout * 65536.0)
    squares = np.zeros(weights.shape, np.float32)
    transition_squares = np.zeros(transitions.shape, np.float64)
    out = np.empty((LONGEST + 2, LABELS), np.float64)
    raw = np.empty((LONGEST + 2, LABELS), np.float64)
    forward = np.empty((LONGEST + 2, LABELS), np.float64)
    backward = np.empty((LONGEST + 2, LABELS), np.float64)
    shapes = np.full(LONGEST + 2, 3, np.uint8)
    loss = 0.0
    counted = 0
    for step in range(len(order)):
        island = order[step]
        first, length = starts[island], starts[island + 1] - starts[island]
        for i in range(length):
            for f in range(FEATURES):
                # Marsaglia 2003, xorshift.
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                left_out = f > 0 and (state & np.uint64(65535)) < limit
                kept[i, f] = nothing if left_out else buckets[first + i, f]
        scores(kept, length, weights, shapes, 0, out)
        raw[:length] = out[:length]
        whole = marginals(out, length, transitions, forward, backward)
        gold = 0.0
        before = 0
        for i in range(length):
            label = labels[first + i]
            gold += raw[i, label] + transitions[before, label]
            before = label
        if step >= len(order) * 9 // 10:
            loss += whole - gold
            counted += 1
        # The gradient of transitions: expected minus observed.
        for i in range(length):
            for k in range(LABELS):
                if i == 0:
                    gradient = out[0, k] - (1.0 if labels[first] == k else 0.0)
                    transition_squares[0, k] += gradient * gradient
                    transitions[0, k] -= rate * gradient / np.sqrt(transition_squares[0, k] + 1e-6)
                else:
                    for j in range(LABELS):
                        expected = np.exp(
                            forward[i - 1, j]
                            + transitions[j, k]
                            + raw[i, k]
                            + backward[i, k]
                            - whole
                        )
                        observed = labels[first + i - 1] == j and labels[first + i] == k
                        gradient = expected - (1.0 if observed else 0.0)
                        transition_squares[j, k] += gradient * gradient
                        transitions[j, k] -= (
                            rate * gradient / np.sqrt(transition_squares[j, k] + 1e-6)
                        )
        transitions[0, 2] = -20.0
        for i in range(length):
            for k in range(LABELS):
                error = np.float32(out[i, k] - (1.0 if labels[first + i] == k else 0.0))
                if abs(error) < 1e-4:
                    continue
                for f in range(FEATURES):
                    bucket = kept[i, f]
                    if bucket == nothing:
                        continue
                    gradient32 = error + np.float32(decay) * weights[bucket, k]
                    squares[bucket, k] += gradient32 * gradient32
                    weights[bucket, k] -= (
                        np.float32(rate) * gradient32 / np.sqrt(squares[bucket, k] + 1e-6)
                    )
    return loss / max(1, counted)


def train_tagger(
    documents: int = DOCUMENTS, *, bits: int = BITS, epochs: int = EPOCHS, seed: int = 0
) -> tuple[NameTagger, float]:
    """A tagger, and the mean loss of an island at the end. One thread and a seeded order."""
    r = random.Random(derive_seed(seed, "names"))
    known = [
        [name for name in names if derive_seed(seed, "known", name) % 3]
        for names in (name_lists.FIRST_NAMES, name_lists.LAST_NAMES)
    ]
    table = WordTable.build(known[0], known[1])
    data = islands([invented_document(r) for _ in range(documents)], table, bits)
    weights = np.zeros(((1 << bits) + 1, LABELS), np.float32)
    transitions = np.zeros((LABELS, LABELS), np.float64)
    shuffle = np.random.default_rng(derive_seed(seed, "order"))
    count = len(data.starts) - 1
    order = np.concatenate([shuffle.permutation(count) for _ in range(epochs)])
    loss = _train(
        data.buckets, data.labels, data.starts, order, RATE, DECAY, DROPOUT, weights, transitions
    )
    # All features together weigh as much as those that were kept did.
    weights[1:] *= 1.0 - DROPOUT
    return NameTagger(weights[:-1], transitions, WordTable.build()), float(loss)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    tagger, loss = train_tagger()
    tagger.save(path)
    print(f"{path}: {path.stat().st_size:,} bytes, {loss:.4f} nats an island")


if __name__ == "__main__":
    main()
