"""A mixture's files: documents in their final order, in memory bounded by one output part.

Documents come in the order of the input's parts and leave in that of the shuffle. Each input part
is cut by the output parts to which its documents belong and spilled; then each output part is
sorted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.records import mixture_schema
from gristmill.data.dedup.minhash import shingle_sets
from gristmill.data.documents import write_parquet
from gristmill.data.postings import Postings

Indices = npt.NDArray[np.int64]

DOCUMENTS_PER_PART = 50_000
_RANK = "rank"


def write_split(
    folder: Path,
    tables: Iterable[pa.Table],
    order: Indices,
    *,
    documents_per_part: int = DOCUMENTS_PER_PART,
) -> None:
    """Writes `part-NNNNN.parquet` below `folder`: the rows of all tables in the order `order`.

    tables: with the columns of `mixture_schema`, in the order in which rows are numbered. order:
    the row numbers that are wanted. An empty split is one empty part.
    """
    schema = mixture_schema()
    parts = max(1, -(-len(order) // documents_per_part))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as spill:
        spilled = [Path(spill) / f"{part}.parquet" for part in range(parts)]
        with_rank = schema.append(pa.field(_RANK, pa.int64()))
        writers = [pq.ParquetWriter(path, with_rank, compression="zstd") for path in spilled]
        by_row = np.argsort(order, kind="stable")
        rows = order[by_row]
        first = 0
        for table in tables:
            low, high = np.searchsorted(rows, [first, first + table.num_rows])
            ranks = by_row[low:high]
            for part in np.unique(ranks // documents_per_part).tolist():
                here = ranks // documents_per_part == part
                chosen = table.take(pa.array(rows[low:high][here] - first))
                chosen = chosen.select(schema.names).cast(schema)
                writers[part].write_table(chosen.append_column(_RANK, pa.array(ranks[here])))
            first += table.num_rows
        for writer in writers:
            writer.close()
        for part, path in enumerate(spilled):
            table = pq.read_table(path).sort_by(_RANK).select(schema.names)
            write_parquet(folder / f"part-{part:05d}.parquet", table.combine_chunks())


def leaking(
    texts: Callable[[], Iterable[pa.ChunkedArray]],
    heldout: npt.NDArray[np.bool_],
    *,
    n: int = 8,
    share: float = 0.5,
) -> npt.NDArray[np.bool_]:
    """Documents outside the held-out split that hold at least `share` of a held-out text's n-grams.

    Near-duplicate groups miss a page that quotes another whole among much else: its Jaccard
    similarity is low. texts: called twice, each time the texts of every part in row order.
    """
    sets = []
    first = 0
    for part in texts():
        rows = np.flatnonzero(heldout[first : first + len(part)])
        sets.append(shingle_sets(part.take(pa.array(rows)), n))
        first += len(part)
    index = Postings.build(sets)
    leak = np.zeros(len(heldout), np.bool_)
    first = 0
    for part in texts():
        rows = np.flatnonzero(~heldout[first : first + len(part)])
        document, owner, shared = index.shared(*shingle_sets(part.take(pa.array(rows)), n))
        found = shared >= share * index.sizes[owner]
        leak[first + rows[document[found]]] = True
        first += len(part)
    return leak
