"""A number of each document on disk, written part by part: what deduplication knows of documents
whose texts are not in memory, and groups of those with equal numbers.

Scratch of one run. What is read is a copy: maps are let go at once, so memory is what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

PIECE = 1 << 19
"""Documents that are grouped at once, about 70 bytes each."""
_CHUNK = 1 << 20
_HALF = np.uint64(32)


class Column:
    """One value a document, in order."""

    def __init__(self, file: Path, dtype: npt.DTypeLike):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
        self._file, self._dtype = file, np.dtype(dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        return self._count * self._dtype.itemsize

    def append(self, values: Array) -> None:
        """The documents that come next."""
        with open(self._file, "ab") as out:
            out.write(np.ascontiguousarray(values, self._dtype).data)
        self._count += len(values)

    def read(self, first: int = 0, count: int = -1) -> Array:
        """The values of `count` documents from `first` on; all from there for -1."""
        return np.fromfile(self._file, self._dtype, count, offset=first * self._dtype.itemsize)

    def write(self, first: int, values: Array) -> None:
        """Other values for the documents from `first` on."""
        with open(self._file, "r+b") as out:
            out.seek(first * self._dtype.itemsize)
            out.write(np.ascontiguousarray(values, self._dtype).data)

    def map(self) -> Array:
        """All values through a map, for a kernel; let go of it soon."""
        if not self._count:
            return np.zeros(0, self._dtype)
        return np.memmap(self._file, self._dtype, "r+").view(np.ndarray)

    def between(self, low: int, high: int) -> tuple[int, int]:
        """Where the values from `low` to below `high` stand, of ascending ones."""
        first, last = np.searchsorted(self.map(), (low, high))
        return int(first), int(last)

    def take(self, rows: Rows) -> Array:
        """The values of some documents."""
        if not len(rows):
            return np.zeros(0, self._dtype)
        found: Array = self.map()[rows]
        return found


def groups_of(
    keys: Sequence[Column], ids: Column, skip: Flags | None = None, piece: int = PIECE
) -> Rows:
    """For each document the one of the smallest id among those with equal keys: int64[documents].

    By the id, because the place of a document is an accident of how files were cut. keys: the first
    is well mixed, uint64. skip: documents that are in no group but their own.
    Worked off by ranges of the first key: the memory is that of the result and of `piece`.
    """
    total = len(ids)
    found = np.arange(total, dtype=np.int64)
    pieces = max(1, -(-total // piece))
    for number in range(pieces):
        rows, columns = _piece([*keys, ids], skip, number, pieces)
        order = np.lexsort((rows, columns[-1], *reversed(columns[:-1])))
        first = np.zeros(len(rows), np.bool_)
        first[:1] = True
        for column in columns[:-1]:
            first[1:] |= column[order[1:]] != column[order[:-1]]
        leader = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
        found[rows[order]] = rows[order[leader]]
    return found


def _piece(
    columns: Sequence[Column], skip: Flags | None, number: int, pieces: int
) -> tuple[Rows, list[Array]]:
    """Rows whose first value is in the range `number` of `pieces`, with their values."""
    rows: list[Rows] = [np.zeros(0, np.int64)]
    values: list[list[Array]] = [[] for _ in columns]
    for first, chunk in _chunks(columns):
        here = (chunk[0] >> _HALF) * np.uint64(pieces) >> _HALF == number
        if skip is not None:
            here &= ~skip[first : first + len(here)]
        place = np.flatnonzero(here)
        rows.append(first + place)
        for one, column in zip(values, chunk, strict=True):
            one.append(column[place])
    empty = [np.zeros(0, np.uint64)]
    return np.concatenate(rows), [np.concatenate(one or empty) for one in values]


def _chunks(columns: Sequence[Column]) -> Iterator[tuple[int, list[Array]]]:
    for first in range(0, len(columns[0]), _CHUNK):
        count = min(_CHUNK, len(columns[0]) - first)
        yield first, [column.read(first, count) for column in columns]
