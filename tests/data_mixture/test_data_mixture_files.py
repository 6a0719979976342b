"""A mixture's files: any number of spill files, any part size, sampled n-grams; coded columns."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.records import mixture_schema
from gristmill.core.seeds import derive_seed
from gristmill.data.coded import Coded, unit
from gristmill.data.mixture_files import leaking, write_split


def table(count: int) -> pa.Table:
    names = [f"document {i}" for i in range(count)]
    columns = {
        field.name: pa.array(names)
        if field.type == pa.string()
        else pa.array(range(count)).cast(pa.int64()).cast(pa.float64()).cast(pa.int64())
        for field in mixture_schema()
    }
    columns["anneal"] = pa.array([i % 2 == 0 for i in range(count)])
    return pa.table(columns)


@pytest.mark.parametrize(("size", "files"), [(1000, 64), (10, 64), (7, 2), (1, 3)])
def test_order_and_parts_for_any_number_of_spill_files(
    tmp_path: Path, size: int, files: int
) -> None:
    whole = table(200)
    pieces = [whole.slice(0, 90), whole.slice(90, 0), whole.slice(90)]
    order = np.array(random.Random(1).sample(range(200), 120))
    write_split(tmp_path / "train", iter(pieces), order, documents_per_part=size, files=files)
    made = sorted((tmp_path / "train").iterdir())
    assert [path.name for path in made] == [f"part-{n:05d}.parquet" for n in range(-(-120 // size))]
    parts = [pq.read_table(path) for path in made]
    assert {part.num_rows for part in parts[:-1]} <= {size}
    assert pa.concat_tables(parts)["id"].to_pylist() == [f"document {i}" for i in order]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


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
