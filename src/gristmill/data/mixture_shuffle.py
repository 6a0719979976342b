"""A mixture's files by the engine: `mixture_files.write_split` in worker processes or on a cluster,
with the same bytes. Each output part gathers its documents from all input parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.core.records import mixture_schema
from gristmill.data.documents import write_parquet
from gristmill.data.engine.exchange import PARTITION, Exchange
from gristmill.data.engine.steps import Engine
from gristmill.data.mixture_files import DOCUMENTS_PER_PART, Indices

_RANK = "rank"


@dataclass(frozen=True)
class SplitPart:
    """Rows of a part's table that are wanted, and the place of each in the final order."""

    name: str
    rows: Indices
    ranks: Indices


def split_parts(names: Sequence[str], counts: Sequence[int], order: Indices) -> Iterator[SplitPart]:
    """The parts of a split. counts: rows of each part's table. order: the wanted rows, numbered
    over all tables, in their final order."""
    by_row = np.argsort(order, kind="stable")
    rows = order[by_row]
    first = 0
    for name, count in zip(names, counts, strict=True):
        low, high = np.searchsorted(rows, [first, first + count])
        yield SplitPart(name, rows[low:high] - first, by_row[low:high])
        first += count


def shuffle_split(
    engine: Engine,
    folder: Path,
    table_of: Callable[[str], pa.Table],
    parts: Iterable[SplitPart],
    total: int,
    *,
    scratch: Path,
    documents_per_part: int = DOCUMENTS_PER_PART,
    isolate: bool = True,
) -> None:
    """Writes `part-NNNNN.parquet` below `folder`, which all workers share.

    table_of: importable; a part's table with the columns of `mixture_schema`. total: documents of
    all parts. scratch: for what is spilled here. An empty split is one empty part.
    """
    folder = folder.resolve()
    schema = mixture_schema().append(pa.field(_RANK, pa.int64()))
    exchange = Exchange(
        partial(_ranked, table_of, documents_per_part),
        partial(_write, folder),
        schema,
        max(1, -(-total // documents_per_part)),
        (_RANK,),
    )
    for _ in engine.exchange(exchange, parts, scratch, isolate=isolate):
        pass


def _ranked(
    table_of: Callable[[str], pa.Table], documents_per_part: int, part: SplitPart
) -> pa.Table:
    schema = mixture_schema()
    chosen = table_of(part.name).take(pa.array(part.rows)).select(schema.names).cast(schema)
    return chosen.append_column(_RANK, pa.array(part.ranks)).append_column(
        PARTITION, pa.array(part.ranks // documents_per_part)
    )


def _write(folder: Path, partition: int, rows: pa.Table) -> int:
    table = rows.select(mixture_schema().names).combine_chunks()
    write_parquet(folder / f"part-{partition:05d}.parquet", table)
    return len(rows)
