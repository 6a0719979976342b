"""Counting a corpus of any size: on several threads, in bounded memory, and on after a kill.

Where the tables pass the memory they are written out as a run of counted pretokens, cut into
partitions by the pretokens' bytes, and begin empty. In the end the runs are added up one partition
after the other, so that never more than one partition's table is held beside the result. A run is
noted in a journal with the number of documents behind it; a later attempt passes those over.

What comes out is the same for any number of threads, any memory and any kill, but for the order of
the pretokens, which training does not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.core.canonical import hash_file
from gristmill.core.progress import Progress, Silent
from gristmill.core.run import Run
from gristmill.tokenizer.counting import PretokenCounter, PretokenCounts
from gristmill.tokenizer.splitter import padded
from gristmill.tokenizer.tokenizer import utf8

MEMORY = 2 << 30
_JOURNAL = "counted.jsonl"
_BATCH_BYTES = 4 << 20
_JOURNAL_BYTES = 1 << 30
_PARTITIONS = 32


@dataclass(frozen=True)
class CountedCorpus:
    """dropped: distinct pretokens left out as too rare; dropped_occurrences: how often in all."""

    pretokens: PretokenCounts
    bytes: int
    documents: int
    dropped: int = 0
    dropped_occurrences: int = 0
    runs: int = 0


def count_corpus(
    texts: Iterable[str],
    pattern: str = "gpt4",
    *,
    workers: int = 1,
    memory: int = MEMORY,
    min_count: int = 1,
    run: Run | None = None,
    journal_bytes: int = _JOURNAL_BYTES,
    bar: Progress | None = None,
) -> CountedCorpus:
    """Counts the pretokens of texts.

    memory: bytes that the tables of all threads may take, about; more is written to disk.
    min_count: pretokens that occur less often are left out. run: where to note what is done, each
    `journal_bytes` of text, so that a later call with the same texts goes on from there; without
    one, what passes the memory goes to a temporary folder. `bar` advances by bytes read.
    """
    bar = bar or Silent()
    with TemporaryDirectory(prefix="gristmill-count-") as temporary:
        runs = _Runs(run, Path(temporary))
        bar.advance(runs.bytes)
        counters = [PretokenCounter(pattern) for _ in range(max(1, workers))]
        pool = _Pool(counters)
        try:
            for batch in _batches(texts, skip=runs.documents):
                pool.add(batch)
                bar.advance(sum(map(len, batch)))
                full = sum(counter.memory for counter in counters) > memory
                if full or (run is not None and pool.bytes >= journal_bytes):
                    runs.write(pool.taken(), pool.documents, pool.bytes)
                    counters = [PretokenCounter(pattern) for _ in counters]
                    pool.begin(counters)
            last = pool.taken()
        finally:
            pool.close()
        total_bytes, documents = runs.bytes + pool.bytes, runs.documents + pool.documents
        if not runs.files:
            merged = _Result(min_count)
            merged.add(last)
            return merged.corpus(total_bytes, documents, 0)
        if pool.documents:
            runs.write(last, pool.documents, pool.bytes)
        del last, counters
        pool.begin([])
        merged = _Result(min_count)
        for partition in range(_PARTITIONS):
            counter = PretokenCounter(pattern)
            for part in runs.read(partition):
                counter.add_counts(part)
            merged.add(counter.result())
        return merged.corpus(total_bytes, documents, len(runs.files))


class _Pool:
    """Adds batches to counters, one thread for each counter where there are several."""

    def __init__(self, counters: list[PretokenCounter]):
        self._executor = ThreadPoolExecutor(len(counters)) if len(counters) > 1 else None
        self.begin(counters)

    def begin(self, counters: list[PretokenCounter]) -> None:
        self._counters = counters
        self._free: SimpleQueue[PretokenCounter] = SimpleQueue()
        for counter in counters:
            self._free.put(counter)
        self._working: list[Future[None]] = []
        self.bytes = self.documents = 0

    def add(self, batch: list[bytes]) -> None:
        self.bytes += sum(map(len, batch))
        self.documents += len(batch)
        if self._executor is None:
            self._counters[0].add(batch)
            return
        # A batch waits for a free counter, so that no more are held than are being counted.
        counter = self._free.get()
        self._working = [future for future in self._working if not _done(future)]
        self._working.append(self._executor.submit(self._count, counter, batch))

    def taken(self) -> PretokenCounts:
        """The sum of all counters, once all batches are counted."""
        for future in self._working:
            future.result()
        first, *others = self._counters
        for other in others:
            first.add_counts(other.result())
        return first.result()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()

    def _count(self, counter: PretokenCounter, batch: list[bytes]) -> None:
        try:
            counter.add(batch)
        finally:
            self._free.put(counter)


def _done(future: Future[None]) -> bool:
    if not future.done():
        return False
    future.result()
    return True


class _Runs:
    """The runs of counted pretokens on disk."""

    def __init__(self, run: Run | None, temporary: Path):
        self._run = run
        self._folder = temporary if run is None else run.path / "counted"
        self._folder.mkdir(parents=True, exist_ok=True)
        journal = [] if run is None else run.read(_JOURNAL)
        if run is not None and not all(self._is_whole(line) for line in journal):
            (run.path / _JOURNAL).unlink()
            journal = []
        self.files: list[dict[str, Any]] = journal
        self.bytes = sum(line["bytes"] for line in journal)
        self.documents = sum(line["documents"] for line in journal)

    def write(self, counted: PretokenCounts, documents: int, size: int) -> None:
        """One run, durably; then its line in the journal."""
        name = f"{len(self.files):05d}.counts"
        partition = _partition(counted)
        places = []
        with open(self._folder / name, "wb") as file:
            for number in range(_PARTITIONS):
                part = _chosen(counted, np.flatnonzero(partition == number))
                used = int(part.lengths.sum())
                places.append([file.tell(), part.counts.size, used])
                for array in (part.lengths, part.counts, part.arena[:used]):
                    file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())
        line = {"file": name, "documents": documents, "bytes": size, "places": places}
        line["hash"] = hash_file(self._folder / name)
        if self._run is not None:
            self._run.append(_JOURNAL, line)
        self.files.append(line)
        self.documents += documents
        self.bytes += size

    def read(self, partition: int) -> Iterator[PretokenCounts]:
        """One partition of each run."""
        for line in self.files:
            offset, entries, used = line["places"][partition]
            with open(self._folder / line["file"], "rb") as file:
                file.seek(offset)
                lengths = np.frombuffer(file.read(8 * entries), dtype="<i8").astype(np.int64)
                counts = np.frombuffer(file.read(8 * entries), dtype="<i8").astype(np.int64)
                arena = padded([file.read(used)])
            yield PretokenCounts(arena, np.cumsum(lengths) - lengths, lengths, counts)

    def _is_whole(self, line: dict[str, Any]) -> bool:
        path = self._folder / line["file"]
        return path.is_file() and hash_file(path) == line["hash"]


class _Result:
    """Puts partitions together, without what is too rare."""

    def __init__(self, min_count: int):
        self._least = min_count
        self._parts: list[PretokenCounts] = []
        self._dropped = self._dropped_occurrences = 0

    def add(self, part: PretokenCounts) -> None:
        rare = part.counts < self._least
        if rare.any():
            self._dropped += int(rare.sum())
            self._dropped_occurrences += int(part.counts[rare].sum())
            part = _chosen(part, np.flatnonzero(~rare))
        self._parts.append(part)

    def corpus(self, size: int, documents: int, runs: int) -> CountedCorpus:
        parts = self._parts
        whole = parts[0]
        if len(parts) > 1:
            offsets = np.cumsum([0, *(part.arena.size for part in parts)])
            whole = PretokenCounts(
                np.concatenate([part.arena for part in parts]),
                np.concatenate([p.starts + o for p, o in zip(parts, offsets, strict=False)]),
                np.concatenate([part.lengths for part in parts]),
                np.concatenate([part.counts for part in parts]),
            )
        return CountedCorpus(whole, size, documents, self._dropped, self._dropped_occurrences, runs)


def _partition(counted: PretokenCounts) -> npt.NDArray[np.int64]:
    """The partition of each pretoken, by four of its bytes and its length."""
    last = counted.lengths - 1
    mixed = counted.lengths.astype(np.uint64)
    for offset in (0, 1, 2, 3):
        at = counted.starts + last * offset // 3
        mixed = (mixed + counted.arena[at]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
    return (mixed % np.uint64(_PARTITIONS)).astype(np.int64)


def _chosen(counted: PretokenCounts, entries: npt.NDArray[np.intp]) -> PretokenCounts:
    """Some of the pretokens, in an arena of their own."""
    lengths = counted.lengths[entries]
    starts = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.sum())) + np.repeat(counted.starts[entries] - starts, lengths)
    arena = padded([counted.arena[places].tobytes()])
    return PretokenCounts(arena, starts, lengths, counted.counts[entries])


def _batches(texts: Iterable[str], skip: int) -> Iterator[list[bytes]]:
    """Documents by some megabytes, without the first `skip`."""
    batch: list[bytes] = []
    size = 0
    for number, text in enumerate(texts):
        if number < skip:
            continue
        data = utf8(text)
        batch.append(data)
        size += len(data)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
