"""The index of bands on disk: written part by part, read band by band.

One file per band with the 32-bit keys of all documents in order, little-endian. Parts are added at
the end of every file, so the memory of writing is that of a part and the memory of reading that of
a band, however many documents there are. Scratch of one run: nothing here outlives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gristmill.data.dedup.lsh import Keys
from gristmill.data.ngrams import Hashes, Offsets


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

    def part(self, first: int, count: int) -> Keys:
        """The keys of `count` documents from `first` on: uint32[bands, count]."""
        columns = [np.fromfile(file, "<u4", count, offset=4 * first) for file in self._files]
        return np.stack(columns)


class SpilledSets:
    """Shingle sets of texts on disk, read through a memory map: pages of it that are not at hand
    cost no memory."""

    def __init__(self, file: Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        file.write_bytes(b"")
        self._lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]

    def append(self, hashes: Hashes, starts: Offsets) -> None:
        """`shingle_sets` of the texts that come next."""
        with open(self._file, "ab") as out:
            out.write(np.ascontiguousarray(hashes, "<u8").data)
        self._lengths.append(np.diff(starts))

    def sets(self) -> tuple[Hashes, Offsets]:
        """All of them as one `shingle_sets`."""
        starts = np.cumsum(np.concatenate(self._lengths))
        if starts[-1] == 0:
            return np.zeros(0, np.uint64), starts
        return np.memmap(self._file, "<u8", "r+").view(np.ndarray), starts
