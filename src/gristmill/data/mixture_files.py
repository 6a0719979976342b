"""A mixture's files: documents in their final order, in memory bounded by one output part.

Documents come in the order of the input's parts and leave in that of the shuffle. They are spilled
into at most 64 files of neighbouring output parts each, these again where they hold more than one
part, and then each part is sorted: so neither open files nor memory grow with the corpus.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.records import mixture_schema
from gristmill.data.dedup.minhash import shingle_sets
from gristmill.data.documents import write_parquet
from gristmill.data.ngrams import Hashes, Offsets
from gristmill.data.postings import Postings

Indices = npt.NDArray[np.int64]

DOCUMENTS_PER_PART = 50_000
MOST_GRAMS = 1 << 24
"""N-grams of held-out text that are held, 16 bytes each."""
ALL_HASHES = np.uint64(0xFFFFFFFFFFFFFFFF)
_RANK = "rank"
_FILES = 64
_BLOCK_BYTES = 64 << 20


def write_split(
    folder: Path,
    tables: Iterable[pa.Table],
    order: Indices,
    *,
    documents_per_part: int = DOCUMENTS_PER_PART,
    files: int = _FILES,
) -> None:
    """Writes `part-NNNNN.parquet` below `folder`: the rows of all tables in the order `order`.

    tables: with the columns of `mixture_schema`, in the order in which rows are numbered. order:
    the row numbers that are wanted. files: that are written at once. An empty split is one empty
    part.
    """
    parts = range(max(1, -(-len(order) // documents_per_part)))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as spill:
        ranked = _ranked(tables, order)
        _write_parts(folder, ranked, parts, documents_per_part, files, Path(spill))


def _ranked(tables: Iterable[pa.Table], order: Indices) -> Iterator[pa.Table]:
    """The wanted rows of each table, with their place in the order."""
    schema = mixture_schema()
    by_row = np.argsort(order, kind="stable")
    rows = order[by_row]
    first = 0
    for table in tables:
        low, high = np.searchsorted(rows, [first, first + table.num_rows])
        chosen = table.take(pa.array(rows[low:high] - first)).select(schema.names).cast(schema)
        first += table.num_rows
        yield chosen.append_column(_RANK, pa.array(by_row[low:high]))


def _write_parts(
    folder: Path, ranked: Iterable[pa.Table], parts: range, size: int, files: int, spill: Path
) -> None:
    """The parts of this range, whose rows `ranked` gives in any order."""
    schema = mixture_schema()
    if len(parts) == 1:
        empty = schema.append(pa.field(_RANK, pa.int64())).empty_table()
        table = pa.concat_tables([empty, *ranked]).sort_by(_RANK).select(schema.names)
        write_parquet(folder / f"part-{parts[0]:05d}.parquet", table.combine_chunks())
        return
    step = -(-len(parts) // files)
    pieces = [parts[start : start + step] for start in range(0, len(parts), step)]
    paths = [spill / f"{piece.start}-{piece.stop}.parquet" for piece in pieces]
    writers = [
        pq.ParquetWriter(path, schema.append(pa.field(_RANK, pa.int64())), compression="zstd")
        for path in paths
    ]
    for table in _blocks(ranked):
        part = table[_RANK].to_numpy() // size - parts.start
        for number in np.unique(part // step).tolist():
            writers[number].write_table(table.filter(pa.array(part // step == number)))
    for writer in writers:
        writer.close()
    for piece, path in zip(pieces, paths, strict=True):
        _write_parts(folder, _row_groups(path), piece, size, files, spill)
        path.unlink()


def _blocks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables joined up to 64 MiB: a row group of a few rows costs as much as one of many."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size >= _BLOCK_BYTES:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)


def _row_groups(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def leaking(
    texts: Callable[[], Iterable[pa.ChunkedArray]],
    heldout: npt.NDArray[np.bool_],
    *,
    n: int = 8,
    share: float = 0.5,
    most: int = MOST_GRAMS,
) -> npt.NDArray[np.bool_]:
    """Documents outside the held-out split that hold at least `share` of a held-out text's n-grams.

    Near-duplicate groups miss a page that quotes another whole among much else: its Jaccard
    similarity is low. texts: called twice, each time the texts of every part in row order. most:
    n-grams of held-out texts that are held; where there are more, those with the smallest hashes
    stand for all, a half, a quarter and so on, and the share is an estimate by them (Broder 1997).
    """
    sets: list[tuple[Hashes, Offsets]] = []
    first, held, limit = 0, 0, ALL_HASHES
    for part in texts():
        rows = np.flatnonzero(heldout[first : first + len(part)])
        sets.append(_below(shingle_sets(part.take(pa.array(rows)), n), limit))
        held += len(sets[-1][0])
        first += len(part)
        while held > most:
            limit = np.uint64(limit >> np.uint64(1))
            sets = [_below(one, limit) for one in sets]
            held = sum(len(hashes) for hashes, _ in sets)
    index = Postings.build(sets)
    sets.clear()
    leak = np.zeros(len(heldout), np.bool_)
    first = 0
    for part in texts():
        rows = np.flatnonzero(~heldout[first : first + len(part)])
        grams = _below(shingle_sets(part.take(pa.array(rows)), n), limit)
        document, owner, shared = index.shared(*grams)
        found = shared >= share * index.sizes[owner]
        leak[first + rows[document[found]]] = True
        first += len(part)
    return leak


def _below(sets: tuple[Hashes, Offsets], limit: np.uint64) -> tuple[Hashes, Offsets]:
    """The hashes of each text that are not above the limit."""
    hashes, starts = sets
    if limit == ALL_HASHES:
        return sets
    kept = hashes <= limit
    before = np.zeros(len(hashes) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    return hashes[kept], before[starts]
