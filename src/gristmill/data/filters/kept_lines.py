"""The texts of a batch: as strings only where one is looked at, and those that C4 makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.data.filters.bare_lines import cut_citations
from gristmill.data.ngrams import Bytes, Offsets, text_buffer
from gristmill.tokenizer.eight_bytes import kernel


class LazyTexts(Sequence[str]):
    """An Arrow array of strings as a sequence, each text decoded when it is asked for."""

    def __init__(self, array: pa.Array):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            found: list[str] = self.array[row].to_pylist()
            return found
        text: str = self.array[row].as_py()
        return text


@dataclass(frozen=True)
class KeptLines:
    """The lines of each text that C4 keeps: rows starts[d] to starts[d + 1] of `places`, int64
    [lines, 3]: first byte and end in `data`, and whether a blank line stands before it."""

    data: Bytes
    places: npt.NDArray[np.int64]
    starts: Offsets

    def texts(self, rows: npt.NDArray[np.int64]) -> pa.Array:
        """What they make together, for some of the texts."""
        sizes = self.places[:, 1] - self.places[:, 0] + self.places[:, 2] + 1
        ends = np.concatenate([[0], np.cumsum(sizes)])
        # The line feeds before the first line of a text are room that stays empty.
        room = int((ends[self.starts[rows + 1]] - ends[self.starts[rows]]).sum())
        out, offsets = np.empty(room, np.uint8), np.zeros(len(rows) + 1, np.int32)
        _join(self.data, self.places, self.starts, rows, out, offsets)
        return pa.StringArray.from_buffers(
            len(rows), pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]])
        )


@kernel
def _join(data, places, starts, rows, out, offsets):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(len(rows)):
        begin = starts[rows[i]]
        for line in range(begin, starts[rows[i] + 1]):
            if line > begin:
                out[at] = 10
                at += 1
                if places[line, 2]:
                    out[at] = 10
                    at += 1
            first, size = places[line, 0], places[line, 1] - places[line, 0]
            for k in range(size):
                out[at + k] = data[first + k]
            at += size
        offsets[i + 1] = at


def without_citations(texts: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """Some of the texts without '[1]', '[]', '[edit]' and '[citation needed]'."""
    if not len(rows):
        return pa.array([], pa.string())
    data, starts = text_buffer(texts.take(pa.array(rows)))
    out, offsets = np.empty(int(starts[-1] - starts[0]), np.uint8), np.zeros(len(starts), np.int32)
    _cut(data, starts, out, offsets)
    return pa.StringArray.from_buffers(
        len(rows), pa.py_buffer(offsets), pa.py_buffer(out[: offsets[-1]])
    )


@kernel
def _cut(data, starts, out, offsets):  # type: ignore[no-untyped-def]
    at = starts[0] - starts[0]
    for document in range(len(starts) - 1):
        at = cut_citations(data, starts[document], starts[document + 1], out, at)
        offsets[document + 1] = at
