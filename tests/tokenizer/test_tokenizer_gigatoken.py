"""gigatoken behind our interface, where it is installed: our ids, or a refusal in words."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.stage import Execution
from gristmill.stages.tokenizer_encode import TokenizerEncodeConfig, tokenizer_encode
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer import gigatoken_backend
from gristmill.tokenizer.gigatoken_backend import GigatokenEncoder
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer


@pytest.fixture
def gigatoken() -> Any:
    return pytest.importorskip("gigatoken")


@pytest.mark.parametrize("pattern", ["gpt4", "gpt2", "qwen", "o200k"])
def test_its_ids_are_ours(
    pattern: str, gigatoken: Any, texts: list[str], strange_texts: list[str]
) -> None:
    ours = train_tokenizer(texts, 700, pattern=pattern)
    theirs = Tokenizer(ours.vocabulary, "gigatoken")
    every = [*texts, *strange_texts, "", "<|endoftext|> is text"]
    for text, a, b in zip(every, ours.encode_batch(every), theirs.encode_batch(every), strict=True):
        assert b.dtype == np.int32
        assert a.tolist() == b.tolist(), text
    joined = np.frombuffer("".join(every).encode(), dtype=np.uint8)
    ends = np.cumsum([len(text.encode()) for text in every])
    for end_id in (-1, ours.eot_id):
        for a, b in zip(
            ours.encode_joined(joined, ends, end_id),
            theirs.encode_joined(joined, ends, end_id),
            strict=True,
        ):
            assert a.dtype == b.dtype and np.array_equal(a, b)
    for data in (b"\xff\xfe a", b"mill \xe4\xb8", bytes(range(256))):
        assert ours.encode_bytes(data).tolist() == theirs.encode_bytes(data).tolist()
    copy = pickle.loads(pickle.dumps(theirs))  # noqa: S301, what a process pool does
    assert copy.encode(texts[0]) == ours.encode(texts[0])


def test_shards_are_the_same(
    gigatoken: Any,
    texts: list[str],
    write_mixture: Callable[..., Path],
    tmp_path: Path,
    seal: Callable[[Path, str, str], Artifact],
) -> None:
    mixture = seal(write_mixture([texts[:40], texts[40:80]], [texts[80:90]]), "mixture", "mix")
    train_tokenizer(texts, 700).save(tmp_path / "t")
    tokenizer = seal(tmp_path / "t", "tokenizer", "tokenizer.train")
    made = [
        tokenizer_encode.run(
            TokenizerEncodeConfig(backend=backend),
            {"mixture": mixture, "tokenizer": tokenizer},
            Workspace.at(tmp_path / backend),
            execution=Execution(workers=2),
        )
        for backend in ("gristmill", "gigatoken")
    ]
    # How it was encoded is no part of what it is.
    assert made[0].content == made[1].content and made[0].name == made[1].name


def test_what_it_does_not_know_is_refused(texts: list[str]) -> None:
    for settings in ({"pattern": "digits-right"}, {"match": "longest"}, {"kind": "words"}):
        made = train_tokenizer(texts[:50], 400, **settings)  # type: ignore[arg-type]
        with pytest.raises(GristmillError, match="gigatoken does not know") as caught:
            Tokenizer(made.vocabulary, "gigatoken")
        assert "gristmill" in caught.value.mend


def test_other_ids_are_refused(
    gigatoken: Any, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = train_tokenizer(texts, 700).vocabulary
    # As if it cut text otherwise than its name for the pre-tokenizer says.
    monkeypatch.setitem(gigatoken_backend._PRETOKENIZERS, "gpt4", "gpt2")
    with pytest.raises(GristmillError, match="gives other ids for"):
        GigatokenEncoder(vocabulary)


def test_where_it_is_not_installed_it_says_how(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = train_tokenizer(texts[:20], 300).vocabulary
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    with pytest.raises(GristmillError, match="not installed") as caught:
        Tokenizer(vocabulary, "gigatoken")
    assert "gristmill[gigatoken]" in caught.value.mend
