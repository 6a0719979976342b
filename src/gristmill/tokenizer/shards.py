"""Token shards on disk: written part by part, read as one long row of ids.

`tokens.json` names the splits, their shards and sizes; `SPLIT/shard-NNNNN.bin` holds ids,
little-endian, each document followed by the end-of-text id; `SPLIT/documents.parquet` says where
each document lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import DamagedArtifact, GristmillError

INDEX = "tokens.json"
DOCUMENTS = "documents.parquet"

_COLUMNS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest of uint16 and uint32 that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(frozen=True)
class TokenShards:
    """One split of a tokens artifact, memory-mapped. Survives the way into a worker process."""

    folder: Path
    split: str
    vocab_size: int
    eot_id: int
    dtype: np.dtype[Any]
    total_tokens: int
    total_documents: int
    total_bytes: int
    """UTF-8 bytes of the texts: what bits per byte divides by."""
    shards: tuple[tuple[str, int], ...]
    """File below `folder` and its tokens."""

    @classmethod
    def open(cls, folder: Path | str, split: str) -> TokenShards:
        """Raises GristmillError for an unknown split, DamagedArtifact for a file of wrong size."""
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise GristmillError("no token shards here", where=folder, mend="run tokenizer encode")
        index = read_json(folder / INDEX)
        if split not in index["splits"]:
            raise GristmillError(
                f"there is no split '{split}'",
                where=folder,
                mend=f"it has {', '.join(sorted(index['splits']))}",
            )
        entry = index["splits"][split]
        dtype = np.dtype(index["dtype"]).newbyteorder("<")
        for shard in entry["shards"]:
            path = folder / shard["file"]
            if not path.is_file() or path.stat().st_size != shard["tokens"] * dtype.itemsize:
                raise DamagedArtifact(f"does not hold {shard['tokens']} tokens", where=path)
        return cls(
            folder=folder,
            split=split,
            vocab_size=index["vocab_size"],
            eot_id=index["eot_id"],
            dtype=dtype,
            total_tokens=entry["tokens"],
            total_documents=entry["documents"],
            total_bytes=entry["bytes"],
            shards=tuple((shard["file"], shard["tokens"]) for shard in entry["shards"]),
        )

    def __reduce__(self) -> tuple[object, ...]:
        # A memory map that is pickled becomes a copy of the file.
        return (TokenShards.open, (self.folder, self.split))

    def __len__(self) -> int:
        return self.total_tokens

    def tokens(
        self, start: int, length: int, dtype: npt.DTypeLike = np.int64
    ) -> npt.NDArray[np.integer]:
        """Ids `start` to `start + length` of the split, across shard borders; shape (length,).

        Raises IndexError where that reaches out of the split.
        """
        if start < 0 or length < 0 or start + length > self.total_tokens:
            raise IndexError(f"tokens {start} to {start + length} of {self.total_tokens}")
        out = np.empty(length, dtype=dtype)
        maps, starts = self._maps
        done = 0
        shard = int(np.searchsorted(starts, start, side="right")) - 1
        while done < length:
            offset = start + done - int(starts[shard])
            piece = maps[shard][offset : offset + length - done]
            out[done : done + len(piece)] = piece
            done += len(piece)
            shard += 1
        return out

    def gather(self, starts: Sequence[int] | npt.NDArray[np.integer], length: int) -> Any:
        """Rows of ids, int64 of shape (len(starts), length)."""
        rows = np.empty((len(starts), length), dtype=np.int64)
        for row, start in enumerate(starts):
            rows[row] = self.tokens(int(start), length)
        return rows

    @cached_property
    def documents(self) -> pa.Table:
        """id, url, host, domain, start, tokens (with end of text), bytes; one row a document."""
        return pq.read_table(self.folder / self.split / DOCUMENTS)

    @cached_property
    def document_starts(self) -> npt.NDArray[np.int64]:
        """Where each document begins, int64 (documents,), without reading the other columns."""
        table = pq.read_table(self.folder / self.split / DOCUMENTS, columns=["start"])
        starts: npt.NDArray[np.int64] = table["start"].to_numpy()
        return starts

    @cached_property
    def _maps(self) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int64]]:
        filled = [(name, tokens) for name, tokens in self.shards if tokens]
        maps = [np.memmap(self.folder / name, dtype=self.dtype, mode="r") for name, _ in filled]
        starts = np.cumsum([0, *(tokens for _, tokens in filled)], dtype=np.int64)[:-1]
        return [np.asarray(m) for m in maps], starts


class ShardFile:
    """One shard while it is written, with the sizes of its documents."""

    def __init__(self, path: Path, dtype: np.dtype[Any], eot_id: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115, closed by __exit__
        self._dtype = dtype
        self._eot = np.array([eot_id], dtype=dtype).tobytes()
        self.tokens: list[int] = []

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, ids: npt.NDArray[np.integer]) -> None:
        """Adds a document and its end of text."""
        self._file.write(ids.astype(self._dtype).tobytes())
        self._file.write(self._eot)
        self.tokens.append(len(ids) + 1)

    def extend(self, ids: npt.NDArray[np.integer], tokens: npt.NDArray[np.integer]) -> None:
        """Adds documents whose ids, each one's end of text with them, lie one after the other;
        tokens: how many are each one's."""
        # Ids are never negative, so as wide ones have the same bits.
        same = self._dtype == np.dtype(np.uint32) and ids.dtype == np.int32
        self._file.write(ids.data if same else ids.astype(self._dtype).data)
        self.tokens += tokens.tolist()


class SplitIndex:
    """The document table and the list of shards of one split, filled in shard order."""

    def __init__(self, folder: Path, split: str):
        self._folder, self._split = folder, split
        (folder / split).mkdir(parents=True, exist_ok=True)
        # Ids, addresses and sizes are different for each document: a dictionary of them is made
        # for nothing, and the file is a third larger with it.
        self._writer = pq.ParquetWriter(
            folder / split / DOCUMENTS,
            _COLUMNS,
            compression="zstd",
            compression_level=3,
            use_dictionary=["host", "domain"],
        )
        self._shards: list[dict[str, Any]] = []
        self._tokens = self._documents = self._bytes = 0

    def add(self, file: str, documents: pa.Table) -> None:
        """Takes the next shard: its file below the folder, and id, url, host, domain, tokens and
        bytes of its documents."""
        tokens = documents["tokens"].to_numpy().astype(np.int64)
        ends = self._tokens + np.cumsum(tokens)
        table = documents.append_column("start", pa.array(ends - tokens, pa.int64()))
        if table.num_rows:
            self._writer.write_table(table.select(_COLUMNS.names).cast(_COLUMNS))
        shard_tokens = int(tokens.sum())
        self._shards.append({"file": file, "tokens": shard_tokens})
        self._tokens += shard_tokens
        self._documents += documents.num_rows
        self._bytes += int(documents["bytes"].to_numpy().sum())

    def close(self) -> dict[str, Any]:
        """The split's entry of `tokens.json`."""
        self._writer.close()
        return {
            "shards": self._shards,
            "tokens": self._tokens,
            "documents": self._documents,
            "bytes": self._bytes,
        }


def write_index(
    folder: Path, vocab_size: int, eot_id: int, splits: dict[str, dict[str, Any]]
) -> None:
    """Writes `tokens.json`; the last file of a tokens artifact."""
    dtype = "uint16" if token_dtype(vocab_size).itemsize == 2 else "uint32"
    index = {"dtype": dtype, "vocab_size": vocab_size, "eot_id": eot_id, "splits": splits}
    write_json(folder / INDEX, index)
