"""A reader holds what it reads next, however large the file is."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.data.sources.folder import find_files
from gristmill.data.sources.readers import ReadOptions, read_records
from gristmill.data.sources.record import Record


def test_row_groups_are_read_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    draw = random.Random(1)
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(path, schema, use_dictionary=False) as file:
        for group in range(24):
            rows = [f"{group}.{i} {draw.randbytes(512).hex()}" for i in range(1500)]
            file.write_table(pa.table({"text": rows}, schema=schema))
    [file_found] = find_files(path, "auto", False).files
    before, most, seen = pa.total_allocated_bytes(), 0, []
    for one in read_records(file_found, ReadOptions()):
        assert isinstance(one, Record)
        seen.append((one.row, one.text.split()[0]))
        most = max(most, pa.total_allocated_bytes() - before)
    assert seen == [(1500 * g + i, f"{g}.{i}") for g in range(24) for i in range(1500)]
    # 37 MB in all, 1.5 MB a group.
    assert most < 6 << 20, most
