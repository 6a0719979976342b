from __future__ import annotations

import pytest

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.counted_runs import CountedCorpus
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS


def test_the_size_includes_bytes_merges_and_special_tokens(texts: list[str]) -> None:
    for size in (256 + len(SPECIAL_TOKENS), 300, 500):
        assert train_tokenizer(texts, size).vocab_size == size


def test_less_text_gives_fewer_tokens() -> None:
    tokenizer = train_tokenizer(["abab"], 4096)
    # After ab no pair occurs twice.
    assert tokenizer.vocab_size == 256 + 1 + len(SPECIAL_TOKENS)
    assert tokenizer.token_bytes(256) == b"ab"


def test_the_order_of_documents_does_not_matter(texts: list[str]) -> None:
    assert (
        train_tokenizer(texts, 600).vocabulary == train_tokenizer(reversed(texts), 600).vocabulary
    )


def test_min_frequency_and_token_length_hold(texts: list[str]) -> None:
    short = train_tokenizer(texts, 600, max_token_length=4)
    special = set(short.special_tokens.values())
    lengths = [len(short.token_bytes(i)) for i in range(short.vocab_size) if i not in special]
    assert max(lengths) == 4
    assert train_tokenizer(["xyxy"], 600, min_frequency=3).vocabulary.merges == ()


def test_bytes_and_characters_are_vocabularies_too(texts: list[str]) -> None:
    plain = train_tokenizer(texts, 4096, kind="bytes")
    assert plain.vocab_size == 256 + len(SPECIAL_TOKENS)
    assert len(plain.encode("mühle")) == len("mühle".encode())

    characters = train_tokenizer(texts, 4096, kind="characters")
    for letter in "ü風лก🌾":
        assert len(characters.encode(letter)) == 1
    assert len(characters.encode("Мельница 🌾")) == len("Мельница 🌾")
    unseen = "ꙮ"
    assert characters.decode(characters.encode(unseen)) == unseen


def test_impossible_requests_are_refused(texts: list[str]) -> None:
    with pytest.raises(GristmillError, match="no room"):
        train_tokenizer(texts, 256)
    with pytest.raises(GristmillError, match="no text"):
        train_tokenizer([], 4096)
    with pytest.raises(GristmillError, match="special tokens"):
        train_tokenizer(texts, 4096, special_tokens=["<|a|>", "<|a|>"])
    with pytest.raises(GristmillError, match="mill"):
        train_tokenizer(["mill mill"] * 9, 4096, special_tokens=["mill"])
    with pytest.raises(GristmillError, match="pre-tokenizer"):
        train_tokenizer(texts, 4096, pattern="gpt5")


def test_ids_are_filled_up_to_a_multiple(texts: list[str]) -> None:
    plain = train_tokenizer(texts, 600)
    for kind, size, multiple in (("bpe", 600, 64), ("bytes", 4096, 100), ("words", 600, 64)):
        made = train_tokenizer(texts, size, kind=kind, multiple_of=multiple)
        unfilled = train_tokenizer(texts, size, kind=kind)
        assert made.vocab_size % multiple == 0
        assert 0 < made.vocab_size - unfilled.vocab_size < multiple
        assert made.special_tokens.items() > unfilled.special_tokens.items()
        assert made.encode(texts[0]) == unfilled.encode(texts[0])
    assert train_tokenizer(texts, 600, multiple_of=100).vocabulary == plain.vocabulary


def test_rare_pretokens_are_left_out_when_asked() -> None:
    texts = ["mill mill grist", " gristgrist", "mill", " mill"]
    assert b"gr" in train_tokenizer(texts, 600).vocabulary.tokens
    counted: list[CountedCorpus] = []
    without = train_tokenizer(texts, 600, min_count=2, report=counted.append)
    assert b"gr" not in without.vocabulary.tokens
    assert b"mill" in without.vocabulary.tokens
    assert (counted[0].dropped, counted[0].dropped_occurrences) == (2, 2)


def test_any_token_length() -> None:
    texts = ["-" * 500] * 3
    assert max(map(len, train_tokenizer(texts, 600).vocabulary.tokens)) == 64
    longest = max(map(len, train_tokenizer(texts, 600, max_token_length=None).vocabulary.tokens))
    assert longest == 500
