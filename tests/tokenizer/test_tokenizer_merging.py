from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import numpy as np

from gristmill.tokenizer.counting import PretokenCounter, PretokenCounts
from gristmill.tokenizer.merging import learn_merges
from gristmill.tokenizer.splitter import split


def _reference(
    words: dict[bytes, int], merges: int, min_frequency: int, max_length: int
) -> list[tuple[int, int]]:
    """Recounts everything at every step: the definition."""
    segmented = {tuple(word): count for word, count in words.items()}
    lengths = [1] * 256
    learned: list[tuple[int, int]] = []
    while len(learned) < merges:
        pairs: Counter[tuple[int, int]] = Counter()
        for word, count in segmented.items():
            for pair in pairwise(word):
                pairs[pair] += count
        fitting = [
            (-count, pair)
            for pair, count in pairs.items()
            if count >= min_frequency and lengths[pair[0]] + lengths[pair[1]] <= max_length
        ]
        if not fitting:
            break
        _, best = min(fitting)
        new = 256 + len(learned)
        learned.append(best)
        lengths.append(lengths[best[0]] + lengths[best[1]])
        merged: Counter[tuple[int, ...]] = Counter()
        for word, count in segmented.items():
            out: list[int] = []
            for symbol in word:
                # `out[-1] == best[0]` may be a symbol that was just made: ids differ, so it is not.
                if out and (out[-1], symbol) == best:
                    out[-1] = new
                else:
                    out.append(symbol)
            merged[tuple(out)] += count
        segmented = dict(merged)
    return learned


def _counts(words: dict[bytes, int]) -> PretokenCounts:
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    return PretokenCounts(
        arena=np.frombuffer(bytearray(b"".join(words)), dtype=np.uint8),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        counts=np.array(list(words.values()), dtype=np.int64),
    )


def _learned(words: dict[bytes, int], merges: int, **options: int) -> list[tuple[int, int]]:
    pairs, _ = learn_merges(_counts(words), merges, **options)
    return [(left, right) for left, right in pairs.tolist()]


def test_equals_the_reference_on_random_words() -> None:
    rng = random.Random(3)
    for _ in range(150):
        alphabet = rng.choice(["ab", "abc", "aaab", "abcdefgh"])
        words = {
            "".join(rng.choices(alphabet, k=rng.randint(1, 25))).encode(): rng.randint(1, 5)
            for _ in range(rng.randint(1, 12))
        }
        least, longest = rng.randint(1, 4), rng.choice([2, 3, 5, 64])
        assert _learned(words, 40, min_frequency=least, max_token_length=longest) == _reference(
            words, 40, least, longest
        ), (words, least, longest)


def test_equals_the_reference_on_text(texts: list[str]) -> None:
    words = Counter(piece for text in texts for piece in split(text.encode()))
    assert _learned(dict(words), 250) == _reference(dict(words), 250, 2, 64)


def test_ties_go_to_the_smallest_left_id_then_right_id() -> None:
    assert _learned({b"zy": 3, b"ba": 3, b"bc": 3}, 3) == [
        (ord("b"), ord("a")),
        (ord("b"), ord("c")),
        (ord("z"), ord("y")),
    ]


def test_counts_pass_32_bits() -> None:
    # In 32 bits the first count would be negative and the second pair would win.
    words = {b"ab": 2**31 + 5, b"cd": 1000}
    pairs, counts = learn_merges(_counts(words), 2)
    assert pairs.tolist() == [[97, 98], [99, 100]]
    assert counts.tolist() == [2**31 + 5, 1000]


def test_the_order_of_words_does_not_matter(texts: list[str]) -> None:
    words = Counter(piece for text in texts for piece in split(text.encode()))
    shuffled = list(words.items())
    random.Random(0).shuffle(shuffled)
    assert _learned(dict(words), 300) == _learned(dict(shuffled), 300)


def test_no_two_merges_spell_the_same_token(texts: list[str]) -> None:
    counter = PretokenCounter()
    counter.add([text.encode() for text in texts])
    pairs, _ = learn_merges(counter.result(), 600)
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in pairs.tolist():
        tokens.append(tokens[left] + tokens[right])
    assert len(set(tokens)) == len(tokens)


def test_many_pairs_make_the_tables_grow() -> None:
    rng = random.Random(5)
    words = {rng.randbytes(12): 1 + i % 3 for i in range(4000)}
    assert _learned(words, 3) == _reference(words, 3, 2, 64)
    # Just below 2^14 pairs of bytes at the start: the tables grow between two merges.
    letters = [chr(code) for code in range(127)]
    words = {"".join(rng.choices(letters, k=15)).encode(): 1 for _ in range(6000)}
    assert _learned(words, 25, min_frequency=1) == _reference(words, 25, 1, 64)


def test_nothing_to_merge() -> None:
    assert _learned({b"a": 10}, 5) == []
    assert _learned({b"ab": 1}, 5) == []
