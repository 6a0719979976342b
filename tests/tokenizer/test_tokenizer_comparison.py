from __future__ import annotations

import pytest

from gristmill.tokenizer.comparison import coloured, longest_tokens, measure, pieces, shown
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.vocabulary import from_merges


def test_counts_by_domain_by_hand() -> None:
    plain = train_tokenizer(["x"], 300, kind="bytes")
    usage = measure(plain, [("prose", "ab  cd"), ("code", "é"), ("prose", "a")])
    assert list(usage.domains) == ["code", "prose"]
    prose = usage.domains["prose"]
    assert (prose.documents, prose.bytes, prose.tokens, prose.words) == (2, 7, 7, 3)
    assert prose.tokens_per_word == pytest.approx(7 / 3)
    assert usage.total.bytes_per_token == 1
    # a, b, c, d, blank and the two bytes of é, of 256.
    assert usage.used_share == pytest.approx(7 / 256)
    assert usage.id_counts[ord("a")] == 2


def test_more_tokens_carry_more_text(texts: list[str]) -> None:
    pairs = [("all", text) for text in texts]
    small, large = (
        measure(train_tokenizer(texts, size), pairs).total.bytes_per_token for size in (300, 900)
    )
    assert 1 < small < large


def test_pieces_join_to_the_text(tokenizer: Tokenizer, strange_texts: list[str]) -> None:
    for text in strange_texts[::7]:
        assert "".join(pieces(tokenizer, text)) == text


def test_text_cannot_act_on_the_terminal() -> None:
    view = coloured(["a\x1b[2J", "b\x9b", "c\u202ed"])
    assert "\x1b[2J" not in view and "\x9b" not in view and "\u202e" not in view
    assert "␛[2J" in view


def test_tokens_are_shown_in_one_line() -> None:
    assert shown(b" the\n\xff") == "␣the␊\\xff"
    tokenizer = train_tokenizer(["grinding grinding grinding"], 300)
    assert longest_tokens(tokenizer, 1) == ["␣grinding"]
    # Of equally long ones the first that was made; special tokens are none of them.
    merges = [(ord("y"), ord("z")), (ord("a"), ord("b"))]
    assert longest_tokens(Tokenizer(from_merges(merges, ("<|long|>",), "gpt4")), 2) == ["yz", "ab"]
