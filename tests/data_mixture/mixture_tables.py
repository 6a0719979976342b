"""Tables of an input that worker processes read by name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def table_of(folder: Path, name: str) -> pa.Table:
    return pq.read_table(folder / name)
