"""The language model read as numbers, beside fastText's own program: the same to the last bit."""

from __future__ import annotations

import struct
from pathlib import Path

import fasttext
import numpy as np
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.filters.language import language_model_path
from gristmill.data.filters.language_model import LanguageModel, load

_LETTERS = (
    "abcdefghijklmnopqrstuvwxyz      éüßñçøåабвгдежзий的一是不了人我在有他这ありがとう"
    "العربيةहिन्दी한국어\0\t\v\f\r<>/_🙂👍🏽"
)
_ODD = [
    "a", " ", "\0", "a\0b", "the", "de in and la", "x" * 5000, "é" * 300, "🙂 ok", "<a> </a>",
    # The end of a line, and a label, written out.
    "</s>", "ein Haus </s> the house stands here", "</s>the", "__label__en die Mühle am Fluss",
    "__label__xx", "__label__ das", "__labe die",
]  # fmt: skip


@pytest.fixture(scope="module")
def path() -> Path:
    try:
        return language_model_path()
    except GristmillError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model(path: Path) -> LanguageModel:
    return load(path)


def test_is_fasttext_to_the_last_bit(path: Path, model: LanguageModel) -> None:
    reference = fasttext.load_model(str(path))
    r = np.random.default_rng(7)
    letters = np.array(list(_LETTERS))
    texts = [*_ODD, *("".join(r.choice(letters, r.integers(1, 200))) for _ in range(2000))]
    for text in texts:
        (label,), (score,) = reference.predict(text, k=1)
        assert model.best(text) == (label.removeprefix("__label__"), float(score)), repr(text)


def test_knows_the_labels_of_the_file(path: Path, model: LanguageModel) -> None:
    labels, _ = fasttext.load_model(str(path)).predict("a", k=1000, threshold=-1.0)
    assert {f"__label__{label}" for label in model.labels} == set(labels)


def test_says_what_a_wrong_file_is(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    other = tmp_path / "other.ftz"
    softmax = bytearray(data)
    struct.pack_into("<i", softmax, 4 * 8, 3)
    for content, why in (
        (b"", "cannot load"),
        (b"\0" * 100, "no model of fastText's"),
        (bytes(softmax), "not made as lid.176 is"),
        (data[:400], "cannot load"),
        (data[: len(data) // 2], "cannot load"),
        (data[:-100], "cannot load"),
    ):
        other.write_bytes(content)
        with pytest.raises(GristmillError, match=why):
            load(other)
    with pytest.raises(GristmillError, match="cannot read"):
        load(tmp_path / "none.ftz")
