"""`tokenizer import`: three formats by one verb; cl100k and o200k where their ranks are."""

from __future__ import annotations

import random
import sysconfig
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tiktoken_ext.openai_public as openai

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.data.wheel import default_cache
from gristmill.stages.tokenizer_import import TokenizerImportConfig, tokenizer_import
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.foreign import gguf_vocabulary
from gristmill.tokenizer.formats import RANKS, TOKENIZER_JSON
from gristmill.tokenizer.gguf import gguf_metadata
from gristmill.tokenizer.patterns import PATTERNS
from gristmill.tokenizer.tiktoken_file import read_ranks, read_tiktoken
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

# A wheel whose files are OpenAI's ranks, kept by the tokenizer's benchmark.
_WHEEL = "litellm-1.109.1-*.whl"
_MEMBERS = {
    "cl100k": "litellm/litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k": "litellm/litellm_core_utils/tokenizers/fb374d419588a4632f3f557e76b4b70aebbca790",
}
_KNOWN_THERE = ("gpt4", "gpt2", "qwen", "smollm")


def _imported(folder: Path, **config: Any) -> Artifact:
    return tokenizer_import.run(TokenizerImportConfig(**config), {}, Workspace.at(folder / "w"))


def _write_gguf(file: Path, made: Tokenizer) -> None:
    """A file of metadata alone, of no architecture that is known here."""
    gguf = pytest.importorskip("gguf")
    metadata = gguf_metadata(made.vocabulary)
    writer = gguf.GGUFWriter(file, "mill")
    writer.add_tokenizer_model(metadata["model"])
    writer.add_tokenizer_pre(metadata["pre"])
    writer.add_token_list(metadata["tokens"])
    writer.add_token_types(metadata["types"])
    writer.add_token_merges(metadata["merges"])
    writer.add_eos_token_id(made.eot_id)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_all_three_formats_through_one_verb(
    tokenizer: Tokenizer, texts: list[str], strange_texts: list[str], tmp_path: Path
) -> None:
    tokenizer.save(tmp_path / "mine")
    _write_gguf(tmp_path / "mill.gguf", tokenizer)
    ranks = tmp_path / "mine" / RANKS
    names = tuple(tokenizer.special_tokens)
    for config in (
        {"path": tmp_path / "mine"},
        {"path": tmp_path / "mine" / TOKENIZER_JSON},
        {"path": ranks, "pattern": "cl100k", "special_tokens": names},
        {"path": tmp_path / "mill.gguf"},
    ):
        found = Tokenizer.load(_imported(tmp_path, **config).path)
        assert found.special_tokens == tokenizer.special_tokens
        assert found.eot_id == tokenizer.eot_id
        for text in [*texts[:40], *strange_texts[::40]]:
            assert found.encode(text) == tokenizer.encode(text), (config, text)
    for specials, noted in ((names, False), ((), True)):
        config = {"path": ranks, "pattern": "cl100k", "special_tokens": specials}
        shown = (_imported(tmp_path, **config).path / "presentation.json").read_text("utf-8")
        assert ("No token ends a document" in shown) == noted
    longest = Tokenizer.load(_imported(tmp_path, path=tmp_path / "mine", match="longest").path)
    assert longest.vocabulary.match == "longest"


def test_what_is_wrong_is_said(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    ranks = tmp_path / RANKS
    for config, message in (
        ({"path": ranks}, "does not say how text is cut"),
        ({"path": tmp_path, "pattern": "gpt2"}, "says itself"),
        ({"path": tmp_path / "nothing"}, "no such file"),
        ({"path": ranks, "pattern": "gpt4", "special_tokens": ("<|a|>=7",)}, "a token's already"),
        ({"path": ranks, "pattern": "gpt4", "special_tokens": ("x", "x")}, "each one of its own"),
    ):
        with pytest.raises(GristmillError, match=message):
            _imported(tmp_path, **config)
    config = {"path": ranks, "pattern": "gpt4", "special_tokens": ("<|a|>=900", "<|b|>")}
    found = Tokenizer.load(_imported(tmp_path, **config).path)
    assert found.special_tokens == {"<|a|>": 900, "<|b|>": 901}


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_gguf_metadata_comes_back_or_is_refused_with_the_reason(
    pattern: str, texts: list[str], strange_texts: list[str]
) -> None:
    made = train_tokenizer(texts[:100], 500, pattern=pattern)
    if pattern not in _KNOWN_THERE:
        with pytest.raises(GristmillError, match=f"no pre-tokenizer '{pattern}': it "):
            gguf_metadata(made.vocabulary)
        return
    metadata = gguf_metadata(made.vocabulary)
    found = Tokenizer(gguf_vocabulary(**metadata))
    assert found.vocabulary.tokens == made.vocabulary.tokens
    for text in [*texts[:30], *strange_texts[::30]]:
        if found.vocabulary.normalizer is None:
            assert found.encode(text) == made.encode(text)


def test_gguf_metadata_tells_the_kinds_of_tokens_apart(tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.vocabulary
    name, number = "<think>", len(vocabulary.tokens)
    made = replace(
        vocabulary, tokens=(*vocabulary.tokens, name.encode(), b""), added_tokens={name: number}
    )
    metadata = gguf_metadata(made)
    specials = len(vocabulary.special_tokens)
    # Ordinary, control, user-defined, unused.
    assert metadata["types"] == [1] * (number - specials) + [3] * specials + [4, 5]
    assert metadata["tokens"][number:] == [name, f"[PAD{number + 1}]"]
    assert gguf_vocabulary(**metadata).added_tokens == {name: number}


def test_whole_pretokens_that_llama_cpp_would_merge_are_refused(tokenizer: Tokenizer) -> None:
    taken = replace(tokenizer.vocabulary, ignore_merges=True)
    assert gguf_metadata(taken)["pre"] == "llama-bpe"
    for changes, message in (
        ({"pattern": "gpt2"}, "does not ignore merges"),
        ({"normalizer": "NFC"}, "does not bring text to NFC"),
    ):
        with pytest.raises(GristmillError, match=message):
            gguf_metadata(replace(taken, **changes))


@pytest.mark.parametrize("name", sorted(_MEMBERS))
def test_openais_ranks_give_openais_ids(
    name: str, strange_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sorted((default_cache() / "wheels").glob(_WHEEL))
    if not kept:
        pytest.skip("the wheel with OpenAI's ranks was not downloaded: make bench-tokenizer does")
    file = tmp_path / f"{name}_base.tiktoken"
    with zipfile.ZipFile(kept[0]) as wheel:
        file.write_bytes(wheel.read(_MEMBERS[name]))
    ranks = read_ranks(file)
    # Its own pattern and special tokens, and the ranks from here.
    monkeypatch.setattr(openai, "load_tiktoken_bpe", lambda *_, **__: ranks)
    about = getattr(openai, f"{name}_base")()
    about.pop("explicit_n_vocab", None)
    theirs = tiktoken.Encoding(**about)
    ours = Tokenizer(read_tiktoken(file, name, theirs._special_tokens))
    rng = random.Random(9)
    pool = [
        *"'sStLlREDſ \n\r\té中🙂ÉßǅกัЖ٣/_\u0301\u0e31Zz27.,(",
        "    ",
        "'LL",
        "HTTPServer",
        "\n  ",
    ]
    odd = ["".join(rng.choices(pool, k=rng.randint(0, 20))) for _ in range(8_000)]
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-c]*.py"))[:20]
    odd += [path.read_text(encoding="utf-8", errors="replace") for path in files]
    every = [*odd, *strange_texts]
    for text, ids in zip(every, ours.encode_batch(every), strict=True):
        assert ids.tolist() == theirs.encode_ordinary(text), text
    assert ours.special_tokens == theirs._special_tokens
