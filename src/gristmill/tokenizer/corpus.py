"""A mixture's documents: their texts for training, their tokens for the trainer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress, Silent
from gristmill.tokenizer.shards import ShardFile, SplitIndex, token_dtype, write_index
from gristmill.tokenizer.tokenizer import Tokenizer

# Rows are read until their texts are about so many bytes: they stay in the cache until they are
# encoded, and memory does not grow with the documents.
_BATCH_BYTES = 1 << 20
_MOST_ROWS = 4096
_KEPT = ["id", "url", "host", "domain"]


def split_parts(mixture: Path, split: str) -> list[Path]:
    """The files of a split, in order; empty where the mixture has no such split."""
    return sorted((mixture / split).glob("part-*.parquet"))


def split_bytes(mixture: Path, split: str) -> int:
    """Bytes of the text column before compression, about; for progress."""
    total = 0
    for part in split_parts(mixture, split):
        metadata = pq.read_metadata(part)
        column = metadata.schema.names.index("text")
        for group in range(metadata.num_row_groups):
            total += metadata.row_group(group).column(column).total_uncompressed_size
    return total


def split_texts(mixture: Path, split: str, max_bytes: int | None = None) -> Iterator[str]:
    """The texts in their shuffled order, up to the one that reaches `max_bytes`."""
    for _, text in split_domain_texts(mixture, split, max_bytes):
        yield text


def split_domain_texts(
    mixture: Path, split: str, max_bytes: int | None = None
) -> Iterator[tuple[str, str]]:
    """(domain, text) in shuffled order, up to the one that reaches `max_bytes`."""
    seen = 0
    for part in split_parts(mixture, split):
        for batch in _batches(part, ["domain", "text"]):
            for domain, text in zip(
                batch["domain"].to_pylist(), batch["text"].to_pylist(), strict=True
            ):
                yield domain, text
                seen += len(text.encode("utf-8", "replace"))
                if max_bytes is not None and seen >= max_bytes:
                    return


@dataclass(frozen=True)
class _Job:
    """One shard to write: a part of the mixture in its n-th repetition."""

    part: Path
    split: str
    number: int
    repetition: int
    documents: int


def encode_mixture(
    mixture: Path,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    workers: int = 1,
    bar: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Writes the shards of `train`, `anneal` and `heldout` below `folder`; returns the splits.

    One shard for each part, so that parts are encoded in parallel and the bytes do not depend on
    `workers`. A document that is to be seen r times stands in the first r rounds over the parts:
    its copies lie far apart. `anneal` holds the training documents that are marked so, once.
    `bar` advances by documents. Memory is bounded by the batch and one part's document table.
    """
    bar = bar or Silent()
    jobs = _jobs(mixture)
    if not any(job.split == "train" for job in jobs):
        raise GristmillError("the mixture has no training documents", where=mixture)
    bar.total(sum(job.documents for job in jobs))
    indexes = {split: SplitIndex(folder, split) for split in ("train", "anneal", "heldout")}
    # Threads: the kernel and pyarrow work without the interpreter lock. Taken in order, a bounded
    # number ahead, so that tables of parts do not pile up.
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting = []
        for job in jobs:
            waiting.append(pool.submit(_encode_part, job, tokenizer, folder))
            if len(waiting) > max(1, workers):
                _enter(waiting.pop(0).result(), indexes, bar)
        for future in waiting:
            _enter(future.result(), indexes, bar)
    splits = {split: index.close() for split, index in indexes.items()}
    write_index(folder, tokenizer.vocab_size, tokenizer.eot_id, splits)
    return splits


def _jobs(mixture: Path) -> list[_Job]:
    """Shards in order: all parts in the first repetition, then those that go on into the second."""
    jobs = []
    for split in ("train", "heldout"):
        parts = split_parts(mixture, split)
        repeats = [_repeats(part, split) for part in parts]
        number = 0
        for repetition in range(max((int(r.max(initial=1)) for r in repeats), default=0)):
            for part, wanted in zip(parts, repeats, strict=True):
                documents = int(np.count_nonzero(wanted > repetition))
                if documents:
                    jobs.append(_Job(part, split, number, repetition, documents))
                    number += 1
    return jobs


def _repeats(part: Path, split: str) -> npt.NDArray[np.int32]:
    """How often each document of a part is seen; held-out ones once, whatever the column says."""
    with pq.ParquetFile(part) as file:
        repeats: npt.NDArray[np.int32] = file.read(["repeats"])["repeats"].to_numpy()
    return repeats if split == "train" else np.ones_like(repeats)


def _encode_part(job: _Job, tokenizer: Tokenizer, folder: Path) -> dict[str, tuple[str, pa.Table]]:
    """Writes the shard of a job, and its annealing shard; returns split to (file, documents)."""
    names = {job.split: f"{job.split}/shard-{job.number:05d}.bin"}
    if job.split == "train" and job.repetition == 0:
        names["anneal"] = f"anneal/shard-{job.number:05d}.bin"
    dtype = token_dtype(tokenizer.vocab_size)
    with ExitStack() as stack:
        shards = {
            split: stack.enter_context(ShardFile(folder / name, dtype, tokenizer.eot_id))
            for split, name in names.items()
        }
        file = stack.enter_context(pq.ParquetFile(job.part, buffer_size=_BATCH_BYTES))
        documents = file.read([*_KEPT, "repeats", "anneal"], use_threads=False)
        wanted = np.ones(documents.num_rows, dtype=bool)
        if job.split == "train":
            wanted = documents["repeats"].to_numpy() > job.repetition
        marked = documents["anneal"].to_numpy() & ("anneal" in names)
        sizes = np.zeros(documents.num_rows, dtype=np.int64)
        row = 0
        for batch in _text_batches(file):
            rows = slice(row, row + len(batch))
            row = rows.stop
            keep = wanted[rows]
            text, ends = _joined(batch if keep.all() else batch.filter(pa.array(keep)))
            sizes[rows][keep] = _sizes(ends)
            annealed = marked[rows][keep]
            first = 0
            for ids, id_ends in tokenizer.encode_stretches(text, ends, tokenizer.eot_id):
                tokens = _sizes(id_ends)
                shards[job.split].extend(ids, tokens)
                mask = annealed[first : first + tokens.size]
                if mask.any():
                    shards["anneal"].extend(ids[np.repeat(mask, tokens)], tokens[mask])
                first += tokens.size
    documents = documents.select(_KEPT).append_column("bytes", pa.array(sizes, pa.int64()))
    result = {}
    for split, name in names.items():
        rows_of = wanted & marked if split == "anneal" else wanted
        table = documents if rows_of.all() else documents.filter(pa.array(rows_of))
        tokens_of = pa.array(shards[split].tokens, pa.int32())
        result[split] = (name, table.append_column("tokens", tokens_of))
    return result


def _joined(column: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of strings, one text after the other, and where each ends; the column's own memory,
    of which no Python strings are made."""
    if len(column) == 0:
        return np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    first, last = int(places[0]), int(places[-1])
    text = np.frombuffer(data or b"", dtype=np.uint8)[first:last]
    return text, places[1:].astype(np.int64) - first


def _sizes(ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """From where each ends, the first beginning at 0, to how much each is."""
    sizes = ends.copy()
    sizes[1:] -= ends[:-1]
    return sizes


def _enter(
    done: dict[str, tuple[str, pa.Table]], indexes: dict[str, SplitIndex], bar: Progress
) -> None:
    for split, (name, table) in done.items():
        indexes[split].add(name, table)
        if split != "anneal":
            bar.advance(table.num_rows)


def _batches(part: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(part, buffer_size=_BATCH_BYTES) as file:
        yield from _file_batches(file, columns)


def _text_batches(file: pq.ParquetFile) -> Iterator[pa.StringArray]:
    for batch in _file_batches(file, ["text"]):
        yield batch["text"]


def _file_batches(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    text = file.schema.names.index("text")
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        size = file.metadata.row_group(group).column(text).total_uncompressed_size
        most = min(_MOST_ROWS, max(1, rows * _BATCH_BYTES // max(1, size)))
        # One row group after the other: over a whole file `iter_batches` keeps each that it
        # has read. Without threads of its own: parts are read by several workers already.
        yield from file.iter_batches(most, [group], columns, use_threads=False)
