"""The hashed linear classifier against a plain twin, and what it learns and stores."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.data.classifier import (
    Classifier,
    Features,
    folds,
    hashed_features,
    log_softmax,
    train_classifier,
)

ANIMALS = "cat dog mouse horse sheep goat hen duck fox hare".split()
TOOLS = "saw axe plane drill file vice lathe chisel rasp awl".split()
FILLER = "the a of and in it was old small for with near".split()


def made_texts(seed: int, count: int) -> tuple[list[str], np.ndarray]:
    r = random.Random(seed)
    labels = np.array([r.randrange(2) for _ in range(count)], np.int64)
    texts = []
    for label in labels:
        words = r.choices((ANIMALS, TOOLS)[label], k=3) + r.choices(FILLER, k=8)
        r.shuffle(words)
        texts.append(" ".join(words))
    return texts, labels


def test_features_are_words_and_pairs_of_each_text() -> None:
    one = hashed_features(["red fox", "fox", "", "red fox"], bits=20)
    assert np.diff(one.starts).tolist() == [3, 2, 0, 3]
    first = one.buckets[:3].tolist()
    assert one.buckets[5:].tolist() == first
    assert one.buckets[3] == first[1]
    words = hashed_features(["red fox"], bits=20, ngrams=1).buckets.tolist()
    assert words == first[:2]
    # The first three words only, with their two pairs.
    cut = hashed_features(["a b c d e", "x"], bits=20, max_words=3)
    assert np.array_equal(cut.buckets, hashed_features(["a b c", "x"], bits=20).buckets)
    taken = one.take(np.array([3, 1]))
    assert np.array_equal(taken.buckets, np.concatenate([one.buckets[5:], one.buckets[3:5]]))
    joined = Features.join([one, hashed_features(["fox"], bits=20)])
    assert len(joined) == 5 and joined.buckets[-2:].tolist() == one.buckets[3:5].tolist()


def plain_training(
    features: Features, labels: np.ndarray, label_count: int, bits: int, epochs: int, rate: float
) -> tuple[dict[tuple[int, int], float], list[float]]:
    random_ = np.random.default_rng(derive_seed(0, "classifier"))
    order = np.concatenate([random_.permutation(len(labels)) for _ in range(epochs)])
    weights: dict[tuple[int, int], float] = {}
    squares: dict[tuple[int, int], float] = {}
    bias, bias_squares = [0.0] * label_count, [0.0] * label_count
    for i in order:
        buckets = features.buckets[features.starts[i] : features.starts[i + 1]].tolist()
        scale = 1 / math.sqrt(max(1, len(buckets)))
        scores = [
            bias[k] + scale * sum(weights.get((b, k), 0.0) for b in buckets)
            for k in range(label_count)
        ]
        total = sum(math.exp(s) for s in scores)
        for k in range(label_count):
            gradient = math.exp(scores[k]) / total - (k == labels[i])
            bias_squares[k] += gradient**2
            bias[k] -= rate * gradient / math.sqrt(bias_squares[k] + 1e-6)
            for b in buckets:
                squares[b, k] = squares.get((b, k), 0.0) + (gradient * scale) ** 2
                step = rate * gradient * scale / math.sqrt(squares[b, k] + 1e-6)
                weights[b, k] = weights.get((b, k), 0.0) - step
    return weights, bias


def test_training_equals_the_plain_twin() -> None:
    texts, labels = made_texts(1, 40)
    labels[::5] = 2
    features = hashed_features(texts, bits=10)
    found = train_classifier(features, labels, ["a", "b", "c"], bits=10, epochs=2, rate=0.2)
    weights, bias = plain_training(features, labels, 3, 10, 2, 0.2)
    dense = np.zeros((1 << 10, 3))
    for (bucket, k), value in weights.items():
        dense[bucket, k] = value
    assert found.weights == pytest.approx(dense, abs=1e-4)
    assert found.bias == pytest.approx(np.array(bias), abs=1e-4)
    scores = found.scores(features)
    for i in (0, 7):
        buckets = features.buckets[features.starts[i] : features.starts[i + 1]]
        wanted = dense[buckets].sum(axis=0) / math.sqrt(len(buckets)) + bias
        assert scores[i] == pytest.approx(wanted, abs=1e-3)


def test_it_learns_and_repeats_itself(tmp_path: Path) -> None:
    texts, labels = made_texts(2, 400)
    unseen, truth = made_texts(3, 200)
    features = hashed_features(texts, bits=16)
    model = train_classifier(features, labels, ["animals", "tools"], bits=16)
    again = train_classifier(features, labels, ["animals", "tools"], bits=16)
    assert np.array_equal(model.weights, again.weights)
    assert np.mean(model.scores(model.features(unseen)).argmax(axis=1) == truth) > 0.97
    model.save(tmp_path / "one")
    again.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = Classifier.load(tmp_path / "one")
    assert loaded.labels == ("animals", "tools") and loaded.ngrams == 2
    assert np.array_equal(
        loaded.scores(loaded.features(unseen)), model.scores(model.features(unseen))
    )


def test_balance_weighs_labels_alike() -> None:
    _, labels = made_texts(4, 300)
    keep = np.flatnonzero((labels == 0) | (np.arange(300) % 10 == 0))
    features = hashed_features(["same words in every text"] * len(keep), bits=8)
    plain = train_classifier(features, labels[keep], ["a", "b"], bits=8, epochs=20)
    fair = train_classifier(features, labels[keep], ["a", "b"], bits=8, epochs=20, balance=True)

    def chance(model: Classifier) -> float:
        return float(np.exp(log_softmax(model.scores(features)))[0, 1])

    assert chance(plain) < 0.2
    assert abs(chance(fair) - 0.5) < 0.15


def test_files_that_are_no_classifier(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\x00" * 100)
    with pytest.raises(GristmillError, match="not a classifier"):
        Classifier.load(tmp_path / "bad")


def test_folds_keep_groups_whole_and_do_not_move() -> None:
    groups = [f"g{i // 3}" for i in range(3000)]
    found = folds(groups, 5, 1)
    assert all(len(set(found[i : i + 3])) == 1 for i in range(0, 3000, 3))
    assert found[600:].tolist() == folds(groups[600:], 5, 1).tolist()
    assert np.bincount(found).min() > 450
