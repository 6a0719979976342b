"""MinHash, LSH and components against plain twins, and on copies with known edits."""

from __future__ import annotations

import random
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gristmill.data.dedup import band_index, near
from gristmill.data.dedup.band_index import BandIndex, SpilledPairs
from gristmill.data.dedup.estimate import sample_estimate
from gristmill.data.dedup.exact import text_digest
from gristmill.data.dedup.lsh import (
    NO_KEY,
    band_keys,
    bucket_components,
    candidate_pairs,
    candidate_probability,
    connected_components,
    unpacked,
)
from gristmill.data.dedup.minhash import jaccard, permutations, shingle_sets, signatures
from gristmill.data.dedup.near import EarlierPart, NearSettings, near_groups, sign_part
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
    keys = band_keys(found, 4, 4)
    assert (keys != NO_KEY).tolist() == [[bool(text) for text in texts]] * 4
    for band, row in ((0, 0), (3, len(texts) - 1)):
        key = 0
        for value in found[row, 4 * band : 4 * band + 4].tolist():
            key = (key * 0x9E3779B97F4A7C15 + value) % 2**64
        for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            key = (key ^ (key >> 33)) * multiplier % 2**64
        assert keys[band, row] == (key ^ (key >> 33)) >> 32


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


def test_shingle_sets_are_the_distinct_ngrams() -> None:
    texts = ["", *labelled(11, 5), "a 中文 b", "a b " * 40, "中文字文字文字", ".", "a"]
    for n in (1, 3, 5):
        hashes, starts = shingle_sets(texts, n)
        grams, gram_starts = ngram_hashes(*word_hashes(texts), n)
        for row in range(len(texts)):
            wanted = np.unique(grams[gram_starts[row] : gram_starts[row + 1]])
            assert np.array_equal(hashes[starts[row] : starts[row + 1]], wanted)


def test_a_text_cut_in_a_character_stays_in_its_buffer() -> None:
    # Words as dense as they can be, each text ending in the first byte of a longer character.
    data = b"".join(b"a b c \xe4" for _ in range(50))
    offsets = np.arange(0, 7 * 51, 7, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    texts = pa.Array.from_buffers(pa.large_string(), 50, buffers)
    _, starts = shingle_sets(texts, 1)
    assert np.diff(starts).tolist() == [4] * 50


def test_candidates_are_the_pairs_that_share_a_band() -> None:
    r = np.random.default_rng(0)
    signed = r.integers(0, 3, (60, 12)).astype(np.uint32)
    eligible = r.random(60) < 0.9
    keys = band_keys(signed, 4, 3)
    keys[:, ~eligible] = NO_KEY
    pairs = candidate_pairs(keys)
    wanted = [
        [i, j]
        for i, j in combinations(np.flatnonzero(eligible).tolist(), 2)
        if any(np.array_equal(signed[i, k : k + 3], signed[j, k : k + 3]) for k in (0, 3, 6, 9))
    ]
    assert pairs.tolist() == wanted
    assert np.array_equal(bucket_components(60, keys), connected_components(60, pairs))


def test_the_index_on_disk_is_the_one_in_memory(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 40, (5, 300), dtype=np.uint32)
    index = BandIndex(tmp_path / "index", 5)
    for low, high in ((0, 1), (1, 1), (1, 250), (250, 300)):
        index.append(keys[:, low:high])
    assert (index.documents, index.bytes) == (300, 300 * 5 * 4)
    assert np.array_equal(np.stack(list(index)), keys)
    assert np.array_equal(index.part(240, 20), keys[:, 240:260])
    assert np.array_equal(candidate_pairs(index), candidate_pairs(keys))
    # A folder is one run's: what an earlier one left there is not read.
    assert BandIndex(tmp_path / "index", 5).documents == 0


def test_spilled_pairs_come_back_once_and_in_order(tmp_path: Path) -> None:
    r = np.random.default_rng(6)
    pieces = [r.integers(0, 90, (n, 2)).astype(np.uint64) for n in (0, 400, 1, 700)]
    packed = [(np.min(p, axis=1) << np.uint64(32)) | np.max(p, axis=1) for p in pieces if len(p)]
    spilled = SpilledPairs(tmp_path, 90, width=16)
    for piece in [np.zeros(0, np.uint64), *packed]:
        spilled.append(piece.copy())
    found = [unpacked(one).tolist() for one in spilled]
    wanted = sorted({(int(a >> 32), int(a & 0xFFFFFFFF)) for a in np.concatenate(packed).tolist()})
    assert [tuple(pair) for one in found for pair in one] == wanted
    assert [one[0][0] // 16 for one in found] == list(range(6)) and not list(tmp_path.iterdir())


def test_components_do_not_depend_on_the_order_of_documents() -> None:
    random_ = np.random.default_rng(2)
    keys = random_.integers(0, 300, (3, 400), dtype=np.uint32)
    order = random_.permutation(400)
    found, shuffled = bucket_components(400, keys), bucket_components(400, keys[:, order])

    def groups(roots: np.ndarray, names: np.ndarray) -> set[frozenset[int]]:
        return {frozenset(names[roots == root].tolist()) for root in set(roots.tolist())}

    assert groups(found, np.arange(400)) == groups(shuffled, order)
    assert 1 < len(set(found.tolist())) < 400


def test_a_large_bucket_costs_linear_work_and_stays_together() -> None:
    keys = np.ones((1, 500), np.uint32)
    pairs = candidate_pairs(keys, all_pairs=32)
    assert len(pairs) == 499 + 498
    assert connected_components(500, pairs).tolist() == [0] * 500


def test_the_documented_curve() -> None:
    assert candidate_probability(0.8, 20, 6) == pytest.approx(1 - (1 - 0.8**6) ** 20)
    r = np.random.default_rng(1)
    # Signature positions agree with probability 0.6, as those of a pair of Jaccard 0.6 do.
    left = r.integers(0, 2**32, (4000, 100), dtype=np.uint32)
    agree = r.random((4000, 100)) < 0.6
    right = np.where(agree, left, r.integers(0, 2**32, (4000, 100), dtype=np.uint32))
    hit = np.any(band_keys(left, 25, 4) == band_keys(right, 25, 4), axis=0)
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


def test_groups_do_not_depend_on_parts_or_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*labelled(7, 60), "", ""]
    told: tuple[list[Any], list[Any]] = [], []
    whole = near_groups(lambda: [texts], NearSettings(), told=lambda *one: told[0].append(one))
    # Candidates are worked off in pieces.
    monkeypatch.setattr(near, "PAIRS_AT_ONCE", 7)
    monkeypatch.setattr(band_index, "RANGE", 50)
    cut = near_groups(
        lambda: [texts[:1], [], texts[1:100], texts[100:]], NearSettings(), workers=2,
        told=lambda *one: told[1].append(one),
    )  # fmt: skip
    assert len(told[0]) == 1 < 10 < len(told[1])
    assert np.array_equal(whole.groups, cut.groups)
    for place in range(2):
        assert np.array_equal(told[0][0][place], np.concatenate([one[place] for one in told[1]]))
    pairs, similarity = told[0][0]
    assert whole.passed == cut.passed == len(pairs) <= whole.candidates == cut.candidates
    assert similarity.min() >= 0.5 and pairs.tolist() == sorted(pairs.tolist())
    assert np.array_equal(whole.groups, connected_components(len(texts), pairs))
    assert whole.groups[-2:].tolist() == [len(texts) - 2, len(texts) - 1]
    assert near_groups(lambda: [], NearSettings()).groups.tolist() == []


def test_earlier_documents_are_not_compared_with_each_other() -> None:
    texts = labelled(12, 40)
    settings = NearSettings()
    old, new = texts[:90], [*texts[90:], texts[0], texts[3] + " more"]
    read: list[int] = []

    def part(low: int, high: int, kept: bool) -> EarlierPart:
        def texts_of() -> list[str]:
            read.append(low)
            return old[low:high]

        keys = partial(sign_part, old[low:high], settings) if kept else None
        return EarlierPart(high - low, texts_of, keys)

    parts = [part(0, 30, True), part(30, 90, False)]
    content = np.array([int.from_bytes(text_digest(t)[:8]) for t in [*old, *new]], np.uint64)
    pairs: list[Any] = []
    found = near_groups(
        lambda: [new], settings, earlier=parts, content=lambda: content,
        told=lambda *one: pairs.append(one[0]),
    )  # fmt: skip
    # Copies of each other, but of no new one; two families are tied by a new document.
    assert found.groups[6:90].tolist() == list(range(6, 90))
    assert len(set(near_groups(lambda: [old[6:]], settings).groups.tolist())) < 60
    assert np.concatenate(pairs)[:, 1].min() >= 90 and found.groups[-2:].tolist() == [0, 3]
    # Among the new ones nothing is lost by it.
    alone = near_groups(lambda: [new[:-2]], settings)
    assert np.array_equal(found.groups[90:-2] - 90, alone.groups)
    # Kept keys: read once, for the candidates. Others: to be signed; none of them is a candidate.
    assert read == [30, 0]


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
