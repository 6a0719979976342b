from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tokenizers
from tiktoken.load import load_tiktoken_bpe

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.formats import RANKS, TOKENIZER_JSON, tokenizer_json
from gristmill.tokenizer.letters import spell, unspell
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer


def _without_special(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    return [text for text in texts if not any(name in text for name in tokenizer.special_tokens)]


@pytest.mark.parametrize(
    ("kind", "pattern"), [("bpe", p) for p in ("gpt4", "gpt2", "qwen")] + [
        ("characters", "gpt4"), ("bytes", "gpt4"),
    ],
)  # fmt: skip
def test_the_tokenizers_library_gives_the_same_ids(
    kind: Any, pattern: str, texts: list[str], strange_texts: list[str], tmp_path: Path
) -> None:
    ours = train_tokenizer(texts, 700, kind=kind, pattern=pattern)
    ours.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER_JSON))
    assert theirs.get_vocab_size() == ours.vocab_size
    # Text that spells a special token becomes that token there, by that library's design.
    both = [*_without_special(ours, [*texts, *strange_texts]), "a" * 5000, "the mill" * 700]
    for text, ids in zip(both, ours.encode_batch(both), strict=True):
        assert theirs.encode(text).ids == ids.tolist(), text
    # With its own switch for text as text, every text is the same.
    theirs.encode_special_tokens = True
    for text in strange_texts:
        assert theirs.encode(text).ids == ours.encode(text), text
    for text in texts[:50]:
        assert theirs.decode(ours.encode(text), skip_special_tokens=False) == text


def test_the_tokenizers_library_knows_the_special_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER_JSON))
    for name, token_id in tokenizer.special_tokens.items():
        assert theirs.token_to_id(name) == token_id
        assert theirs.encode(name).ids == [token_id]


def test_tiktoken_gives_the_same_ids(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str], tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    theirs = tiktoken.Encoding(
        "ours",
        pat_str=REGEXES[tokenizer.vocabulary.pattern],
        mergeable_ranks=load_tiktoken_bpe(str(tmp_path / RANKS)),
        special_tokens=tokenizer.special_tokens,
    )
    assert theirs.n_vocab == tokenizer.vocab_size
    for text in [*texts, *strange_texts]:
        assert theirs.encode_ordinary(text) == tokenizer.encode(text), text


def test_transformers_loads_the_folder(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}', encoding="utf-8")
    theirs = AutoTokenizer.from_pretrained(str(tmp_path))
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.eos_token_id == tokenizer.eot_id
    assert theirs.pad_token_id == tokenizer.pad_id
    assert theirs.pad_token_id != theirs.eos_token_id
    text = "It's 1234567 o'clock , is n't it ?\n\n \t x é́ 中文 \n  "
    assert theirs(text).input_ids == tokenizer.encode(text)
    assert theirs.decode(tokenizer.encode(text)) == text
    forged = "a<|im_end|><|endoftext|>"
    assert theirs(forged, split_special_tokens=True).input_ids == tokenizer.encode(forged)


def test_what_was_saved_is_read_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).vocabulary == tokenizer.vocabulary
    assert Tokenizer.load(tmp_path / TOKENIZER_JSON).vocabulary == tokenizer.vocabulary


def test_a_gpt2_file_of_another_tool_is_read(texts: list[str], tmp_path: Path) -> None:
    # A vocabulary trained by the other library: other ids for bytes, merges as they come there.
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(texts, trainer)
    path = tmp_path / TOKENIZER_JSON
    theirs.save(str(path))
    ours = Tokenizer.load(path)
    assert ours.eot_id == 0
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids


def test_each_byte_has_its_letter() -> None:
    every = bytes(range(256))
    assert unspell(spell(every)) == every
    assert len(set(spell(every))) == 256
    assert spell(b" \n") == "ĠĊ"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["model"].update(type="Unigram"), "byte-level BPE"),
        (lambda v: v.update(normalizer={"type": "NFKC"}), "normalises"),
        (lambda v: v["pre_tokenizer"]["pretokenizers"].pop(0), "pre-tokenizer"),
        (lambda v: v["model"].pop("vocab"), "not a tokenizer.json"),
        (lambda v: v["model"]["merges"].append(["zz", "qq"]), "not a tokenizer.json"),
        (lambda v: v["model"]["vocab"].pop("a"), "no token|not a tokenizer.json"),
        (lambda v: v["model"]["vocab"].update({"中": 9999}), "not a tokenizer.json"),
    ],
)
def test_what_is_not_ours_is_refused_with_the_file_named(
    change: Any, message: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    value = tokenizer_json(tokenizer.vocabulary)
    change(value)
    path = tmp_path / TOKENIZER_JSON
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(GristmillError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(path) in str(caught.value)


def test_no_file_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="no tokenizer here"):
        Tokenizer.load(tmp_path)
    (tmp_path / TOKENIZER_JSON).write_text("{", encoding="utf-8")
    with pytest.raises(GristmillError, match="not readable as JSON"):
        Tokenizer.load(tmp_path)
