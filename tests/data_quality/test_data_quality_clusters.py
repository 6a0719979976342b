"""Clusters: the kernels against plain twins, what is found, how many, and what they are called."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from gristmill.data.classifier import hashed_features
from gristmill.data.clusters import (
    _assign,
    _sum_up,
    adjusted_rand,
    choose_clusters,
    cluster,
    cluster_texts,
    telling_words,
    tf_idf,
)

THEMES = [[f"{theme}{i}" for i in range(40)] for theme in ("sea", "war", "art", "sum")]
COMMON = [f"the{i}" for i in range(15)]


def made(count: int, themes: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    r = random.Random(seed)
    truth = np.array([r.randrange(themes) for _ in range(count)], np.int64)
    texts = [" ".join(r.choices(THEMES[k], k=12) + r.choices(COMMON, k=12)) for k in truth]
    return texts, truth


def test_vectors_equal_the_plain_formula() -> None:
    texts = ["red red fox", "fox den", "den red", "owl", "fox owl owl", "elm", "elm ash", "ash"]
    sparse = tf_idf(hashed_features(texts, bits=16, ngrams=1), 16)
    found_in = Counter(word for text in texts for word in set(text.split()))
    for i, text in enumerate(texts):
        counts = Counter(text.split())
        weights = {w: (1 + math.log(c)) * math.log(8 / found_in[w]) for w, c in counts.items()
                   if 2 <= found_in[w] <= max(0.15 * 8, 1)}  # fmt: skip
        norm = math.sqrt(sum(v * v for v in weights.values()))
        values = sparse.values[sparse.starts[i] : sparse.starts[i + 1]]
        assert sorted(values) == pytest.approx(sorted(v / norm for v in weights.values()))
    # At 15% of eight texts no word is rare enough and in two texts; of twenty some are.
    sparse = tf_idf(
        hashed_features([*texts, *(["elk"] * 2), *(["yew"] * 20)], bits=16, ngrams=1), 16
    )
    for i, text in enumerate(texts):
        counts = Counter(text.split())
        weights = [(1 + math.log(c)) * math.log(30 / found_in[w]) for w, c in counts.items()]
        norm = math.sqrt(sum(v * v for v in weights))
        values = sparse.values[sparse.starts[i] : sparse.starts[i + 1]]
        assert sorted(values) == pytest.approx(sorted(v / norm for v in weights), rel=1e-5)
    assert sparse.starts[-1] == sparse.starts[10], "a word of most texts tells nothing"


def test_kernels_equal_their_plain_twins() -> None:
    texts, _ = made(60, 3)
    sparse = tf_idf(hashed_features(texts, bits=14, ngrams=1), 14)
    dense = np.zeros((60, sparse.width))
    for i in range(60):
        inside = slice(sparse.starts[i], sparse.starts[i + 1])
        dense[i, sparse.columns[inside]] = sparse.values[inside]
    label = np.arange(60) % 3
    centres = np.zeros((sparse.width, 3), np.float32)
    _sum_up(sparse.columns, sparse.values, sparse.starts, label, centres)
    plain = np.stack([dense[label == k].sum(axis=0) for k in range(3)], axis=1)
    plain /= np.linalg.norm(plain, axis=0)
    assert centres == pytest.approx(plain, abs=1e-5)
    cosine = np.zeros(60, np.float32)
    _assign(sparse.columns, sparse.values, sparse.starts, centres, label, cosine)
    assert label.tolist() == (dense @ plain).argmax(axis=1).tolist()
    assert cosine == pytest.approx((dense @ plain).max(axis=1), abs=1e-5)


def test_themes_are_found_and_their_number_too() -> None:
    texts, truth = made(600, 4)
    sparse = tf_idf(hashed_features(texts, bits=14, ngrams=1), 14)
    found = cluster(sparse, 4, seed=1)
    assert adjusted_rand(found.label, truth) > 0.95
    assert np.all(np.diff(np.bincount(found.label)) <= 0), "numbered from the largest"
    again = cluster(sparse, 4, seed=1)
    assert np.array_equal(found.label, again.label)
    number, tried = choose_clusters(sparse, 1)
    assert tried[4] > 0.9 > tried[8] and number in (4, 6)
    assert choose_clusters(sparse, 1, agreement=0.9)[0] == 4


def test_agreement_by_hand() -> None:
    a = np.array([0, 0, 1, 1])
    assert adjusted_rand(a, np.array([1, 1, 0, 0])) == 1.0
    # One pair together in each, none in both: (0 - 1/3) / (1.5 - 1/3).
    assert adjusted_rand(a, np.array([0, 1, 0, 2])) == pytest.approx((0 - 2 / 6) / (1.5 - 2 / 6))
    r = np.random.default_rng(0)
    assert abs(adjusted_rand(r.integers(0, 5, 4000), r.integers(0, 5, 4000))) < 0.01


def test_names_are_the_words_that_tell() -> None:
    prose = [("the sea, the tide", 0), ("the tide at sea", 0), ("the war: the army", 1),
             ("the army at war", 1)] * 9  # fmt: skip
    names, telling = telling_words([*prose, *(("the end", 2) for _ in range(300))], 3)
    assert set(telling[0]) == {"sea", "tide"} and set(telling[1]) == {"war", "army"}
    assert names[2] == "cluster 3", "only common words"


def test_few_texts_and_none() -> None:
    empty = cluster_texts(hashed_features([], bits=10, ngrams=1), 10)
    assert empty.clusters == 1 and len(empty.label) == 0
    two = cluster_texts(hashed_features(["a b", "c d"], bits=10, ngrams=1), 10, clusters=5)
    assert two.clusters == 2 and len(two.label) == 2
    texts, truth = made(400, 2)
    sampled = cluster_texts(hashed_features(texts, bits=14, ngrams=1), 14, clusters=2, sample=150)
    assert adjusted_rand(sampled.label, truth) > 0.9, "what was not sampled is labelled too"
