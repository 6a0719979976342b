"""Quality: which pages teach it, honest scores, thresholds. Domains: labels and guesses."""

from __future__ import annotations

import random

import numpy as np
import pytest

from gristmill.data.classifier import hashed_features
from gristmill.data.domains import fit_temperature, train_domains, usable_labels
from gristmill.data.quality import Labels, choose_labels, threshold_for_share, train_quality

WORDS = [f"w{i}" for i in range(400)]


def test_labels_leave_the_reference_out() -> None:
    hosts = ["ref.example", "a.example", "a.example", "b.example", "www.ref.example"]
    urls = [f"http://{host}/{i}" for i, host in enumerate(hosts)]
    ids = [f"id{i}" for i in range(5)]
    linked = {"a.example/1", "ref.example/0"}
    found = choose_labels(ids, urls, hosts, linked, ["ref.example"])
    assert found.positives.tolist() == [1]
    assert found.negatives.tolist() == [2, 3]
    one = choose_labels(ids, urls, hosts, linked, ["ref.example"], negatives_per_positive=1.0)
    assert len(one.negatives) == 1
    # Drawn by id: the order of the documents does not matter.
    turned = choose_labels(
        ids[::-1], urls[::-1], hosts[::-1], linked, ["ref.example"], negatives_per_positive=1.0
    )
    assert ids[::-1][turned.negatives[0]] == ids[one.negatives[0]]


def test_labels_that_mean_nothing_score_by_chance() -> None:
    """With 400 words and 200 random texts a model fits its training labels perfectly; held-out
    scores must not show that."""
    r = random.Random(0)
    texts = [" ".join(r.choices(WORDS, k=30)) for _ in range(200)]
    features = hashed_features(texts, bits=14)
    labels = Labels(np.arange(0, 200, 2), np.arange(1, 200, 2))
    trained = train_quality(features, labels, [f"{i}" for i in range(200)], bits=14, ngrams=2)
    assert abs(trained.auc.value - 0.5) < 0.12
    own = trained.model.quality(features.take(trained.rows))
    assert own[:100].mean() > own[100:].mean() + 0.1
    assert abs(trained.held_out[:100].mean() - trained.held_out[100:].mean()) < 0.1


def test_copies_do_not_teach_what_they_test() -> None:
    """Random labels, but each text stands four times: only folds by group stay at chance."""
    r = random.Random(1)
    texts = [" ".join(r.choices(WORDS, k=30)) for _ in range(100)]
    rows = np.arange(400)
    features = hashed_features([texts[i // 4] for i in rows], bits=14)
    labels = Labels(rows[(rows // 4) % 2 == 0], rows[(rows // 4) % 2 == 1])
    by_group = train_quality(features, labels, [f"{i // 4}" for i in rows], bits=14, ngrams=2)
    by_page = train_quality(features, labels, [f"{i}" for i in rows], bits=14, ngrams=2)
    assert abs(by_group.auc.value - 0.5) < 0.17
    assert by_page.auc.value > 0.95


def test_real_differences_are_learnt() -> None:
    r = random.Random(2)
    good = [" ".join(r.choices(WORDS[:250], k=20)) for _ in range(150)]
    poor = [" ".join(r.choices(WORDS[150:], k=20)) for _ in range(150)]
    features = hashed_features(good + poor, bits=14)
    labels = Labels(np.arange(150), np.arange(150, 300))
    trained = train_quality(features, labels, [f"{i}" for i in range(300)], bits=14, ngrams=2)
    assert trained.auc.value > 0.97
    assert trained.held_out[:150].mean() > 0.8 > 0.2 > trained.held_out[150:].mean()


def test_threshold_keeps_the_share() -> None:
    quality = np.arange(10) / 10
    assert np.sum(quality >= threshold_for_share(quality, 0.3)) == 3
    assert threshold_for_share(quality, 1.0) == -np.inf
    assert threshold_for_share(quality, 0.0) == np.inf


def test_topics_that_count() -> None:
    topics = ["Arts", " Arts ", None, "", "uncategorized", "Rare", "Arts"]
    found = usable_labels(topics, ignore=["Uncategorized"], min_documents=2)
    assert found == ["Arts", "Arts", None, None, None, None, "Arts"]


def test_domains_are_learnt_and_measured_on_unseen_documents() -> None:
    r = random.Random(3)
    names = ["a", "b", "c"]
    truth = [r.randrange(3) for _ in range(600)]
    texts = [
        " ".join(r.choices(WORDS[k * 60 : k * 60 + 120], k=12) + r.choices(WORDS[300:], k=8))
        for k in truth
    ]
    labels = [names[k] if i % 3 else None for i, k in enumerate(truth)]
    features = hashed_features(texts, bits=14)
    groups = [f"{i}" for i in range(600)]
    trained = train_domains(features, labels, groups, bits=14, ngrams=2, held_out=0.25)
    guessed, probability = trained.model.predict(features)
    unlabelled = [i for i in range(600) if labels[i] is None]
    accuracy = np.mean([guessed[i] == truth[i] for i in unlabelled])
    assert accuracy > 0.8
    assert trained.accuracy.n == trained.confusion.sum() and 70 < trained.confusion.sum() < 130
    assert abs(trained.accuracy.value - accuracy) < 0.12
    # The temperature makes the stated probability mean what it says.
    assert abs(probability[unlabelled].mean() - accuracy) < 0.1
    assert trained.confidence == pytest.approx(trained.accuracy.value, abs=0.12)


def test_temperature_by_a_case_with_a_known_answer() -> None:
    # Scores (s, 0) with 3 of 4 right: the best probability is 3/4, so s / T = log 3.
    scores = np.tile([4.0, 0.0], (4, 1))
    found = fit_temperature(scores, np.array([0, 0, 0, 1]))
    assert 4.0 / found == pytest.approx(np.log(3), rel=1e-3)
