from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gristmill.tokenizer.encoding import Encoder
from gristmill.tokenizer.small_encoding import MOST_BYTES, SmallEncoder
from gristmill.tokenizer.splitter import split
from gristmill.tokenizer.tokenizer import Tokenizer


def _reference(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """Applies the merges one by one, in order, to the whole of each piece: the definition."""
    vocabulary = tokenizer.vocabulary
    out: list[int] = []
    for piece in split(data, vocabulary.pattern):
        ids = [vocabulary.byte_ids[byte] for byte in piece]
        for (left, right), made in zip(vocabulary.merges, vocabulary.merged_ids, strict=True):
            if left not in ids:
                continue
            merged: list[int] = []
            for token in ids:
                if merged and merged[-1] == left and token == right:
                    merged[-1] = made
                else:
                    merged.append(token)
            ids = merged
        out.extend(ids)
    return out


def test_equals_the_reference(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str]
) -> None:
    for text in [*texts[:60], *strange_texts[::10], *strange_texts[-40:]]:
        assert tokenizer.encode(text) == _reference(tokenizer, text.encode()), text


def test_long_pieces_equal_the_reference(tokenizer: Tokenizer) -> None:
    rng = random.Random(1)
    words = ["mill", "grain", "slowly", "the", "und", "a", "aa"]
    for length in (30, 47, 48, 49, 50, 200, 900):
        text = "".join(rng.choices(words, k=length))[:length]
        assert tokenizer.encode(text) == _reference(tokenizer, text.encode()), length


def test_a_batch_equals_one_by_one(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str]
) -> None:
    fresh = Tokenizer(tokenizer.vocabulary)
    together = fresh.encode_batch([*texts, *strange_texts])
    for text, ids in zip([*texts, *strange_texts], together, strict=True):
        assert ids.dtype == np.int32
        # A tokenizer without a filled cache gives the same.
        assert ids.tolist() == fresh.encode(text)
    assert Tokenizer(tokenizer.vocabulary).encode(texts[5]) == together[5].tolist()
    assert fresh.encode_batch([]) == []


def test_a_batch_of_many_megabytes_is_cut_at_documents(tokenizer: Tokenizer) -> None:
    document = "the mill grinds " * 100_000
    ids = tokenizer.encode_batch([document] * 6 + ["end"])
    assert len(ids) == 7
    assert all(np.array_equal(ids[0], other) for other in ids[1:6])
    assert tokenizer.decode(ids[6]) == "end"


def test_a_megabyte_without_a_blank_is_not_quadratic(
    tokenizer: Tokenizer, cpu_seconds: Any
) -> None:
    rng = random.Random(4)
    letters = "".join(rng.choices("thegrainmil", k=1_000_000))
    for text in ("a" * 1_000_000, letters, " " * 1_000_000, "é!" * 300_000, "\n" * 1_000_000):
        tokenizer.encode(text[:1000])  # compiles what it needs
        with cpu_seconds(20):
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_threads_do_not_disturb_each_other(tokenizer: Tokenizer, texts: list[str]) -> None:
    expected = [ids.tolist() for ids in tokenizer.encode_batch(texts)]
    with ThreadPoolExecutor(4) as pool:
        for ids in pool.map(lambda _: tokenizer.encode_batch(texts), range(8)):
            assert [i.tolist() for i in ids] == expected


def test_merge_order_not_longest_match() -> None:
    # Merges bc, then ab: `abc` is a|bc in merge order.
    a, b, c = ord("a"), ord("b"), ord("c")
    encoder = Encoder(
        np.arange(256, dtype=np.int32),
        np.array([[b, c], [a, b]], dtype=np.int32),
        np.array([256, 257], dtype=np.int32),
        "gpt4",
    )
    assert encoder.encode(b"abc").tolist() == [a, 256]
    assert encoder.encode(b"ab").tolist() == [257]


@pytest.mark.parametrize("pattern", ["gpt4", "gpt2", "qwen", "smollm", "characters"])
def test_the_small_encoder_gives_the_same_ids(
    tokenizer: Tokenizer, pattern: str, texts: list[str], strange_texts: list[str]
) -> None:
    given = replace(tokenizer.vocabulary, pattern=pattern)
    small, whole = SmallEncoder(given), Tokenizer(given)
    odd = [*texts[:20], *strange_texts[::9], *strange_texts[-30:], "a" * 300, "grain" * 60]
    data = [text.encode() for text in odd] + [b"\xff\xfe'\xc5\xbfS \xe2\x82", b"\xf4\x90\x80\x80"]
    compiled = [whole.encode_bytes(b"x" * (MOST_BYTES + 1)), *map(whole.encode_bytes, data)][1:]
    assert whole._encoder is not None
    for text, ids, expected in zip(data, small.encode_batch(data), compiled, strict=True):
        assert ids.dtype == np.int32 and np.array_equal(ids, expected), text


def test_the_small_encoder_knows_whole_tokens_and_bytes_that_are_none(tokenizer: Tokenizer) -> None:
    # As in foreign vocabularies: a pretoken that is a token becomes it, whatever merges make of it.
    vocabulary = tokenizer.vocabulary
    letters = {vocabulary.tokens[i]: i for i in vocabulary.merged_ids}
    merged = [token for token in letters if len(token) > 3][:40]
    given = replace(vocabulary, merges=vocabulary.merges[:20], ignore_merges=True,
                    merged_ids=vocabulary.merged_ids[:20])  # fmt: skip
    whole = Tokenizer(given)
    data = [*merged, b" ".join(merged), "é ½ 中".encode()]
    small = SmallEncoder(given).encode_batch(data)
    whole.encode("x" * (MOST_BYTES + 1))
    for text, ids in zip(data, small, strict=True):
        assert ids.tolist() == whole.encode_bytes(text).tolist(), text


def test_a_line_of_text_starts_no_compiler() -> None:
    code = (
        "import sys\n"
        "from gristmill.tokenizer.tokenizer import Tokenizer\n"
        "from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges\n"
        "made = Tokenizer(from_merges([(104, 105)], SPECIAL_TOKENS, 'gpt4'))\n"
        "assert made.encode('hi there') == [256, *b' there'], made.encode('hi there')\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
