"""Tokenizers of other makers: trained here by the `tokenizers` library in their layouts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers, processors

from gristmill.core.errors import GristmillError
from gristmill.tokenizer.foreign import gguf_vocabulary, with_rows
from gristmill.tokenizer.formats import RANKS, TOKENIZER_CONFIG, TOKENIZER_JSON
from gristmill.tokenizer.letters import spell
from gristmill.tokenizer.patterns import REGEXES
from gristmill.tokenizer.splitter import split
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import with_match

FRONT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<empty_output>"]
DIGITS = [
    "a 5", "a  5", "  5  6", "1st 2nd\n\n3", "x=12345;y", " \n7", "5's", "it's'5", "\t\t9\t",
    "٣ ½Ⅷ",
    " 5", "5 ", "   ", "a   b", "…5…", "'5's", "5 \n 6",
]  # fmt: skip


def _split(regex: str) -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _theirs(family: str, texts: list[str], folder: Path) -> tokenizers.Tokenizer:
    """A small tokenizer in the layout of a family, saved into `folder` with its config."""
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.decoder = decoders.ByteLevel()
    before: list[str] = []
    after: list[AddedToken] = []
    config: dict[str, Any] = {}
    if family == "smollm":
        theirs.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        before = FRONT
        config = {
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|im_end|>",
            "unk_token": "<|endoftext|>",
        }
    elif family == "qwen":
        theirs.normalizer = normalizers.NFC()
        theirs.pre_tokenizer = _split(REGEXES["qwen"])
        after = [
            AddedToken("<|endoftext|>", special=True, normalized=False),
            AddedToken("<|im_start|>", special=True, normalized=False),
            AddedToken("<|im_end|>", special=True, normalized=False),
            AddedToken("<tool_call>", special=False, normalized=False),
            AddedToken("<think>", special=False, normalized=False),
            AddedToken("<think>!", special=False, normalized=False),
        ]
        config = {"eos_token": {"content": "<|im_end|>"}, "pad_token": "<|endoftext|>"}
    elif family == "llama3":
        theirs.pre_tokenizer = _split(REGEXES["gpt4"])
        names = [
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|reserved_special_token_0|>",
            "<|eot_id|>",
        ]
        after = [AddedToken(name, special=True, normalized=False) for name in names]
        config = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=before,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(texts, trainer)
    theirs.add_special_tokens([token for token in after if token.special])
    theirs.add_tokens([token for token in after if not token.special])
    if family == "llama3":
        begin = theirs.token_to_id("<|begin_of_text|>")
        theirs.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single="<|begin_of_text|> $A",
                    special_tokens=[("<|begin_of_text|>", begin)],
                ),
            ]
        )
    folder.mkdir(parents=True, exist_ok=True)
    theirs.save(str(folder / TOKENIZER_JSON))
    if family == "llama3":
        # A token that no merge makes: ignore_merges finds it, as some of Llama 3's are found.
        value = json.loads((folder / TOKENIZER_JSON).read_text(encoding="utf-8"))
        value["model"]["ignore_merges"] = True
        free = min(t["id"] for t in value["added_tokens"])
        value["model"]["vocab"] |= {"Ġexceedingly!": free, "zzzz": free + 1, "Ġqjx": free + 2}
        for token in value["added_tokens"]:
            token["id"] += 3
        template = value["post_processor"]["processors"][1]
        template["special_tokens"]["<|begin_of_text|>"]["ids"] = [free + 3]
        (folder / TOKENIZER_JSON).write_text(json.dumps(value), encoding="utf-8")
        theirs = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_JSON))
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(config), encoding="utf-8")
    theirs.encode_special_tokens = True
    return theirs


@pytest.mark.parametrize("family", ["smollm", "qwen", "llama3"])
def test_the_ids_are_those_of_the_tokenizers_library_before_and_after_saving(
    family: str, texts: list[str], strange_texts: list[str], tmp_path: Path
) -> None:
    theirs = _theirs(family, texts, tmp_path / "theirs")
    ours = Tokenizer.load(tmp_path / "theirs")
    ours.save(tmp_path / "ours")
    again = Tokenizer.load(tmp_path / "ours")
    written = tokenizers.Tokenizer.from_file(str(tmp_path / "ours" / TOKENIZER_JSON))
    written.encode_special_tokens = True
    forged = ["zzzz qjx exceedingly!", "<think>!x<think> <tool_call>", "e\u0301<think>e\u0301"]
    every = [*texts, *strange_texts, *DIGITS, *forged, "12 é" * 400]
    for text, ids in zip(every, ours.encode_batch(every), strict=True):
        assert ids.tolist() == theirs.encode(text, add_special_tokens=False).ids, text
        assert ids.tolist() == ours.encode(text) == again.encode(text)
        assert ids.tolist() == written.encode(text, add_special_tokens=False).ids, text
    for name, token_id in ours.special_tokens.items():
        assert theirs.token_to_id(name) == written.token_to_id(name) == token_id
    assert again.vocabulary.tokens == ours.vocabulary.tokens
    text = "It's 12 o'clock, é."
    assert written.encode(text).ids == theirs.encode(text).ids  # with what the template adds
    copy = pickle.loads(pickle.dumps(ours))  # noqa: S301, what a process pool does
    assert copy.encode(forged[0]) == ours.encode(forged[0])


def test_a_digit_stands_alone_and_takes_no_blank() -> None:
    assert split(b"a  12 b3", "smollm") == [b"a", b"  ", b"1", b"2", b" b", b"3"]
    assert split(b"a  12 b3", "gpt2") == [b"a", b" ", b" 12", b" b", b"3"]


def test_smollm_has_its_special_tokens_in_front_and_pads_with_none_that_ends(
    texts: list[str], tmp_path: Path
) -> None:
    _theirs("smollm", texts, tmp_path)
    ours = Tokenizer.load(tmp_path)
    assert [ours.special_tokens[name] for name in FRONT] == [0, 1, 2, 3, 4]
    assert (ours.eot_id, ours.eos_id) == (0, 2)
    # Its files pad with what ends a turn.
    assert ours.vocabulary.pad == "<|im_end|>"
    assert (ours.pad_id, ours.pad_token) == (4, "<empty_output>")
    assert ours.bos_id is None
    # In front, so tiktoken's ranks are the ids still: bytes and merges in order.
    ours.save(tmp_path / "again")
    assert (tmp_path / "again" / RANKS).is_file()
    config = json.loads((tmp_path / "again" / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    assert (config["eos_token"], config["pad_token"]) == ("<|im_end|>", "<empty_output>")


def test_qwen_has_nothing_left_to_pad_with_but_the_end_of_text(
    texts: list[str], tmp_path: Path
) -> None:
    _theirs("qwen", texts, tmp_path)
    ours = Tokenizer.load(tmp_path)
    assert ours.pad_token == "<|endoftext|>" and ours.eos_id != ours.eot_id
    assert set(ours.vocabulary.added_tokens) == {"<tool_call>", "<think>", "<think>!"}
    think = ours.vocabulary.added_tokens["<think>"]
    assert think in ours.encode("a<think>b") and "<think>" not in ours.special_tokens
    assert ours.decode([think], skip_special=True) == "<think>"
    assert ours.decode(ours.encode("e\u0301")) == "é"
    # tiktoken has no tokens that text becomes but that no merge makes.
    ours.save(tmp_path / "again")
    assert not (tmp_path / "again" / RANKS).exists()
    saved = json.loads((tmp_path / "again" / TOKENIZER_JSON).read_text(encoding="utf-8"))
    assert {token["normalized"] for token in saved["added_tokens"]} == {False}


def test_llama_begins_its_texts_and_ends_them_by_name(texts: list[str], tmp_path: Path) -> None:
    theirs = _theirs("llama3", texts, tmp_path)
    ours = Tokenizer.load(tmp_path)
    assert ours.bos_id == theirs.token_to_id("<|begin_of_text|>")
    assert ours.eot_id == theirs.token_to_id("<|end_of_text|>")
    assert ours.eos_id == theirs.token_to_id("<|eot_id|>")
    assert ours.pad_token == "<|reserved_special_token_0|>"
    ours.save(tmp_path / "again")
    config = json.loads((tmp_path / "again" / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    assert (config["bos_token"], config["eos_token"]) == ("<|begin_of_text|>", "<|eot_id|>")
    plain = json.loads((tmp_path / TOKENIZER_JSON).read_text(encoding="utf-8"))
    plain["model"]["ignore_merges"] = False
    (tmp_path / TOKENIZER_JSON).write_text(json.dumps(plain), encoding="utf-8")
    assert len(ours.encode("zzzz")) == 1 < len(Tokenizer.load(tmp_path).encode("zzzz"))


def test_rows_of_the_model_beyond_the_vocabulary_stand_for_nothing(
    texts: list[str], tmp_path: Path
) -> None:
    _theirs("smollm", texts, tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": 704}', encoding="utf-8")
    ours = Tokenizer.load(tmp_path)
    assert ours.vocab_size == 704
    assert ours.decode([703, *ours.encode("mill"), 700]) == "mill"
    with pytest.raises(GristmillError, match="id 704"):
        ours.decode([704])
    ours.save(tmp_path / "again")
    written = tokenizers.Tokenizer.from_file(str(tmp_path / "again" / TOKENIZER_JSON))
    assert written.encode("the mill").ids == ours.encode("the mill")


def test_bytes_without_a_token_are_left_out_as_there(texts: list[str], tmp_path: Path) -> None:
    theirs = _theirs("smollm", texts, tmp_path)
    value = json.loads((tmp_path / TOKENIZER_JSON).read_text(encoding="utf-8"))
    for byte in (0x06, 0xF3):
        del value["model"]["vocab"][spell(bytes([byte]))]
    (tmp_path / TOKENIZER_JSON).write_text(json.dumps(value), encoding="utf-8")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER_JSON))
    ours = Tokenizer.load(tmp_path)
    assert ours.vocabulary.missing_bytes == [6, 0xF3]
    for text in ["\x06", "a\x06b", "\U000e0001 x", "the\x06 mill\x06\x06", "\x06" * 60 + "grain"]:
        assert ours.encode(text) == theirs.encode(text).ids, text
    assert ours.decode(ours.encode("a\x06b")) == "ab"
    ours.save(tmp_path / "again")
    assert not (tmp_path / "again" / RANKS).exists()
    with pytest.raises(GristmillError, match="longest match needs all 256 bytes, and 2 are"):
        with_match(ours.vocabulary, "longest")


def _gguf(value: dict[str, Any], pre: str, **changes: Any) -> Any:
    """What GGUF metadata says of a tokenizer.json."""
    special = {t["content"]: t["special"] for t in value["added_tokens"]}
    vocab = dict(value["model"]["vocab"]) | {t["content"]: t["id"] for t in value["added_tokens"]}
    tokens = sorted(vocab, key=lambda name: vocab[name])
    return {
        "model": "gpt2",
        "pre": pre,
        "tokens": [*tokens, "[PAD700]"],
        "types": [3 if special.get(t) else 4 if t in special else 1 for t in tokens] + [5],
        "merges": [" ".join(pair) for pair in value["model"]["merges"]],
        **changes,
    }


@pytest.mark.parametrize(
    ("family", "pre"), [("smollm", "smollm"), ("qwen", "qwen2"), ("llama3", "llama-bpe")]
)
def test_gguf_metadata_gives_the_same_vocabulary(
    family: str, pre: str, texts: list[str], strange_texts: list[str], tmp_path: Path
) -> None:
    _theirs(family, texts, tmp_path)
    ours = Tokenizer.load(tmp_path)
    value = json.loads((tmp_path / TOKENIZER_JSON).read_text(encoding="utf-8"))
    found = gguf_vocabulary(**_gguf(value, pre, eos_id=ours.eos_id, pad_id=10**9))
    assert with_rows(ours.vocabulary, len(found.tokens)).tokens == found.tokens
    assert (found.eos, found.pad) == (ours.vocabulary.eos, None)
    begins = gguf_vocabulary(**_gguf(value, pre, bos_id=ours.eot_id, add_bos=True))
    assert Tokenizer(begins).bos_id == ours.eot_id
    silent = gguf_vocabulary(**_gguf(value, pre, bos_id=ours.eot_id))
    assert Tokenizer(silent).bos_id is None
    metadata = Tokenizer(found)
    for text in [*texts[:100], *strange_texts[::5], *DIGITS]:
        assert metadata.encode(text) == ours.encode(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "llama"}, "SentencePiece tokenizer"),
        ({"model": "bert"}, "kind 'bert'"),
        ({"pre": "tekken"}, "pre-tokenizer 'tekken'.*smollm"),
        ({"types": [1]}, "do not fit"),
        ({"merges": ["a"]}, "do not fit"),
        ({"merges": ["qqq zzz"]}, "do not fit"),
        ({"tokens": ["a"], "types": [1]}, "do not fit|lacks 255"),
    ],
)
def test_gguf_metadata_that_is_not_known_is_refused(
    change: dict[str, Any], message: str, texts: list[str], tmp_path: Path
) -> None:
    _theirs("smollm", texts[:20], tmp_path)
    value = json.loads((tmp_path / TOKENIZER_JSON).read_text(encoding="utf-8"))
    with pytest.raises(GristmillError, match=message):
        gguf_vocabulary(**{**_gguf(value, "smollm"), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["model"].update(type="Unigram"), "SentencePiece.*SmolLM2"),
        (lambda v: v["model"].update(byte_fallback=True), "SentencePiece"),
        (lambda v: v["model"].update(end_of_word_suffix="</w>"), "byte-level BPE"),
        (lambda v: v["pre_tokenizer"]["pretokenizers"][0].update(individual_digits=False), "pre-t"),
        (lambda v: v["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True), "pre-t"),
        (lambda v: v["added_tokens"][3].update(special=False, rstrip=True), "around it too"),
        (lambda v: v.update(normalizer={"type": "Lowercase"}), "normalises"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(
    change: Any, message: str, texts: list[str], tmp_path: Path
) -> None:
    _theirs("smollm", texts[:20], tmp_path)
    value = json.loads((tmp_path / TOKENIZER_JSON).read_text(encoding="utf-8"))
    change(value)
    (tmp_path / TOKENIZER_JSON).write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(GristmillError, match=message):
        Tokenizer.load(tmp_path)


def test_a_folder_with_sentencepiece_alone_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\x0a")
    with pytest.raises(GristmillError, match="SentencePiece tokenizer"):
        Tokenizer.load(tmp_path)
