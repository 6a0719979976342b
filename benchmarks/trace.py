"""How long it takes to trace an answer of 200 tokens, and how large the index is.

    python benchmarks/trace.py [--tokens N] [--quick] [--workspace DIR]

A corpus of N tokens (20 million) is made up: documents of 20 to 600 tokens with the frequencies of
words (Zipf), a third of them copies of others. The index is built in a process of its own, so that
its memory can be told. Then 100 answers are looked up, each a stretch copied from a document
between two invented ones. `milliseconds` is the median of finding all spans of one answer with
their counts; the page cache is warm. CPU times stand beside it, which a busy machine stretches
less. `--quick` takes 5 million tokens.

With --workspace, sentences of its held-out pages are traced with their sources, first with the
index open (`demo.milliseconds`), then as the whole command with its start (`demo.process_seconds`).
The last line is JSON: {"milliseconds": ..., "bytes_per_token": ..., ...}.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.data.spans import find_spans
from gristmill.data.suffix_index import SuffixIndex, build
from gristmill.tokenizer.shards import ShardFile, SplitIndex, token_dtype, write_index
from gristmill.tokenizer.tokenizer import Tokenizer

VOCABULARY, EOT = 50_000, 49_999
ANSWER_TOKENS, ANSWERS = 200, 100
SHARD_TOKENS = 5_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=20_000_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args(arguments)
    count = 5_000_000 if given.quick else given.tokens
    with tempfile.TemporaryDirectory() as name:
        found = synthetic(Path(name), count)
    if given.workspace is not None:
        found["demo"] = workspace(given.workspace)
    print(json.dumps(found))


def synthetic(folder: Path, count: int) -> dict[str, Any]:
    """Builds and asks an index of made-up tokens."""
    rng = np.random.default_rng(1)
    write_corpus(folder / "tokens", count, rng)
    start = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(
        target=build_alone, args=(folder / "tokens", folder / "index")
    )
    process.start()
    process.join()
    seconds = time.perf_counter() - start
    if process.exitcode:
        sys.exit(process.exitcode)
    told = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    index = SuffixIndex.open(folder / "index", folder / "tokens")
    size = sum(path.stat().st_size for path in (folder / "index").iterdir())
    print(f"built {len(index.shards):,} tokens in {seconds:.1f} s")
    answers = []
    for _ in range(ANSWERS):
        place = int(rng.integers(0, len(index.shards) - 80))
        copied = index.shards.tokens(place, 80)
        invented = zipf(rng, ANSWER_TOKENS - 80)
        answers.append(np.concatenate([invented[:60], copied, invented[60:]]))
    times, cpus = timed([lambda answer=answer: find_spans(index, answer) for answer in answers])
    return {
        "milliseconds": round(1000 * median(times), 2),
        "cpu_milliseconds": round(1000 * median(cpus), 2),
        "slowest_milliseconds": round(1000 * max(times), 2),
        "bytes_per_token": round(size / len(index.shards), 3),
        "tokens": len(index.shards),
        "build_seconds": round(seconds, 2),
        **told,
    }


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
    from gristmill.tokenizer.shards import TokenShards

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
