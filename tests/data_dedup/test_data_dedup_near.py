"""MinHash, LSH and components against plain twins, and on copies with known edits."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from gristmill.data.dedup.lsh import (
    band_keys,
    candidate_pairs,
    candidate_probability,
    connected_components,
    has_shingles,
)
from gristmill.data.dedup.minhash import jaccard, permutations, shingle_sets, signatures
from gristmill.data.dedup.near import NearSettings, near_groups, sample_estimate
from gristmill.data.ngrams import ngram_hashes, word_hashes

VOCABULARY = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "l")]


def sentence_text(r: random.Random, words: int) -> list[str]:
    # Skewed like real text: some words are everywhere.
    return [VOCABULARY[int(len(VOCABULARY) * r.random() ** 3)] for _ in range(words)]


def edited(words: list[str], r: random.Random, edits: int) -> list[str]:
    words = list(words)
    for _ in range(edits):
        place = r.randrange(len(words))
        kind = r.randrange(3)
        if kind == 0:
            words[place] = "changed" + r.choice(VOCABULARY)
        elif kind == 1:
            words.insert(place, "added" + r.choice(VOCABULARY))
        else:
            del words[place]
    return words


def labelled(seed: int, count: int) -> list[str]:
    r = random.Random(seed)
    texts = []
    for _ in range(count):
        original = sentence_text(r, r.randrange(40, 160))
        texts.append(" ".join(original))
        texts += [" ".join(edited(original, r, e)) for e in r.choices((1, 2, 3, 5, 9), k=2)]
    return texts


def plain_sets(texts: list[str], n: int) -> list[set[str]]:
    found = []
    for text in texts:
        words = text.split()
        last = max(1, len(words) - n + 1)
        found.append({" ".join(words[i : i + n]) for i in range(last)} if words else set())
    return found


def plain_jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def test_signatures_equal_the_plain_twin() -> None:
    texts = [*labelled(1, 4), "", "two words", "a b c d e"]
    a, b = permutations(16, 9)
    found = signatures(texts, n=5, count=16, seed=9)
    words, starts = word_hashes(texts)
    hashes, starts = ngram_hashes(words, starts, 5)
    for row in range(len(texts)):
        shingles = [int(h) >> 32 for h in hashes[starts[row] : starts[row + 1]]]
        for p in range(16):
            minimum = min(
                ((int(a[p]) * s + int(b[p])) % 2**32 for s in shingles), default=2**32 - 1
            )
            assert found[row, p] == minimum
    assert has_shingles(found).tolist() == [bool(text) for text in texts]


def test_workers_do_not_change_signatures() -> None:
    texts = labelled(2, 30)
    one = signatures(texts, workers=1)
    assert np.array_equal(one, signatures(texts, workers=3))
    assert np.array_equal(one, signatures(texts, workers=200))
    assert not np.array_equal(one, signatures(texts, seed=1))


def test_equal_minima_estimate_jaccard() -> None:
    texts = labelled(3, 60)
    found = signatures(texts, count=256)
    sets = plain_sets(texts, 5)
    errors = []
    for i in range(0, len(texts), 3):
        exact = plain_jaccard(sets[i], sets[i + 1])
        errors.append(float(np.mean(found[i] == found[i + 1])) - exact)
    # The standard error of one estimate is at most 0.5 / sqrt(256) = 0.031.
    assert abs(np.mean(errors)) < 0.015
    assert np.std(errors) < 0.04


def test_exact_jaccard_equals_sets() -> None:
    texts = [*labelled(4, 10), "", "one", "one", "one two"]
    pairs = np.array(list(combinations(range(len(texts)), 2)))
    sets = plain_sets(texts, 5)
    found = jaccard(*shingle_sets(texts, 5), pairs)
    assert found == pytest.approx([plain_jaccard(sets[i], sets[j]) for i, j in pairs])


def test_candidates_are_the_pairs_that_share_a_band() -> None:
    r = np.random.default_rng(0)
    signed = r.integers(0, 3, (60, 12)).astype(np.uint32)
    eligible = r.random(60) < 0.9
    pairs = candidate_pairs(band_keys(signed, 4, 3), eligible)
    wanted = [
        [i, j]
        for i, j in combinations(np.flatnonzero(eligible).tolist(), 2)
        if any(np.array_equal(signed[i, k : k + 3], signed[j, k : k + 3]) for k in (0, 3, 6, 9))
    ]
    assert pairs.tolist() == wanted


def test_a_large_bucket_costs_linear_work_and_stays_together() -> None:
    keys = np.zeros((500, 1), np.uint32)
    pairs = candidate_pairs(keys, np.ones(500, np.bool_), all_pairs=32)
    assert len(pairs) == 499 + 498
    assert connected_components(500, pairs).tolist() == [0] * 500


def test_the_documented_curve() -> None:
    assert candidate_probability(0.8, 20, 6) == pytest.approx(1 - (1 - 0.8**6) ** 20)
    r = np.random.default_rng(1)
    # Signature positions agree with probability 0.6, as those of a pair of Jaccard 0.6 do.
    left = r.integers(0, 2**32, (4000, 100), dtype=np.uint32)
    agree = r.random((4000, 100)) < 0.6
    right = np.where(agree, left, r.integers(0, 2**32, (4000, 100), dtype=np.uint32))
    hit = np.any(band_keys(left, 25, 4) == band_keys(right, 25, 4), axis=1)
    assert np.mean(hit) == pytest.approx(candidate_probability(0.6, 25, 4), abs=0.01)


def test_components_equal_a_search() -> None:
    r = random.Random(5)
    for _ in range(30):
        n = r.randrange(1, 40)
        pairs = [(r.randrange(n), r.randrange(n)) for _ in range(r.randrange(40))]
        neighbours: dict[int, set[int]] = {i: {i} for i in range(n)}
        for i, j in pairs:
            neighbours[i].add(j)
            neighbours[j].add(i)
        wanted = []
        for i in range(n):
            seen, frontier = {i}, {i}
            while frontier:
                frontier = set().union(*(neighbours[k] for k in frontier)) - seen
                seen |= frontier
            wanted.append(min(seen))
        found = connected_components(n, np.array(pairs, np.int64).reshape(-1, 2))
        assert found.tolist() == wanted


def test_recall_and_precision_on_labelled_edits() -> None:
    texts = labelled(6, 400)
    settings = NearSettings()
    groups = near_groups(lambda: [texts[:500], texts[500:]], settings).groups
    sets = plain_sets(texts, settings.n)
    wanted = found = 0
    for i in range(0, len(texts), 3):
        for a, b in combinations(range(i, i + 3), 2):
            if plain_jaccard(sets[a], sets[b]) >= 0.8:
                wanted += 1
                found += groups[a] == groups[b]
    assert wanted > 300 and found / wanted >= 0.98
    together = [(a, b) for a, b in combinations(range(len(texts)), 2) if groups[a] == groups[b]]
    right = sum(a // 3 == b // 3 for a, b in together)
    assert right / len(together) >= 0.98


def test_groups_do_not_depend_on_parts() -> None:
    texts = [*labelled(7, 60), "", ""]
    whole = near_groups(lambda: [texts], NearSettings())
    cut = near_groups(lambda: [texts[:1], [], texts[1:100], texts[100:]], NearSettings(), workers=2)
    assert np.array_equal(whole.groups, cut.groups)
    assert np.array_equal(whole.pairs, cut.pairs)
    assert whole.groups[-2:].tolist() == [len(texts) - 2, len(texts) - 1]
    assert near_groups(lambda: [], NearSettings()).groups.tolist() == []


def test_the_sample_finds_what_comparing_all_finds() -> None:
    texts = labelled(8, 50)
    settings = NearSettings(threshold=0.6, bands=4, rows=8)  # misses many on purpose
    groups = near_groups(lambda: [texts], settings).groups
    sets = plain_sets(texts, 5)
    all_pairs = {(a, b): plain_jaccard(sets[a], sets[b]) for a, b in combinations(range(150), 2)}
    similar = {pair for pair, s in all_pairs.items() if s >= 0.6}
    together = {(a, b) for a, b in all_pairs if groups[a] == groups[b]}
    estimate = sample_estimate(lambda: [texts[:70], texts[70:]], groups, settings, sample=1000)
    assert estimate.recall.value == pytest.approx(len(similar & together) / len(similar))
    assert estimate.precision.value == pytest.approx(len(similar & together) / len(together))
    assert 0.2 < estimate.recall.value < 0.95
    above = sorted(s for s in all_pairs.values() if s >= 0.3)
    assert sorted(estimate.similarities) == pytest.approx(above)
    part = sample_estimate(lambda: [texts], groups, settings, sample=40)
    assert part.sampled == 40
    assert abs(part.recall.value - estimate.recall.value) < 0.25
