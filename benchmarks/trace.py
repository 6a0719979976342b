"""How long it takes to trace an answer of 200 tokens, and how large the index is.

    python benchmarks/trace.py [--tokens N] [--quick] [--made-up] [--workspace DIR]

Real text of about N tokens (100 million; with --quick 3 million): film reviews, LibreOffice's help
in six languages, encyclopaedia summaries, Python sources, as far as they are to be had, cut by a
tokenizer of 32,768 ids trained on a part of them. One document of 200 is held out. The index is
built in a process of its own, so that its memory can be told. Then 100 answers are traced, each 80
tokens of an indexed document between 120 of held-out ones: `milliseconds` is the median for one,
from its text to its findings, each with its number of occurrences and where they stand;
`spans_milliseconds` of finding the runs by tokens alone. The page cache is warm;
`cold_milliseconds` is the median for 20 answers with the files of index and shards out of it before
each (Linux), and `disk_waits` how often such an answer waited for a page. CPU times stand beside
them, which a busy machine stretches less. --made-up takes tokens with the frequencies of
words (Zipf), a third of the documents copies, and finds runs alone.

With --workspace, sentences of its held-out pages are traced with their sources, first with the
index open (`demo.milliseconds`), then as the whole command with its start (`demo.process_seconds`).
The last line is JSON: {"milliseconds": ..., "bytes_per_token": ..., ...}.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from corpora import help_pages, python_sources, reviews, summaries

from gristmill.data.spans import TracedText, choose, find_spans, locate, measure_chance, text_spans
from gristmill.data.suffix_index import SuffixIndex, build
from gristmill.tokenizer.shards import (
    ShardFile,
    SplitIndex,
    TokenShards,
    token_dtype,
    write_index,
)
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

VOCABULARY, EOT = 50_000, 49_999
REAL_VOCABULARY, TRAINED_BYTES = 32_768, 8 << 20
ANSWER_TOKENS, COPIED_TOKENS, ANSWERS = 200, 80, 100
COLD_ANSWERS = 20
SHARD_TOKENS = 5_000_000
HELD_OUT = 200


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--made-up", action="store_true")
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args(arguments)
    count = 3_000_000 if given.quick else given.tokens
    with tempfile.TemporaryDirectory() as name:
        found = synthetic(Path(name), count) if given.made_up else real(Path(name), count)
    if given.workspace is not None:
        found["demo"] = workspace(given.workspace)
    print(json.dumps(found))


def real(folder: Path, count: int) -> dict[str, Any]:
    """Builds and asks an index of real text."""
    tokenizer = write_real(folder / "tokens", count)
    told = build_apart(folder)
    index = SuffixIndex.open(folder / "index", folder / "tokens")
    held_out = TokenShards.open(folder / "tokens", "heldout")
    chance = measure_chance(index, held_out)
    rng = np.random.default_rng(1)
    edge = (ANSWER_TOKENS - COPIED_TOKENS) // 2
    answers = []
    for _ in range(ANSWERS):
        before, after = (inside(held_out, edge, rng) for _ in range(2))
        copied = inside(index.shards, COPIED_TOKENS, rng)
        answers.append(tokenizer.decode(np.concatenate([before, copied, after])))

    def trace(index: SuffixIndex, text: str) -> int:
        traced = TracedText.of(index, tokenizer, text)
        findings = choose(text_spans(index, tokenizer, traced), traced, chance.bits)
        return sum(locate(index, tokenizer, traced, one).count > 0 for one in findings)

    found = sum(trace(index, text) for text in answers)
    times, cpus = timed([partial(trace, index, text) for text in answers])
    ids = [np.array(tokenizer.encode(text)) for text in answers]
    runs, _ = timed([partial(find_spans, index, one) for one in ids])
    told |= {
        **measured(times, cpus),
        "spans_milliseconds": round(1000 * median(runs), 2),
        "findings": found,
        **sizes(folder, index),
        "finding_bits": chance.bits,
    }
    del index
    return {**told, **cold(folder, trace, answers)}


def inside(shards: TokenShards, length: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """So many tokens from somewhere in a document that has as many."""
    while True:
        place = int(rng.integers(0, len(shards) - length))
        ids = shards.tokens(place, length)
        if not (ids == shards.eot_id).any():
            return ids


def texts() -> Iterator[str]:
    """The sources one after the other, code last: of it there is enough."""
    for source in (reviews, help_pages, summaries, python_sources):
        yield from (text for text in source() if text)


def write_real(folder: Path, count: int) -> Tokenizer:
    """Shards of about `count` tokens of real text, and what is held out of it."""
    some: list[str] = []
    for source in (reviews, help_pages, summaries, python_sources):
        size = 0
        for text in source():
            some.append(text)
            size += len(text)
            if size > TRAINED_BYTES // 4:
                break
    tokenizer = train_tokenizer(some, REAL_VOCABULARY)
    splits = {name: SplitIndex(folder, name) for name in ("train", "heldout")}
    held: list[np.ndarray[Any, Any]] = []
    dtype, eot = token_dtype(tokenizer.vocab_size), tokenizer.eot_id

    def write(split: str, number: int, documents: list[np.ndarray[Any, Any]]) -> None:
        name = f"{split}/shard-{number:05d}.bin"
        with ShardFile(folder / name, dtype, eot) as shard:
            for ids in documents:
                shard.append(ids)
        names = [f"{number}-{i}" for i in range(len(shard.tokens))]
        columns = dict.fromkeys(("id", "url", "host", "domain"), names)
        rows = pa.table({**columns, "tokens": shard.tokens, "bytes": shard.tokens})
        splits[split].add(name, rows)

    total = number = seen = 0
    documents: list[np.ndarray[Any, Any]] = []
    for batch in batches(texts()):
        for ids in tokenizer.encode_batch(batch):
            seen += 1
            (documents if seen % HELD_OUT else held).append(ids)
        here = sum(map(len, documents))
        if here >= min(SHARD_TOKENS, count - total):
            write("train", number, documents)
            total, number, documents = total + here, number + 1, []
        if total >= count:
            break
    if documents:
        write("train", number, documents)
    write("heldout", 0, held)
    entries = {name: split.close() for name, split in splits.items()}
    write_index(folder, tokenizer.vocab_size, eot, entries)
    return tokenizer


def batches(some: Iterator[str]) -> Iterator[list[str]]:
    """Lists of about a megabyte."""
    held, size = [], 0
    for text in some:
        held.append(text)
        size += len(text)
        if size > 1 << 20:
            yield held
            held, size = [], 0
    yield held


def synthetic(folder: Path, count: int) -> dict[str, Any]:
    """Builds and asks an index of made-up tokens."""
    rng = np.random.default_rng(1)
    write_corpus(folder / "tokens", count, rng)
    told = build_apart(folder)
    index = SuffixIndex.open(folder / "index", folder / "tokens")
    answers = []
    for _ in range(ANSWERS):
        place = int(rng.integers(0, len(index.shards) - COPIED_TOKENS))
        copied = index.shards.tokens(place, COPIED_TOKENS)
        invented = zipf(rng, ANSWER_TOKENS - COPIED_TOKENS)
        answers.append(np.concatenate([invented[:60], copied, invented[60:]]))
    times, cpus = timed([partial(find_spans, index, answer) for answer in answers])
    told |= {**measured(times, cpus), **sizes(folder, index)}
    del index
    return {**told, **cold(folder, find_spans, answers)}


def cold(
    folder: Path, ask: Callable[[SuffixIndex, Any], object], answers: Sequence[Any]
) -> dict[str, float]:
    """What an answer costs when index and tokens must be read from the disk. No index is to be
    open: what a process has mapped stays in the cache."""
    if not hasattr(os, "posix_fadvise"):
        return {}
    files = [path for part in ("index", "tokens") for path in (folder / part).rglob("*.bin")]
    walls, cpus, waits = [], [], []
    for answer in answers[:COLD_ANSWERS]:
        gc.collect()
        for path in files:
            out_of_cache(path)
        index = SuffixIndex.open(folder / "index", folder / "tokens")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        (wall,), (cpu,) = timed([partial(ask, index, answer)])
        walls.append(wall)
        cpus.append(cpu)
        waits.append(resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before)
        del index
    return {
        "cold_milliseconds": round(1000 * median(walls), 2),
        "cold_cpu_milliseconds": round(1000 * median(cpus), 2),
        "disk_waits": median(waits),
    }


def out_of_cache(path: Path) -> None:
    """Has the system forget a file's pages, once they are on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measured(times: Sequence[float], cpus: Sequence[float]) -> dict[str, float]:
    return {
        "milliseconds": round(1000 * median(times), 2),
        "cpu_milliseconds": round(1000 * median(cpus), 2),
        "slowest_milliseconds": round(1000 * max(times), 2),
    }


def sizes(folder: Path, index: SuffixIndex) -> dict[str, float]:
    size = sum(path.stat().st_size for path in (folder / "index").iterdir())
    tokens = len(index.shards)
    return {"bytes_per_token": round(size / tokens, 3), "tokens": tokens}


def build_apart(folder: Path) -> dict[str, Any]:
    """Builds in a process of its own; what it cost."""
    start = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(
        target=build_alone, args=(folder / "tokens", folder / "index")
    )
    process.start()
    process.join()
    seconds = time.perf_counter() - start
    if process.exitcode:
        sys.exit(process.exitcode)
    told: dict[str, Any] = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    print(f"built in {seconds:.1f} s, {told['build_cpu_seconds']:.1f} CPU s", flush=True)
    return {"build_seconds": round(seconds, 2), **told}


def build_alone(tokens: Path, out: Path) -> None:
    """Builds, and notes what it cost beyond the imports."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    build(tokens, out)
    after = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    cost = {
        "build_cpu_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2
        ),
        # With the pages of the files that it maps, which the system may take back.
        "build_peak_bytes": after.ru_maxrss * unit,
    }
    (out.parent / "cost.json").write_text(json.dumps(cost), encoding="utf-8")


def write_corpus(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Token shards of about `count` tokens."""
    split = SplitIndex(folder, "train")
    total, number, kept = 0, 0, [zipf(rng, 100)]
    while total < count:
        name = f"train/shard-{number:05d}.bin"
        with ShardFile(folder / name, token_dtype(VOCABULARY), EOT) as shard:
            while sum_of(shard) < min(SHARD_TOKENS, count - total):
                for length in rng.integers(20, 600, 64):
                    if rng.random() < 1 / 3:
                        shard.append(kept[int(rng.integers(len(kept)))])
                        continue
                    document = zipf(rng, int(length))
                    shard.append(document)
                    if len(kept) < 20_000:
                        kept.append(document)
        names = [f"{number}-{i}" for i in range(len(shard.tokens))]
        columns = dict.fromkeys(("id", "url", "host", "domain"), names)
        sizes = {"tokens": shard.tokens, "bytes": shard.tokens}
        split.add(name, pa.table({**columns, **sizes}))
        total += sum_of(shard)
        number += 1
    write_index(folder, VOCABULARY, EOT, {"train": split.close()})


def sum_of(shard: ShardFile) -> int:
    return sum(shard.tokens)


def zipf(rng: np.random.Generator, length: int) -> np.ndarray[Any, Any]:
    """Ids whose frequency falls as one over their rank."""
    return np.exp(rng.random(length) * np.log(EOT - 1)).astype(np.int64)


def workspace(path: Path) -> dict[str, Any]:
    """Traces held-out text of a real workspace, with sources."""
    from gristmill.stages.tracing import Tracer, newest_tokens
    from gristmill.stages.workspace import Workspace

    tracer = Tracer.open(Workspace.at(path))
    tokens = newest_tokens(Workspace.at(path)).path
    shards, tokenizer = TokenShards.open(tokens, "heldout"), Tokenizer.load(tokens)
    starts = np.linspace(0, len(shards) - ANSWER_TOKENS, 40).astype(int)
    eot = shards.eot_id
    answers = [
        tokenizer.decode([i for i in shards.tokens(int(s), ANSWER_TOKENS).tolist() if i != eot])
        for s in starts
    ]
    tracer.trace(answers[0])
    times, cpus = timed([lambda answer=answer: tracer.trace(answer) for answer in answers])
    command = [sys.executable, "-m", "gristmill", "trace", "--workspace", str(path), answers[1]]
    quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    runs, run_cpus = timed([lambda: subprocess.run(command, check=True, **quiet)] * 5)
    index = len(tracer.index.shards)
    return {
        "tokens": index,
        "milliseconds": round(1000 * median(times), 2),
        "cpu_milliseconds": round(1000 * median(cpus), 2),
        "slowest_milliseconds": round(1000 * max(times), 2),
        "process_seconds": round(min(runs), 3),
        "process_cpu_seconds": round(median(run_cpus), 3),
    }


def timed(calls: Sequence[Callable[[], object]]) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each call, those of processes that it ran included."""
    walls, cpus = [], []
    for call in calls:
        wall, cpu = time.perf_counter(), cpu_seconds()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_seconds() - cpu)
    return walls, cpus


def cpu_seconds() -> float:
    now = os.times()
    return time.process_time() + now.children_user + now.children_system


if __name__ == "__main__":
    main()
