"""A mixture's files: documents in their final order, each output part from all parts of the input.

The order is an exchange (`engine.exchange`): an input part is read once, its documents go to the
output parts that they are to stand in, and an output part is sorted by their ranks. What was
decided of a document (domain, weight, rank) comes from a file for each input part, so that what a
worker is sent is two names. Memory is bounded by a part, and no engine changes a byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.records import mixture_schema
from gristmill.data.documents import DocumentSet, write_parquet
from gristmill.data.engine.exchange import PARTITION, Exchange
from gristmill.data.engine.map_parts import workers_worth
from gristmill.data.engine.steps import Engine
from gristmill.data.journal import PartJournal

Indices = npt.NDArray[np.int64]
K = TypeVar("K")

DOCUMENTS_PER_PART = 50_000
_ROW, _RANK = "row", "rank"


@dataclass(frozen=True)
class MixtureInputs:
    """What a mixture is made of. documents: one set after the other, part by part."""

    documents: Sequence[DocumentSet]

    def counts(self) -> list[tuple[tuple[int, str], int]]:
        """Every part, with how many documents of it are kept."""
        return [
            ((number, part), len(one.kept_rows(part)))
            for number, one in enumerate(self.documents)
            for part in one.parts
        ]

    def __call__(self, key: tuple[int, str]) -> pa.Table:
        """The kept documents of a part, with the columns that a mixture takes over."""
        number, part = key
        return self.documents[number].read(part, list(_TAKEN_OVER))


_TAKEN_OVER = ("id", "url", "host", "title", "description", "topic", "text")


def write_splits(
    engine: Engine,
    journal: PartJournal,
    table_of: Callable[[K], pa.Table],
    counts: Sequence[tuple[K, int]],
    orders: Mapping[str, Indices],
    decided: Callable[[Indices], pa.Table],
    *,
    documents_per_part: int = DOCUMENTS_PER_PART,
    text_bytes: int = 0,
) -> Iterator[int]:
    """Writes `SPLIT/part-NNNNN.parquet` into the journal; yields how many parts there are, each
    time that one is whole. Those that the journal has are not made again.

    table_of: importable and picklable; the table of an input part. counts: every input part with
    the rows of its table. orders: of each split the wanted rows, numbered over all tables, in their
    final order; no row is in two. decided: columns of these rows, by number, that the tables lack.
    text_bytes: about so much text there is, which says how many workers are worth their start. An
    empty split is one empty part.
    """
    places = _Places([], [], [], [])
    for split, order in orders.items():
        places.add(split, order, documents_per_part)
    names = places.names
    done = len(set(names) & set(journal.parts))
    folder = journal.folder.resolve()
    scratch = folder / "planned"
    yield from [len(names)] * done
    if done < len(names):
        exchange = Exchange(
            partial(_ranked, table_of),
            partial(_write, folder, names, done),
            mixture_schema().append(pa.field(_RANK, pa.int64())),
            len(names),
            (_RANK,),
        )
        told = engine.exchange(
            exchange,
            _plan(scratch, counts, places, done, decided),
            folder / "spilled",
            isolate=False,
            most_workers=workers_worth(text_bytes),
        )
        for number, file in enumerate(told):
            if number >= done:
                journal.end(names[number], [file])
                yield len(names)
    shutil.rmtree(scratch, ignore_errors=True)


@dataclass
class _Places:
    """Where documents are to stand: the row, the rank in its split and the output part of each."""

    rows: list[Indices]
    ranks: list[Indices]
    outputs: list[Indices]
    names: list[str]

    def add(self, split: str, order: Indices, size: int) -> None:
        """Another split, whose parts follow those that there are."""
        ranks = np.arange(len(order))
        self.rows.append(order)
        self.ranks.append(ranks)
        self.outputs.append(len(self.names) + ranks // size)
        parts = max(1, -(-len(order) // size))
        self.names += [f"{split}/part-{number:05d}" for number in range(parts)]


@dataclass(frozen=True)
class _Planned:
    """An input part and the file that says which of its documents are wanted, and where."""

    key: Any
    file: Path


def _plan(
    scratch: Path,
    counts: Sequence[tuple[Any, int]],
    places: _Places,
    done: int,
    decided: Callable[[Indices], pa.Table],
) -> Iterator[_Planned]:
    """A file for each input part of which something is wanted in a part that is not done."""
    rows, ranks, outputs = (
        np.concatenate(column) for column in (places.rows, places.ranks, places.outputs)
    )
    by_row = np.argsort(rows, kind="stable")
    by_row = by_row[outputs[by_row] >= done]
    rows = rows[by_row]
    first = 0
    for number, (key, count) in enumerate(counts):
        low, high = np.searchsorted(rows, [first, first + count])
        if low < high:
            here = by_row[low:high]
            table = decided(rows[low:high])
            table = table.append_column(_ROW, pa.array(rows[low:high] - first))
            table = table.append_column(_RANK, pa.array(ranks[here]))
            table = table.append_column(PARTITION, pa.array(outputs[here]))
            file = scratch / f"{number:06d}.parquet"
            write_parquet(file, table)
            yield _Planned(key, file)
        first += count


def _ranked(table_of: Callable[[Any], pa.Table], part: _Planned) -> pa.Table:
    """The wanted documents of a part, with what was decided of them."""
    with pq.ParquetFile(part.file) as file:
        found = file.read()
    table = table_of(part.key).take(found[_ROW])
    for name in found.column_names:
        if name != _ROW:
            table = table.append_column(name, found[name])
    return table


def _write(folder: Path, names: Sequence[str], done: int, partition: int, rows: pa.Table) -> str:
    file = f"{names[partition]}.parquet"
    if partition >= done:
        # Each tokenizer and each encoding reads all of it: lz4 takes half of zstd's time to read
        # and a third of its time to write, for 1.7 times the bytes.
        table = rows.select(mixture_schema().names).combine_chunks()
        write_parquet(folder / file, table, compression="lz4")
    return file
