"""A mixture's files by the engine: the bytes of `write_split`."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.records import mixture_schema
from gristmill.data.engine.local import LocalEngine
from gristmill.data.mixture_files import write_split
from gristmill.data.mixture_shuffle import shuffle_split, split_parts

COUNTS = {"part-00000": 90, "part-00001": 0, "part-00002": 110}


def tables(folder: Path) -> None:
    r = random.Random(5)
    first = 0
    for name, count in COUNTS.items():
        rows = []
        for row in range(first, first + count):
            kinds = {pa.string(): f"{row} {r.random()}", pa.int64(): row, pa.bool_(): row % 3 == 0}
            rows.append({f.name: kinds.get(f.type, row / 7) for f in mixture_schema()})
        pq.write_table(pa.Table.from_pylist(rows, mixture_schema()), folder / name)
        first += count


def table_of(folder: Path, name: str) -> pa.Table:
    return pq.read_table(folder / name)


@pytest.mark.parametrize(("wanted", "size"), [(120, 50), (200, 7), (3, 1000), (0, 10)])
def test_as_one_process_writes_them(tmp_path: Path, wanted: int, size: int) -> None:
    tables(tmp_path)
    order = np.array(random.Random(1).sample(range(200), wanted), np.int64)
    write_split(
        tmp_path / "one", (table_of(tmp_path, name) for name in COUNTS), order,
        documents_per_part=size,
    )  # fmt: skip
    shuffle_split(
        LocalEngine(1), tmp_path / "many", partial(table_of, tmp_path),
        split_parts(list(COUNTS), list(COUNTS.values()), order), wanted,
        scratch=tmp_path / "spilled", documents_per_part=size, isolate=False,
    )  # fmt: skip
    made = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "many")
    ]
    assert made[0] == made[1] and len(made[0]) == max(1, -(-wanted // size))
    assert not (tmp_path / "spilled").exists()
