"""Global steps: rows of all parts, brought together by a number, on any engine.

Counting by key, taking the first of equal documents, sorting and shuffling are one thing: each part
is spread over partitions, and each partition gathers its rows from all parts. Which rows meet, and
in which order, is said by the rows themselves, never by the engine or by who was first:

    spread   a part's name -> a table with a column `partition`, in [0, partitions)
    gather   a partition's number and all its rows, sorted by `order` -> writes, and tells

`LocalEngine` spills a part's rows to one file and lets a partition read its piece of each; the Ray
engine leaves all of it to Ray Data, whose shuffle spills to the disks of its nodes. What a process
holds is one part, or one partition: choose `partitions` so that one fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

P = TypeVar("P")

PARTITION = "partition"


@dataclass(frozen=True)
class Exchange(Generic[P]):
    """What is brought together. `spread` and `gather` are importable and picklable, as for
    `map_parts`; gather's files are the same bytes each time it is called.

    schema: of the rows, without `partition`. order: columns by which a partition's rows are sorted,
    ascending; rows that are equal in all of them must be equal in the others too, or alike for
    `gather`, since nothing else orders them.
    """

    spread: Callable[[P], pa.Table]
    gather: Callable[[int, pa.Table], Any]
    schema: pa.Schema
    partitions: int
    order: tuple[str, ...]

    def spread_part(self, part: P) -> pa.Table:
        """The rows of a part, with their partition as int32; checks what `spread` returned."""
        rows = self.spread(part)
        number = rows[PARTITION].combine_chunks().cast(pa.int32())
        if len(rows):
            bounds = pc.min_max(number).as_py()
            assert bounds["min"] >= 0 and bounds["max"] < self.partitions, bounds
        return rows.select(self.schema.names).cast(self.schema).append_column(PARTITION, number)

    def gather_rows(self, partition: int, rows: pa.Table) -> Any:
        """What `gather` tells of the rows of a partition, which come in any order and pieces."""
        rows = rows.select(self.schema.names).cast(self.schema)
        keys = [(name, "ascending") for name in self.order]
        rows = rows.take(pc.sort_indices(rows, sort_keys=keys)).combine_chunks()
        return self.gather(partition, rows)


def partition_of(hashes: npt.NDArray[np.uint64], partitions: int) -> npt.NDArray[np.int32]:
    """The partition of each 64-bit hash: by its highest bits, so that partitions in their order
    hold hashes in theirs."""
    high = (hashes >> np.uint64(32)).astype(np.uint64)
    return ((high * np.uint64(partitions)) >> np.uint64(32)).astype(np.int32)
