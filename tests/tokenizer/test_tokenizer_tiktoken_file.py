"""Vocabularies from `.tiktoken` files encode as tiktoken itself does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tiktoken

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.tiktoken_file import ranks_vocabulary, read_ranks, read_tiktoken
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

WORDS = [
    *"the mill grinds grain and grist; grinding stones, 1234 stones don't themselves é 水".split(),
    " grind\n\nit",
]


def texts(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 40))) for _ in range(count)]


def test_a_saved_tokenizer_comes_back(tmp_path: Path) -> None:
    made = train_tokenizer(texts(0, 200), 400)
    made.save(tmp_path)
    back = Tokenizer(read_tiktoken(tmp_path / "ranks.tiktoken", "gpt4"))
    assert back.vocabulary.merges == made.vocabulary.merges
    for text in texts(1, 50):
        assert back.encode(text) == made.encode(text)


def test_ids_are_tiktokens(tmp_path: Path) -> None:
    # Ranks that no training made: random strings, so that many are reached by no merge.
    draw = random.Random(3)
    tokens = {bytes([byte]): byte for byte in range(256)}
    for _ in range(600):
        token = bytes(draw.choices(b"abc ", k=draw.randint(2, 5)))
        tokens.setdefault(token, len(tokens))
    theirs = tiktoken.Encoding(
        "here", pat_str=REGEXES["gpt4"], mergeable_ranks=tokens, special_tokens={}
    )
    ours = Tokenizer(ranks_vocabulary(tokens, "gpt4"))
    for _ in range(500):
        text = "".join(draw.choices("abc d", k=draw.randint(1, 60)))
        assert ours.encode(text) == theirs.encode_ordinary(text)


def test_specials_come_by_name_and_gaps_stand_for_nothing() -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokenizer = Tokenizer(ranks_vocabulary(ranks, "gpt4", {"<|end|>": 300}))
    assert tokenizer.vocab_size == 301
    assert tokenizer.special_tokens == {"<|end|>": 300}
    assert tokenizer.token_bytes(299) == b""
    assert 300 not in tokenizer.encode("<|end|>")
    with pytest.raises(GristmillError, match="already"):
        ranks_vocabulary(ranks, "gpt4", {"<|end|>": 7})


@pytest.mark.parametrize("line", ["YQ==", "YQ== x", "Y!== 3", "YQ== 1 2"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bad.tiktoken"
    file.write_text(f"Yg== 0\n{line}\n", encoding="ascii")
    with pytest.raises(GristmillError) as caught:
        read_ranks(file)
    assert str(caught.value.where).endswith(":2")


def test_two_tokens_of_one_rank_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.tiktoken"
    file.write_text("Yg== 0\nYQ== 0\n", encoding="ascii")
    with pytest.raises(GristmillError, match="one rank"):
        read_ranks(file)
