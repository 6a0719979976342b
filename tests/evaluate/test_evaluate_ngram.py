from collections import Counter, defaultdict

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.evaluate.ngram import KneserNey

EOT = 0


class Twin:
    """The same model from the definitions, with dictionaries and recursion."""

    def __init__(self, documents: list[list[int]], vocabulary: int, order: int):
        self.vocabulary, self.order = vocabulary, order
        plain: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        before: list[dict[tuple[int, ...], set[int]]] = [defaultdict(set) for _ in range(order + 1)]
        opening: set[tuple[int, ...]] = set()
        for document in documents:
            row = [EOT, *document, EOT]
            for end in range(1, len(row)):
                for n in range(1, order + 1):
                    start = end - n + 1
                    if start < 0:
                        continue
                    gram = tuple(row[start : end + 1])
                    plain[n][gram] += 1
                    if start == 0:
                        opening.add(gram)
                    else:
                        before[n][gram].add(row[start - 1])
        self.counts: list[dict[tuple[int, ...], int]] = [{}]
        for n in range(1, order + 1):
            self.counts.append(
                {
                    gram: count if n == order or gram in opening else len(before[n][gram])
                    for gram, count in plain[n].items()
                }
            )
        self.discounts = [self.discount(list(c.values())) for c in self.counts[1:]]

    @staticmethod
    def discount(counts: list[int]) -> list[float]:
        n1, n2, n3, n4 = (counts.count(k) for k in (1, 2, 3, 4))
        if 0 in (n1, n2, n3, n4):
            return [0.5, 1.0, 1.5]
        y = n1 / (n1 + 2 * n2)
        ds = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return ds if all(0 < d < k for k, d in enumerate(ds, 1)) else [0.5, 1.0, 1.5]

    def probability(self, history: tuple[int, ...], word: int) -> float:
        lower = 1 / self.vocabulary if not history else self.probability(history[1:], word)
        n = len(history) + 1
        following = {g[-1]: c for g, c in self.counts[n].items() if g[:-1] == history}
        if not following:
            return lower
        d1, d2, d3 = self.discounts[n - 1]
        total = sum(following.values())
        off = {1: d1, 2: d2}
        left = sum(off.get(c, d3) for c in following.values()) / total
        count = following.get(word, 0)
        return max(count - off.get(count, d3), 0) / total + left * lower if count else left * lower


def corpus(seed: int, documents: int, vocabulary: int, length: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    # A chain with a skewed next-token table, so that long n-grams repeat.
    table = rng.dirichlet(np.full(vocabulary - 1, 0.25), size=vocabulary)
    result = []
    for _ in range(documents):
        row, last = [], 0
        for _ in range(int(rng.integers(0, length))):
            last = int(rng.choice(vocabulary - 1, p=table[last])) + 1
            row.append(last)
        result.append(row)
    return result


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_twin(order: int, seed: int) -> None:
    vocabulary = 12
    train = corpus(seed, 40, vocabulary, 30)
    held = [*corpus(seed + 50, 4, vocabulary, 20), [], [11, 11, 11, 11]]
    model, twin = KneserNey.train(train, vocabulary, EOT, order), Twin(train, vocabulary, order)
    for ours, theirs in zip(model.discounts, twin.discounts, strict=True):
        assert ours == pytest.approx(theirs)
    for document, scores in zip(held, model.log_probabilities(held), strict=True):
        row = [EOT, *document, EOT]
        expected = [
            twin.probability(tuple(row[max(0, i - order + 1) : i]), row[i])
            for i in range(1, len(row))
        ]
        assert np.exp(scores) == pytest.approx(expected, rel=1e-9)


def test_estimated_discounts_are_used() -> None:
    # The fallback of small samples must not be all that the comparison above exercises.
    discounts = KneserNey.train(corpus(0, 40, 12, 30), 12, EOT, 5).discounts
    assert any(d != [0.5, 1.0, 1.5] for d in discounts)


def test_probabilities_sum_to_one_after_any_history() -> None:
    vocabulary = 40
    train = corpus(3, 60, vocabulary, 40)
    model = KneserNey.train(train, vocabulary, EOT, 5)
    histories = [[], [5], train[1][:2], train[1][:7], [39, 39, 39, 39, 39], [*train[2][:3], 17]]
    for history in histories:
        distribution = model.distribution(history)
        assert distribution.sum() == pytest.approx(1.0, abs=1e-12)
        assert distribution.min() > 0


def test_distribution_is_what_documents_are_scored_with() -> None:
    train = corpus(4, 30, 20, 30)
    model = KneserNey.train(train, 20, EOT, 4)
    document = train[3][:6]
    (scores,) = model.log_probabilities([document])
    for i, token in enumerate([*document, EOT]):
        assert np.log(model.distribution(document[:i])[token]) == pytest.approx(scores[i])


def test_documents_do_not_see_each_other() -> None:
    train = corpus(5, 30, 20, 30)
    model = KneserNey.train(train, 20, EOT, 5)
    together = model.log_probabilities(train[:6])
    for document, scores in zip(train[:6], together, strict=True):
        assert model.log_probabilities([document])[0].tolist() == scores.tolist()
    assert model.log_probabilities([]) == []


def test_as_a_scorer_it_starts_after_eot() -> None:
    train = corpus(6, 30, 20, 30)
    model = KneserNey.train(train, 20, EOT, 5)
    (scores,) = model.score_tokens([[EOT, *train[0]]])
    assert scores == pytest.approx(model.log_probabilities([train[0]])[0][:-1], rel=1e-5)
    with pytest.raises(GristmillError, match="eot"):
        model.score_tokens([[3, 4]])


def test_refuses_ids_outside_the_vocabulary_and_nothing() -> None:
    with pytest.raises(GristmillError, match="vocabulary"):
        KneserNey.train([[1, 20]], 20, EOT, 3)
    with pytest.raises(GristmillError, match="no documents"):
        KneserNey.train([], 20, EOT, 3)
