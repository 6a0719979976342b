"""The index of bands on disk, written part by part and read band by band, and what is made of it:
candidate pairs, and the shingles by which they are compared.

One file per band with the 32-bit keys of all documents in order, little-endian. Parts are added at
the end of every file, so the memory of writing is that of a part and the memory of reading that of
a band, however many documents there are. Scratch of one run: nothing here outlives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.lsh import Keys, Packed, Pairs, distinct
from gristmill.data.dedup.minhash import jaccard
from gristmill.data.ngrams import Hashes, Offsets

SHINGLES_HELD = 1 << 22
"""Shingles of candidates that are compared at once: 34 MB."""
RANGE = 1 << 16
"""Documents whose pairs are sorted at once."""
_HALF = np.uint64(32)


class BandIndex:
    """Keys of all documents, by band, below an empty folder."""

    def __init__(self, folder: Path, bands: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / f"band-{band:03d}" for band in range(bands)]
        for file in self._files:
            file.write_bytes(b"")
        self.bands = bands
        self.documents = 0

    @property
    def bytes(self) -> int:
        """What the index takes on disk."""
        return sum(file.stat().st_size for file in self._files)

    def append(self, keys: Keys) -> None:
        """The documents that come next. keys: uint32[bands, documents]."""
        assert len(keys) == len(self._files)
        for file, column in zip(self._files, keys, strict=True):
            with open(file, "ab") as out:
                out.write(np.ascontiguousarray(column, "<u4").data)
        self.documents += keys.shape[1]

    def __iter__(self) -> Iterator[Keys]:
        """The keys of each band: uint32[documents]."""
        for file in self._files:
            yield np.fromfile(file, "<u4")

    def __len__(self) -> int:
        return self.bands

    def __getitem__(self, band: int) -> Keys:
        """The keys of a band: uint32[documents]."""
        return np.fromfile(self._files[band], "<u4")

    def part(self, first: int, count: int) -> Keys:
        """The keys of `count` documents from `first` on: uint32[bands, count]."""
        columns = [np.fromfile(file, "<u4", count, offset=4 * first) for file in self._files]
        return np.stack(columns)


class SpilledPairs:
    """Pairs of documents on disk, in files by the smaller one, so that a pair that is found in many
    bands can be given out once and what is in memory is one file."""

    def __init__(self, folder: Path, documents: int, width: int | None = None):
        """width: documents whose pairs stand in one file, by default `RANGE`."""
        width = width or RANGE
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / f"pairs-{number:04d}" for number in range(documents // width + 1)]
        for file in self._files:
            file.write_bytes(b"")
        self._tops = np.arange(1, len(self._files), dtype=np.uint64) * np.uint64(width) << _HALF

    def append(self, packed: Packed) -> None:
        """More pairs, smaller << 32 | larger, in any order."""
        packed = distinct(packed)
        bounds = [0, *np.searchsorted(packed, self._tops).tolist(), len(packed)]
        for file, low, high in zip(self._files, bounds[:-1], bounds[1:], strict=True):
            if high > low:
                with open(file, "ab") as out:
                    out.write(packed[low:high].astype("<u8", copy=False).data)

    def __iter__(self) -> Iterator[Packed]:
        """Each pair once, ascending, a file at a time; the files are removed."""
        for file in self._files:
            yield distinct(np.fromfile(file, "<u8"))
            file.unlink()


class SpilledSets:
    """Shingle sets of texts on disk. What is compared is mapped a piece at a time: pages of the map
    that were read count as memory until it is let go."""

    def __init__(self, file: Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        file.write_bytes(b"")
        self._lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]

    def append(self, hashes: Hashes, starts: Offsets) -> None:
        """`shingle_sets` of the texts that come next; before any is compared."""
        with open(self._file, "ab") as out:
            out.write(np.ascontiguousarray(hashes, "<u8").data)
        self._lengths.append(np.diff(starts))

    @cached_property
    def _starts(self) -> Offsets:
        starts = np.cumsum(np.concatenate(self._lengths))
        self._lengths.clear()
        return starts

    def jaccard(self, pairs: Pairs, held: int = SHINGLES_HELD) -> npt.NDArray[np.float64]:
        """`minhash.jaccard` of pairs of these texts, about `held` shingles at a time."""
        starts = self._starts
        found = np.zeros(len(pairs))
        if not len(pairs) or starts[-1] == 0:
            return found
        sizes = (starts[pairs + 1] - starts[pairs]).sum(axis=1)
        piece = (np.cumsum(sizes) - 1) // held
        bounds = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(pairs)]
        for low, high in pairwise(bounds):
            sets = np.memmap(self._file, "<u8", "r+").view(np.ndarray)
            found[low:high] = jaccard(sets, starts, pairs[low:high])
            del sets
        return found
