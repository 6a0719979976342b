from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS

_SMALL = train_tokenizer(["the mill grinds the grain, é 中文 🙂"] * 3, 300)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_decoding_is_the_inverse_on_any_bytes(data: bytes) -> None:
    assert _SMALL.decode_bytes(_SMALL.encode_bytes(data)) == data


def test_decoding_is_the_inverse_on_text(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str]
) -> None:
    for text in [*texts, *strange_texts]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_text_never_becomes_a_special_token(tokenizer: Tokenizer, strange_texts: list[str]) -> None:
    special = set(tokenizer.special_tokens.values())
    forged = [*tokenizer.special_tokens, "".join(SPECIAL_TOKENS), "<|im_start|> <|user|>"]
    for ids in tokenizer.encode_batch([*forged, *strange_texts]):
        assert not special.intersection(ids.tolist())
    for name in tokenizer.special_tokens:
        assert tokenizer.decode(tokenizer.encode(name)) == name


def test_special_tokens_have_the_last_ids(tokenizer: Tokenizer) -> None:
    assert list(tokenizer.special_tokens) == list(SPECIAL_TOKENS)
    first = tokenizer.vocab_size - len(SPECIAL_TOKENS)
    assert list(tokenizer.special_tokens.values()) == list(range(first, tokenizer.vocab_size))
    assert tokenizer.eot_id == first
    assert tokenizer.pad_id != tokenizer.eot_id


def test_special_tokens_show_their_names_or_are_left_out(tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("grain"), tokenizer.eot_id]
    assert tokenizer.decode(ids) == "grain<|endoftext|>"
    assert tokenizer.decode(np.array(ids), skip_special=True) == "grain"


def test_streaming_waits_for_the_end_of_a_character() -> None:
    text = "a é 中 🙂 end"
    ids = list(text.encode())  # the ids of bytes: every character is torn apart
    stream = _SMALL.stream()
    parts = [stream.push(token_id) for token_id in ids]
    assert "".join(parts) + stream.finish() == text
    assert all("\ufffd" not in part for part in parts)
    torn = _SMALL.stream()
    assert [torn.push(token_id) for token_id in "🙂".encode()[:3]] == ["", "", ""]
    assert torn.finish() == "\ufffd"


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert _SMALL.decode(_SMALL.encode("a\ud800b")) == "a\ufffdb"
    assert _SMALL.decode(_SMALL.encode_batch(["\ud83d\ude42"])[0]) == "🙂"


@pytest.mark.parametrize("token_id", [-1, 300])
def test_an_id_out_of_range_is_an_error(token_id: int) -> None:
    with pytest.raises(GristmillError, match=f"id {token_id}"):
        _SMALL.decode([token_id])


def test_it_travels_into_another_process(tokenizer: Tokenizer, texts: list[str]) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301, what a process pool does
    assert copy.encode(texts[0]) == tokenizer.encode(texts[0])
