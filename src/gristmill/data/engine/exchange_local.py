"""An exchange on this machine: spilled to files, in memory bounded by a part and a partition.

A part's rows are written as one Arrow file with a record batch for each partition, so a partition
reads its own batch of every file and nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.data.engine.exchange import PARTITION, Exchange
from gristmill.data.engine.map_parts import map_parts
from gristmill.data.engine.steps import Engine

P = TypeVar("P")

_FEW = 2


def exchange_here(
    engine: Engine,
    exchange: Exchange[P],
    parts: Iterable[P],
    scratch: Path,
    *,
    isolate: bool,
    most_workers: int | None,
) -> Iterator[Any]:
    """What `gather` told of each partition, in order. scratch: a folder for what is spilled,
    emptied before and removed after."""
    if exchange.partitions <= _FEW and most_workers == 1 and not isolate:
        yield from _in_memory(exchange, parts)
        return
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        files = list(
            map_parts(
                engine,
                partial(_spill, exchange, scratch),
                (_Numbered(number, part) for number, part in enumerate(parts)),
                isolate=isolate,
                most_workers=most_workers,
            )
        )
        yield from map_parts(
            engine,
            partial(_gather, exchange, scratch, files),
            range(exchange.partitions),
            isolate=isolate,
            most_workers=most_workers,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _in_memory(exchange: Exchange[P], parts: Iterable[P]) -> Iterator[Any]:
    """Where half of all rows comes together in a partition anyway."""
    rows = pa.concat_tables(
        [
            exchange.schema.empty_table().append_column(PARTITION, pa.array([], pa.int32())),
            *(exchange.spread_part(part) for part in parts),
        ]
    )
    for partition in range(exchange.partitions):
        here = pc.equal(rows[PARTITION], pa.scalar(partition, pa.int32()))
        yield exchange.gather_rows(partition, rows.filter(here))


@dataclass(frozen=True)
class _Numbered:
    number: int
    part: Any


def _spill(exchange: Exchange[Any], scratch: Path, part: _Numbered) -> str:
    """Writes a part's rows; returns the name of the file, whole or not there at all."""
    rows = exchange.spread_part(part.part)
    number = rows[PARTITION].to_numpy()
    by_partition = np.argsort(number, kind="stable")
    bounds = np.searchsorted(number[by_partition], np.arange(exchange.partitions + 1))
    rows = rows.drop_columns([PARTITION]).take(pa.array(by_partition)).combine_chunks()
    name = f"{part.number:06d}.arrow"
    temporary = scratch / f".{name}"
    # zstd makes it smaller by a third and costs as much as all the rest of a spill.
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(temporary), "wb") as file:
        writer = pa.ipc.new_file(file, exchange.schema, options=options)
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            piece = rows.slice(low, high - low).to_batches()
            writer.write_batch(piece[0] if piece else _empty(exchange.schema))
        writer.close()
    temporary.replace(scratch / name)
    return name


def _gather(exchange: Exchange[Any], scratch: Path, files: list[str], partition: int) -> Any:
    pieces = []
    for name in files:
        # Read, not mapped: pages of a map count as the process's memory until it ends.
        with pa.OSFile(str(scratch / name), "rb") as file:
            pieces.append(pa.ipc.open_file(file).get_batch(partition))
    return exchange.gather_rows(partition, pa.Table.from_batches(pieces, exchange.schema))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)
