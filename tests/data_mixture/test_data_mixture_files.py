"""A mixture's files: the order asked for, any part size, engine and kill; what quotes is found."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.records import mixture_schema
from gristmill.core.seeds import derive_seed
from gristmill.data.coded import Coded, unit
from gristmill.data.engine.local import LocalEngine
from gristmill.data.journal import PartJournal
from gristmill.data.mixture_files import write_splits
from gristmill.data.mixture_leaks import found_once, leaking

# Worker processes import the function by name.
sys.path.insert(0, str(Path(__file__).parent))
from mixture_tables import table_of

COUNTS = [("one.parquet", 90), ("empty.parquet", 0), ("three.parquet", 110)]
DECIDED = ("domain", "quality", "group", "repeats", "anneal")
MUCH = 1 << 40


def whole() -> pa.Table:
    """200 documents with all that a mixture says of them."""
    r = random.Random(5)
    kinds: dict[pa.DataType, Any] = {
        pa.string(): lambda row: f"{row} {r.random()}",
        pa.int32(): lambda row: row,
        pa.float32(): lambda row: row / 7,
        pa.bool_(): lambda row: row % 3 == 0,
    }
    columns = {f.name: [kinds[f.type](row) for row in range(200)] for f in mixture_schema()}
    return pa.table(columns, schema=mixture_schema())


def write(
    folder: Path,
    order: list[int],
    size: int,
    workers: int = 1,
    text: int = 0,
    held: Sequence[int] = (),
) -> list[int]:
    """The splits of a journal below the folder."""
    folder.mkdir(exist_ok=True)
    table, first = whole(), 0
    for name, count in COUNTS:
        pq.write_table(table.slice(first, count).drop_columns(DECIDED), folder / name)
        first += count
    journal = PartJournal(folder, "mix")
    splits = {"train": np.array(order, np.int64), "heldout": np.array(held, np.int64)}
    told = write_splits(
        LocalEngine(workers), journal, partial(table_of, folder), COUNTS, splits,
        lambda rows: table.select(DECIDED).take(pa.array(rows)),
        documents_per_part=size, text_bytes=text,
    )  # fmt: skip
    return list(told)


def files(folder: Path) -> dict[str, bytes]:
    made = (folder / "mix").rglob("*.parquet")
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(made)}


@pytest.mark.parametrize(("wanted", "size"), [(120, 50), (193, 7), (3, 1000), (0, 10)])
def test_order_and_parts(tmp_path: Path, wanted: int, size: int) -> None:
    every = random.Random(1).sample(range(200), 200)
    orders = {"train": every[:wanted], "heldout": every[193:]}
    parts = {split: max(1, -(-len(order) // size)) for split, order in orders.items()}
    total = sum(parts.values())
    made = write(tmp_path / "run", orders["train"], size, held=orders["heldout"])
    assert made == [total] * total and len(files(tmp_path / "run")) == total
    for split, order in orders.items():
        expected = whole().take(pa.array(order, pa.int64()))
        for number in range(parts[split]):
            path = tmp_path / "run" / "mix" / split / f"part-{number:05d}.parquet"
            found = pq.read_table(path)
            assert found.schema == mixture_schema()
            assert found.equals(expected.slice(number * size, size))
            group = pq.read_metadata(path).row_group(0) if found.num_rows else None
            # What reads a mixture reads all of it, again and again.
            assert group is None or group.column(found.num_columns - 1).compression == "LZ4"
    left = {path.name for path in (tmp_path / "run" / "mix").iterdir()}
    assert left == {"parts.jsonl", "train", "heldout"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_workers_change_no_byte_and_whole_parts_are_not_made_again(tmp_path: Path) -> None:
    every = random.Random(2).sample(range(200), 180)
    order, held = every[:150], every[150:]
    write(tmp_path / "one", order, 20, held=held)
    write(tmp_path / "two", order, 20, workers=2, text=MUCH, held=held)
    calm = files(tmp_path / "one")
    assert files(tmp_path / "two") == calm and len(calm) == 8 + 2
    # As if killed after three parts, with a fourth that is not whole.
    journal = tmp_path / "two" / "mix" / "parts.jsonl"
    lines = journal.read_text("utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:3]), encoding="utf-8")
    made = sorted((tmp_path / "two" / "mix" / "train").iterdir())
    made[3].write_bytes(b"cut")
    for path in made:  # long ago, whatever the grain of the clock
        os.utime(path, (1e9, 1e9))
    before = [path.stat().st_mtime_ns for path in made]
    assert write(tmp_path / "two", order, 20, held=held) == [10] * 10
    assert files(tmp_path / "two") == calm
    again = [path.stat().st_mtime_ns for path in made]
    assert again[:3] == before[:3]
    assert all(a > b for a, b in zip(again[3:], before[3:], strict=True))


def test_what_quotes_is_looked_for_once(tmp_path: Path) -> None:
    calls = []

    def find() -> np.ndarray:
        calls.append(1)
        return np.array([True, False])

    for _ in range(2):
        assert found_once(tmp_path / "leak.npz", find).tolist() == [True, False]
    assert len(calls) == 1


def test_sampled_n_grams_find_the_same_quotations() -> None:
    r = random.Random(2)

    def prose(words: int) -> str:
        return " ".join(f"w{r.randrange(9999)}" for _ in range(words))

    held = [prose(400) for _ in range(30)]
    quoting = [f"{prose(200)} {text} {prose(200)}" for text in held[:10]]
    half = [f"{prose(200)} {text[: len(text) // 5]}" for text in held[10:20]]
    texts = held + quoting + half + [prose(300) for _ in range(30)]
    mask = np.arange(len(texts)) < 30
    parts = [pa.chunked_array([texts[:50]]), pa.chunked_array([texts[50:]])]
    exact = leaking(lambda: iter(parts), mask)
    assert np.flatnonzero(exact).tolist() == list(range(30, 40))
    assert leaking(lambda: iter(parts), mask, most=1500).tolist() == exact.tolist()


def test_coded_columns_are_sequences_of_strings() -> None:
    r = random.Random(3)
    values = [f"site{r.randrange(9)}" for _ in range(50)]
    for column in (Coded.of(values), Coded.distinct(values)):
        assert list(column) == values and column[-1] == values[-1] and len(column) == 50
        assert column[3:9] == values[3:9]
        assert column.among({"site1", "no"}).tolist() == [v == "site1" for v in values]
        rows = np.array([4, 2, 2])
        assert column.take(rows).to_pylist() == [values[i] for i in rows]
        wanted = [derive_seed(5, "x", values[i]) for i in rows]
        assert column.keys(5, "x", rows).tolist() == wanted
        with pytest.raises(IndexError):
            column[50]
    coded = Coded.of(values)
    assert sorted(coded.names.to_pylist()) == sorted(set(values))
    assert coded.counts(np.arange(50)) == {v: values.count(v) for v in values}
    assert ((unit(coded.keys(1, "y")) >= 0) & (unit(coded.keys(1, "y")) < 1)).all()
