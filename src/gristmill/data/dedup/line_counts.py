"""On how many pages each line stands, counted across all shards by the engine: in this process, in
worker processes or on a cluster.

A part counts its own lines first, so what is exchanged is a key and a number for each distinct line
of a part, 16 bytes, and never text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.data.dedup.lines import RepeatedLines, Unit, line_keys
from gristmill.data.documents import DocumentSet, write_parquet
from gristmill.data.engine.exchange import PARTITION, Exchange, partition_of
from gristmill.data.engine.steps import Engine
from gristmill.data.ngrams import Hashes, Texts

PARTITIONS = 64
_COLUMNS = pa.schema([("key", pa.uint64()), ("pages", pa.int64())])

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LinesPart:
    """Pages of a part of documents: places among the rows that earlier layers keep, ascending, and
    the number of each one's site (equal for all where the corpus is one site)."""

    name: str
    rows: npt.NDArray[np.int64]
    sites: Hashes


def count_lines(
    engine: Engine,
    documents: DocumentSet,
    parts: Iterable[LinesPart],
    *,
    min_pages: int,
    min_letters: int,
    unit: Unit,
    folder: Path,
    partitions: int = PARTITIONS,
    isolate: bool = True,
) -> tuple[Hashes, Counts]:
    """The keys of lines on at least `min_pages` of the pages, sorted, and on how many.

    folder: an empty one that all workers share; the counts stay there, `counts/PARTITION.parquet`,
    with the same bytes from any engine. Pages are to be distinct within their site.
    """
    folder = folder.resolve()
    exchange = Exchange(
        partial(_lines_of, documents, min_letters, unit, partitions),
        partial(_add_up, folder / "counts", min_pages),
        _COLUMNS,
        partitions,
        ("key", "pages"),
    )
    found = list(engine.exchange(exchange, parts, folder / "spilled", isolate=isolate))
    tables = [pq.read_table(folder / "counts" / name) for name in found]
    table = pa.concat_tables(tables)
    return table["key"].to_numpy(), table["pages"].to_numpy()


def repeated_lines(
    engine: Engine,
    documents: DocumentSet,
    parts: Iterable[LinesPart],
    *,
    share: float,
    min_pages: int,
    min_letters: int,
    unit: Unit,
    folder: Path,
    partitions: int = PARTITIONS,
    isolate: bool = True,
) -> RepeatedLines:
    """Lines on at least `share` of a site's pages and on at least `min_pages` pages. folder:
    as for `count_lines`."""
    sites, pages = np.zeros(0, np.uint64), np.zeros(0, np.int64)

    def noted() -> Iterator[LinesPart]:
        nonlocal sites, pages
        for part in parts:
            here, count = np.unique(part.sites, return_counts=True)
            sites, place = np.unique(np.concatenate([sites, here]), return_inverse=True)
            pages = np.bincount(place, np.concatenate([pages, count]), len(sites)).astype(np.int64)
            yield part

    keys, counts = count_lines(
        engine, documents, noted(), min_pages=min_pages, min_letters=min_letters, unit=unit,
        folder=folder, partitions=partitions, isolate=isolate,
    )  # fmt: skip
    enough = pages >= min_pages
    needed = np.maximum(min_pages, share * pages[enough])
    return RepeatedLines(keys, counts, sites[enough], needed, min_letters, unit)


def page_lines(texts: Texts, sites: Hashes, min_letters: int, unit: Unit) -> tuple[Hashes, Counts]:
    """The distinct lines of some pages, by key, and on how many of them each stands."""
    keys, starts = line_keys(texts, sites, min_letters, unit)
    for low, high in pairwise(starts.tolist()):
        keys[low:high].sort()
    once = keys > 0
    same = keys[1:] == keys[:-1]
    same[starts[1:-1] - 1] = False  # the last line of a page and the first of the next
    once[1:] &= ~same
    return np.unique(keys[once], return_counts=True)


def _lines_of(
    documents: DocumentSet, min_letters: int, unit: Unit, partitions: int, part: LinesPart
) -> pa.Table:
    texts = documents.read(part.name, ["text"])["text"].take(pa.array(part.rows))
    keys, pages = page_lines(texts, part.sites, min_letters, unit)
    return pa.table(
        {"key": keys, "pages": pages, PARTITION: partition_of(keys, partitions)},
    )


def _add_up(folder: Path, min_pages: int, partition: int, rows: pa.Table) -> Any:
    keys, pages = rows["key"].to_numpy(), rows["pages"].to_numpy()
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    total = np.add.reduceat(pages, first) if len(first) else np.zeros(0, np.int64)
    enough = total >= min_pages
    name = f"{partition:05d}.parquet"
    table = pa.table({"key": keys[first][enough], "pages": total[enough]}, schema=_COLUMNS)
    write_parquet(folder / name, table)
    return name
