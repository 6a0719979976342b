"""Vocabularies without merges, and longest match: first-class, and the same in other libraries."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.formats import RANKS, TOKENIZER_JSON
from gristmill.tokenizer.gguf import gguf_metadata
from gristmill.tokenizer.patterns import PATTERNS
from gristmill.tokenizer.small_encoding import MOST_BYTES, SmallEncoder
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer
from gristmill.tokenizer.vocabulary import UNKNOWN, from_merges, with_match
from gristmill.tokenizer.words import coverage, misspelled

_MADE: dict[str, dict[str, Any]] = {
    **{name: {"pattern": name} for name in PATTERNS},
    "longest": {"match": "longest"},
    "longest, capitals": {"match": "longest", "pattern": "o200k"},
    "longest, whole texts": {"match": "longest", "pattern": "none"},
    "words in bytes": {"kind": "words"},
    "words or unknown": {"kind": "words", "unknown": "token"},
    "scripts or unknown": {"kind": "words", "unknown": "token", "pattern": "scripts"},
    "characters alone": {"kind": "characters"},
    "bytes alone": {"kind": "bytes"},
}
_TEXTS = 10_000


@pytest.fixture(scope="module")
def generated(texts: list[str], strange_texts: list[str]) -> list[str]:
    rng = random.Random(8)
    pool = [
        *"'sſ \n\r\té中🙂ÉßกัЖ٣/_\u0301Zz27.,(",
        "    ",
        "'LL",
        "mill",
        " grain",
        "Grist",
        "1234",
    ]
    drawn = ["".join(rng.choices(pool, k=rng.randint(0, 24))) for _ in range(2 * _TEXTS)]
    found = list(dict.fromkeys([*texts, *strange_texts, *drawn]))[:_TEXTS]
    assert len(found) == _TEXTS
    return found


@pytest.mark.parametrize("name", sorted(_MADE))
def test_the_tokenizers_library_gives_the_same_ids_for_ten_thousand_texts(
    name: str, texts: list[str], generated: list[str], tmp_path: Path
) -> None:
    ours = train_tokenizer(texts[:200], 700, **_MADE[name])
    ours.save(tmp_path)
    assert Tokenizer.load(tmp_path).vocabulary == ours.vocabulary
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER_JSON))
    theirs.encode_special_tokens = True
    encoded = ours.encode_batch(["x" * (MOST_BYTES + 1), *generated])[1:]
    for text, ids, other in zip(
        generated, encoded, theirs.encode_batch_fast(generated), strict=True
    ):
        assert ids.tolist() == other.ids, text
    # Ours without the compiler, and back: a part of them, each kind another one.
    share = slice(sorted(_MADE).index(name), None, len(_MADE))
    data = [text.encode() for text in generated[share]]
    for ids, small in zip(
        encoded[share], SmallEncoder(ours.vocabulary).encode_batch(data), strict=True
    ):
        assert np.array_equal(ids, small)
    if ours.vocabulary.unknown is None:
        for text, ids in zip(generated[share], encoded[share], strict=True):
            assert ours.decode(ids) == text


@pytest.mark.parametrize("name", ["gpt4", "o200k", "scripts"])
def test_transformers_gives_the_same_ids_for_ten_thousand_texts(
    name: str, texts: list[str], generated: list[str], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    ours = train_tokenizer(texts[:200], 700, **_MADE[name])
    ours.save(tmp_path)
    # So loaded, text that spells a special token is text there too.
    theirs = AutoTokenizer.from_pretrained(str(tmp_path), split_special_tokens=True)
    found = theirs(generated, add_special_tokens=False)["input_ids"]
    assert found == [ids.tolist() for ids in ours.encode_batch(generated)]


def test_merge_order_and_longest_match_of_the_lecture(tmp_path: Path) -> None:
    # Merges bc, then ab: `abc` is a|bc in merge order, ab|c in longest match.
    a, b, c = b"abc"
    vocabulary = from_merges([(b, c), (a, b)], (), "gpt4")
    bc, ab = 256, 257
    longest = Tokenizer(with_match(vocabulary, "longest"))
    for tokenizer, expected in ((Tokenizer(vocabulary), [a, bc]), (longest, [ab, c])):
        assert tokenizer.encode("abc") == expected
        tokenizer.encode("x" * (MOST_BYTES + 1))
        assert tokenizer.encode("abc") == expected  # compiled
        tokenizer.save(tmp_path)
        theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER_JSON))
        assert theirs.encode("abc").ids == expected
    assert with_match(longest.vocabulary, "longest") is longest.vocabulary
    with pytest.raises(GristmillError, match="no merges"):
        with_match(longest.vocabulary, "merge-order")
    with pytest.raises(GristmillError, match="merge order"):
        gguf_metadata(longest.vocabulary)


def test_transformers_loads_longest_match_and_words(texts: list[str], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for name in ("longest", "words or unknown"):
        ours = train_tokenizer(texts[:200], 700, **_MADE[name])
        ours.save(tmp_path / name)
        assert not (tmp_path / name / RANKS).exists()  # tiktoken only merges
        theirs = AutoTokenizer.from_pretrained(str(tmp_path / name))
        for text in texts[:50]:
            assert theirs(text).input_ids == ours.encode(text)


def test_words_are_kept_by_frequency_and_the_rest_is_spelled_or_unknown() -> None:
    said = ["mill mill mill grain grain once"] * 2
    spelled = train_tokenizer(said, 256 + 2, kind="words", special_tokens=())
    assert spelled.vocabulary.tokens[256:] == (b" grain", b" mill")
    assert spelled.encode(" grain once") == [256, *b" once"]
    one = train_tokenizer(said, 4, kind="words", special_tokens=(), unknown="token")
    assert one.vocabulary.tokens == (b" grain", b" mill", b" once", UNKNOWN.encode())
    assert one.encode(" grain twice mill") == [0, 3, 1]
    assert one.decode([0, 3]) == " grain" + UNKNOWN
    assert one.vocabulary.padding != UNKNOWN
    rare = train_tokenizer(said, 300, kind="words", special_tokens=(), min_frequency=4)
    assert rare.vocabulary.tokens[256:] == (b" grain", b" mill")
    for wrong in ({"kind": "bpe", "unknown": "token"}, {"kind": "words", "match": "longest"}):
        with pytest.raises(GristmillError):
            train_tokenizer(said, 300, **wrong)  # type: ignore[arg-type]


def test_words_that_are_unknown(texts: list[str]) -> None:
    clean = [text for text in texts if text.isascii()]
    words = train_tokenizer(clean, 2000, kind="words", unknown="token", min_frequency=1)
    assert coverage(words, clean).rate == 0
    wrong = [misspelled(text, 0.2) for text in clean]
    assert wrong == [misspelled(text, 0.2) for text in clean]
    found = coverage(words, wrong)
    assert 0.02 < found.rate < 0.2 and found.unknown < found.words
    assert found.tokens == found.words  # one token each, known or not
    thai = coverage(words, ["โรงสีบดเมล็ดพืชอย่างช้าๆแต่ละเอียดมาก"])
    assert thai.rate == 1 and thai.lost == 1
    assert coverage(train_tokenizer(clean, 700), wrong).bytes == found.bytes
    assert misspelled("a an the mill", 1.0)[:9] == "a an the "
