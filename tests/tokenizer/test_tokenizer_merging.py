from __future__ import annotations

import random
from collections import Counter
from typing import Any, get_args

import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.counting import PretokenCounter, PretokenCounts
from gristmill.tokenizer.merging import learn_merges
from gristmill.tokenizer.splitter import split
from gristmill.tokenizer.ties import Ties, learn_merges_plainly


def _counts(words: dict[bytes, int]) -> PretokenCounts:
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    return PretokenCounts(
        arena=np.frombuffer(bytearray(b"".join(words)), dtype=np.uint8),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        counts=np.array(list(words.values()), dtype=np.int64),
    )


def _learned(words: dict[bytes, int], merges: int, **options: Any) -> list[tuple[int, int]]:
    pairs, _ = learn_merges(_counts(words), merges, **options)
    return [(left, right) for left, right in pairs.tolist()]


def test_equals_the_reference_on_random_words() -> None:
    rng = random.Random(3)
    for _ in range(300):
        alphabet = rng.choice(["ab", "abc", "aaab", "abcdefgh"])
        words = {
            "".join(rng.choices(alphabet, k=rng.randint(1, 25))).encode(): rng.randint(1, 5)
            for _ in range(rng.randint(1, 12))
        }
        options = {
            "min_frequency": rng.randint(1, 4),
            "max_token_length": rng.choice([2, 3, 5, 64, None]),
            "ties": rng.choice(get_args(Ties)),
        }
        found = _learned(words, 40, **options)
        assert found == learn_merges_plainly(words, 40, **options), (words, options)


def test_equals_the_reference_on_text(texts: list[str]) -> None:
    words = Counter(piece for text in texts for piece in split(text.encode()))
    for rule in get_args(Ties):
        found = _learned(dict(words), 250, ties=rule)
        assert found == learn_merges_plainly(words, 250, ties=rule)
    assert found != _learned(dict(words), 250)


def test_ties_go_to_the_smallest_left_id_then_right_id() -> None:
    assert _learned({b"zy": 3, b"ba": 3, b"bc": 3}, 3) == [
        (ord("b"), ord("a")),
        (ord("b"), ord("c")),
        (ord("z"), ord("y")),
    ]


def test_or_to_the_greatest_left_bytes_then_right_ones() -> None:
    words = {b"zy": 3, b"ba": 3, b"bc": 3, b"bcx": 1}
    assert _learned(words, 4, ties="greatest-bytes", min_frequency=1) == [
        (ord("b"), ord("c")),
        (ord("z"), ord("y")),
        (ord("b"), ord("a")),
        (256, ord("x")),
    ]
    # "bb" comes after "b" and before "c", whatever their ids are.
    assert _learned({b"bb": 9, b"bbx": 3, b"bx": 3, b"cx": 3}, 4, ties="greatest-bytes") == [
        (ord("b"), ord("b")),
        (ord("c"), ord("x")),
        (256, ord("x")),
        (ord("b"), ord("x")),
    ]
    with pytest.raises(GristmillError, match="rule for ties"):
        _learned(words, 4, ties="first")


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
    assert _learned(words, 3) == learn_merges_plainly(words, 3)
    # Just below 2^14 pairs of bytes at the start: the tables grow between two merges.
    letters = [chr(code) for code in range(127)]
    words = {"".join(rng.choices(letters, k=15)).encode(): 1 for _ in range(6000)}
    assert _learned(words, 25, min_frequency=1) == learn_merges_plainly(words, 25, min_frequency=1)


def test_nothing_to_merge() -> None:
    assert _learned({b"a": 10}, 5) == []
    assert _learned({b"ab": 1}, 5) == []
