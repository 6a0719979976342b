from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.core.run import Run
from gristmill.tokenizer.counted_runs import count_corpus
from gristmill.tokenizer.counting import PretokenCounter
from gristmill.tokenizer.training import train_tokenizer


def _expected(texts: list[str]) -> dict[bytes, int]:
    counter = PretokenCounter()
    counter.add([text.encode() for text in texts])
    return counter.result().as_dict()


@pytest.fixture(scope="module")
def many() -> list[str]:
    """Nine megabytes with a hundred thousand different words, long ones among them."""
    rng = random.Random(4)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        "".join(rng.choices(letters, k=rng.choice((4, 6, 9, 14, 15, 40)))) for _ in range(100_000)
    ]
    return [" ".join(rng.choices(words, k=6_000)) for _ in range(100)]


def test_memory_threads_and_runs_change_nothing(many: list[str]) -> None:
    expected = _expected(many)
    for workers, memory in ((1, 1 << 30), (3, 1 << 30), (1, 1 << 20), (2, 1 << 20)):
        counted = count_corpus(many, workers=workers, memory=memory)
        assert counted.pretokens.as_dict() == expected
        assert counted.pretokens.counts.size == len(expected)
        assert counted.documents == len(many)
        assert counted.bytes == sum(len(text.encode()) for text in many)
        assert (counted.runs > 1) == (memory == 1 << 20)


def test_rare_pretokens_go_only_when_asked(many: list[str]) -> None:
    expected = _expected([*many, " once", " once more"])
    for memory in (1 << 30, 1 << 20):
        counted = count_corpus([*many, " once", " once more"], memory=memory, min_count=3)
        assert counted.pretokens.as_dict() == {k: n for k, n in expected.items() if n > 2}
        rare = [n for n in expected.values() if n <= 2]
        assert (counted.dropped, counted.dropped_occurrences) == (len(rare), sum(rare))
        assert rare


def test_a_killed_count_goes_on(many: list[str], tmp_path: Path) -> None:
    read: list[str] = []

    def texts(until: int) -> Iterator[str]:
        for number, text in enumerate(many):
            if number == until:
                raise KeyboardInterrupt
            read.append(text)
            yield text

    run = Run(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        count_corpus(texts(80), run=run, journal_bytes=4 << 20, workers=2)
    journal = run.read("counted.jsonl")
    assert journal
    done = sum(line["documents"] for line in journal)
    assert 0 < done < 80

    counted = count_corpus(texts(-1), run=run, journal_bytes=4 << 20)
    assert counted.pretokens.as_dict() == _expected(many)
    assert counted.documents == len(many)
    assert run.read("counted.jsonl")[: len(journal)] == journal

    # A run that does not say what was noted is counted again.
    spoiled = tmp_path / "counted" / journal[0]["file"]
    data = bytearray(spoiled.read_bytes())
    data[-1] ^= 1
    spoiled.write_bytes(data)
    assert count_corpus(texts(-1), run=run).pretokens.as_dict() == _expected(many)


def test_the_tokenizer_is_the_same(many: list[str]) -> None:
    plain = train_tokenizer(many, 600).vocabulary
    assert train_tokenizer(many, 600, workers=3, memory=1 << 20).vocabulary == plain
