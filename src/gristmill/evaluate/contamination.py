"""Whether a model was trained on a test set, from the order in which the set was published.

A set's examples are exchangeable: whoever has not seen the file finds no order of its lines more
probable than another. A model that read the file does. Oren et al. 2023, "Proving Test Set
Contamination in Black Box Language Models", section 3: the set is cut into shards of neighbouring
examples; in each, the log-probability of the published order is compared with the mean over random
orders; a one-sided t-test over the shards gives p. Small p: the order is known. A large p proves
nothing: a model may have read the examples in another order, or once only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress
from gristmill.core.seeds import derive_seed
from gristmill.evaluate.likelihood import score_all
from gristmill.infer.generator import Scorer

Floats = NDArray[np.float64]
SEPARATOR = "\n\n"
# A t-test over fewer shards says nothing.
MIN_SHARDS = 5


class Encoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def eot_id(self) -> int: ...
    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]: ...


@dataclass(frozen=True)
class OrderTest:
    """The log-probability (nats) of each shard in the published order and in random ones.

    published_S: (shards,). shuffled_SP: (shards, orders). sizes: examples of each shard.
    """

    published_S: Floats
    shuffled_SP: Floats
    sizes: tuple[int, ...]

    @property
    def gains_S(self) -> Floats:
        """How much more probable (nats) the published order is than the mean of the others."""
        return np.asarray(self.published_S - self.shuffled_SP.mean(axis=1), dtype=np.float64)

    @property
    def t(self) -> float:
        """Student's t of the gains against 0."""
        gains_S = self.gains_S
        error = float(gains_S.std(ddof=1)) / math.sqrt(len(gains_S))
        mean = float(gains_S.mean())
        return mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0

    @property
    def p(self) -> float:
        """One-sided: the chance of such a t where all orders are alike to the model."""
        from scipy.special import stdtr

        return float(stdtr(len(self.gains_S) - 1, -self.t))

    @property
    def p_by_rank(self) -> float:
        """The same from how many of the random orders of the whole set are at least as probable:
        exact for any number of shards, never below 1 / (orders + 1)."""
        total, totals_P = self.published_S.sum(), self.shuffled_SP.sum(axis=0)
        return float((1 + np.sum(totals_P >= total)) / (1 + len(totals_P)))


def shards_of(lengths: Sequence[int], context: int, most: int | None = None) -> list[range]:
    """Neighbouring examples together, as many as fit a context; what is left alone is left out.

    lengths: tokens of each example with its separator. most: examples of a shard at most. An
    example that is longer than half the context takes its neighbour along or is left out.
    """
    shards: list[range] = []
    start = total = 0
    for i, length in enumerate(lengths):
        if i > start and (total + length > context or i - start == most):
            shards.append(range(start, i))
            start, total = i, 0
        total += length
    shards.append(range(start, len(lengths)))
    return [s for s in shards if len(s) > 1 and sum(lengths[i] for i in s) <= context]


def order_test(
    scorer: Scorer,
    tokenizer: Encoder,
    examples: Sequence[str],
    *,
    context: int,
    orders: int = 20,
    most: int | None = None,
    separator: str = SEPARATOR,
    seed: int = 0,
    bar: Progress | None = None,
) -> OrderTest:
    """Tests the examples in the order given.

    context: tokens of a shard at most; a shard is scored as one text after end-of-text. orders:
    random orders of each shard. Raises GristmillError where the examples give fewer than five
    shards.
    """
    if orders < 1:
        raise GristmillError(f"{orders} random orders give nothing to compare with")
    between = len(tokenizer.encode_batch([separator])[0])
    lengths = [len(ids) + between for ids in tokenizer.encode_batch(list(examples))]
    # A join may cost a token more than its parts; an order that does not fit is caught below.
    shards = shards_of(lengths, context - 1, most)
    if len(shards) < MIN_SHARDS:
        raise GristmillError(
            f"{len(examples)} examples give {len(shards)} shards of two or more that fit "
            f"{context} tokens; the test needs {MIN_SHARDS}",
            mend="give more examples, or fewer to a shard",
        )
    texts = []
    for number, shard in enumerate(shards):
        rng = np.random.default_rng(derive_seed(seed, "orders", number))
        texts.append(separator.join(examples[i] for i in shard))
        # Uniform over all orders, the published one among them: the rank is then exact.
        for order in (rng.permutation(shard) for _ in range(orders)):
            texts.append(separator.join(examples[i] for i in order))
    rows = [
        [tokenizer.eot_id, *ids.tolist()][: context + 1] for ids in tokenizer.encode_batch(texts)
    ]
    scores = np.array([float(s.sum()) for s in score_all(scorer, rows, bar)])
    scores_SP = scores.reshape(len(shards), orders + 1)
    return OrderTest(scores_SP[:, 0], scores_SP[:, 1:], tuple(map(len, shards)))
