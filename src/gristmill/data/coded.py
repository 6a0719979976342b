"""Columns of strings without a Python object for each: what a mixture of millions is planned in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.core.seeds import derive_seed

_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Coded(Sequence[str]):
    """names: the strings. codes: int32 (n,), which of them stands in each row; None where every
    row has its own, in order."""

    names: pa.LargeStringArray
    codes: npt.NDArray[np.int32] | None = None

    @classmethod
    def of(cls, values: Sequence[str] | pa.Array | pa.ChunkedArray) -> Coded:
        """Each distinct string once, in the order in which they come first."""
        found = _array(values).dictionary_encode()
        return cls(found.dictionary, found.indices.to_numpy())

    @classmethod
    def distinct(cls, values: Sequence[str] | pa.Array | pa.ChunkedArray) -> Coded:
        """Of strings that are hardly ever the same: as they are."""
        return cls(_array(values))

    def __len__(self) -> int:
        return len(self.names) if self.codes is None else len(self.codes)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return self.take(np.arange(len(self))[row]).to_pylist()
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row = int(row) % len(self)
        return self.names[row if self.codes is None else int(self.codes[row])].as_py()

    def __iter__(self) -> Iterator[str]:
        blocks = range(0, len(self), _AT_ONCE)
        return chain.from_iterable(self[start : start + _AT_ONCE] for start in blocks)

    def take(self, rows: npt.NDArray[np.integer]) -> pa.LargeStringArray:
        """The strings of these rows."""
        return self.names.take(pa.array(rows if self.codes is None else self.codes[rows]))

    def among(self, wanted: Collection[str]) -> npt.NDArray[np.bool_]:
        """The rows whose string is one of these."""
        import pyarrow.compute as pc

        values = pa.array(sorted(wanted), self.names.type)
        found = pc.is_in(self.names, value_set=values).to_numpy(zero_copy_only=False)
        there: npt.NDArray[np.bool_] = found if self.codes is None else found[self.codes]
        return there

    def counts(self, rows: npt.NDArray[np.integer]) -> dict[str, int]:
        """How many of these rows each string has; strings that have none are left out."""
        codes = rows if self.codes is None else self.codes[rows]
        found = np.bincount(codes, minlength=len(self.names))
        there = np.flatnonzero(found)
        names = self.names.take(pa.array(there)).to_pylist()
        return dict(zip(names, found[there].tolist(), strict=True))

    def keys(
        self, seed: int, purpose: str, rows: npt.NDArray[np.integer] | None = None
    ) -> npt.NDArray[np.uint64]:
        """`derive_seed(seed, purpose, string)` of each of `names`, or of these rows."""
        count = len(self.names) if rows is None else len(rows)
        out = np.empty(count, np.uint64)
        for start in range(0, count, _AT_ONCE):
            stop = min(count, start + _AT_ONCE)
            some = self.names[start:stop] if rows is None else self.take(rows[start:stop])
            out[start:stop] = [derive_seed(seed, purpose, name) for name in some.to_pylist()]
        return out


def unit(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """63-bit keys as uniform numbers in [0, 1)."""
    return keys.astype(np.float64) / float(1 << 63)


def _array(values: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array):
        values = pa.array(values, pa.large_string())
    return values.cast(pa.large_string())
