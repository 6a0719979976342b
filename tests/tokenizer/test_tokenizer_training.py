from __future__ import annotations

import pytest

from gristmill.core.errors import GristmillError
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
