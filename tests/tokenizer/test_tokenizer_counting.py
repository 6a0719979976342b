from __future__ import annotations

import random
from collections import Counter

from gristmill.tokenizer.counting import PretokenCounter
from gristmill.tokenizer.splitter import split


def _count(documents: list[bytes], pattern: str = "gpt4") -> dict[bytes, int]:
    counter = PretokenCounter(pattern)
    counter.add(documents)
    return counter.result().as_dict()


def test_equals_counting_the_pieces(texts: list[str], strange_texts: list[str]) -> None:
    documents = [text.encode() for text in [*texts, *strange_texts]]
    for pattern in ("gpt4", "gpt2", "characters"):
        expected = Counter(piece for document in documents for piece in split(document, pattern))
        assert _count(documents, pattern) == expected


def test_documents_do_not_touch() -> None:
    assert _count([b"ab", b"cd", b"", b"ab"]) == {b"ab": 2, b"cd": 1}


def test_in_several_calls_and_in_any_order(texts: list[str]) -> None:
    documents = [text.encode() for text in texts]
    counter = PretokenCounter()
    for document in reversed(documents):
        counter.add([document])
    assert counter.result().as_dict() == _count(documents)
    assert counter.documents == len(documents)
    assert counter.bytes == sum(map(len, documents))


def test_tables_grow_and_nothing_is_counted_twice() -> None:
    rng = random.Random(2)
    # More distinct words than the first table holds, most of them seen before and after it grows.
    words = [b" %d" % rng.randrange(80_000) for _ in range(200_000)]
    # One pretoken that is longer than the first arena, in the middle.
    words.insert(100_000, b" " + b"x" * 3_000_000)
    text = b"".join(words)
    counter = PretokenCounter("gpt2")
    counter.add([text])
    expected = Counter(split(text, "gpt2"))
    assert len(expected) > 1 << 16
    assert counter.result().as_dict() == expected
    assert counter.result().counts.size == len(expected)
