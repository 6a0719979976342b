"""One held-out text for models of different mixtures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.errors import GristmillError
from gristmill.core.records import mixture_schema
from gristmill.evaluate.perplexity import read_documents
from gristmill.evaluate.shared_text import SharedText
from gristmill.tokenizer.corpus import encode_mixture
from gristmill.tokenizer.training import train_tokenizer


def words(number: int) -> str:
    rng = np.random.default_rng(number)
    return " ".join(f"w{n}" for n in rng.integers(0, 10_000, 30)) + " été."


def row(number: int, group: str | None = None, text: str | None = None) -> dict[str, object]:
    return {
        "id": f"{number:016x}",
        "url": f"https://a.example/{number}",
        "host": "a.example",
        "domain": "all",
        "quality": None,
        "title": None,
        "description": None,
        "topic": None,
        "group": group or f"{number:016x}",
        "repeats": 1,
        "anneal": False,
        "text": text or words(number),
    }


def mixture(
    folder: Path, train: Iterable[dict[str, object]], heldout: Iterable[dict[str, object]]
) -> Path:
    for split, rows in (("train", train), ("heldout", heldout)):
        (folder / split).mkdir(parents=True)
        table = pa.Table.from_pylist(list(rows), schema=mixture_schema())
        pq.write_table(table, folder / split / "part-00000.parquet")
    return folder


def ids(text: SharedText) -> list[int]:
    return [int(name, 16) for name in text.documents["id"].to_pylist()]


def test_what_any_mixture_trains_on_is_left_out(tmp_path: Path) -> None:
    first = mixture(tmp_path / "a", [row(n) for n in range(10)], [row(n) for n in range(20, 30)])
    assert ids(SharedText.read(first, [first])) == list(range(20, 30))
    others = [
        mixture(tmp_path / "same", [row(1), row(21)], []),
        mixture(tmp_path / "copy", [row(50, group=row(22)["group"])], []),  # type: ignore[arg-type]
        mixture(tmp_path / "quote", [row(51, text=f"It says: {words(23)} And more.")], []),
        mixture(tmp_path / "half", [row(52, text=words(24)[:40])], []),
    ]
    found = SharedText.read(first, [first, *others])
    assert ids(found) == [20, 24, 25, 26, 27, 28, 29]
    assert found.left_out == 3
    # The order of the mixtures is of no matter.
    assert ids(SharedText.read(first, others[::-1])) == ids(found)


def test_mixtures_that_were_split_otherwise_are_refused(tmp_path: Path) -> None:
    first = mixture(tmp_path / "a", [row(1)], [row(n) for n in range(20, 24)])
    other = mixture(tmp_path / "b", [row(n) for n in (20, 21)], [row(1)])
    with pytest.raises(GristmillError, match="2 of 4 held-out documents are trained on"):
        SharedText.read(first, [first, other])


def test_its_tokens_are_those_of_the_split(tmp_path: Path) -> None:
    folder = mixture(tmp_path / "a", [row(n) for n in range(9)], [row(n) for n in range(20, 30)])
    tokenizer = train_tokenizer([words(n) for n in range(9)], 300)
    encode_mixture(folder, tokenizer, tmp_path / "tokens", workers=1)
    split = read_documents(tmp_path / "tokens", "heldout")
    shared = SharedText.read(folder, [folder]).encoded(tokenizer)
    assert shared.ids == split.ids and shared.urls == split.urls
    assert shared.bytes_N.tolist() == split.bytes_N.tolist()
    assert all(map(np.array_equal, shared.documents, split.documents))
