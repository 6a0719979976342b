"""Parquet files read in batches, holding one row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_BUFFER = 1 << 20


def open_parquet(source: Path | Any) -> pq.ParquetFile:
    """The file, whose column chunks are read a buffer at a time. Raises ArrowException, OSError."""
    return pq.ParquetFile(source, buffer_size=_BUFFER)


def batches(
    file: pq.ParquetFile, columns: Sequence[str] | None = None, rows: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """Every row of the columns, at most `rows` in a batch, in order.

    `iter_batches` over a whole file keeps each row group that it has read until its end (pyarrow
    26: 39 MB after 39 MB), so it is asked for one after the other.
    """
    wanted = None if columns is None else list(columns)
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=wanted)
