"""How the training of a tokenizer grows: at 1, 4 and 16 times the text, and where it is streamed.

    python benchmarks/tokenizer_growth.py              # about six minutes
    python benchmarks/tokenizer_growth.py --quick      # a tenth of it
    python benchmarks/tokenizer_growth.py --part stream --stream-mb 10000 --keep FOLDER

Part one: a sixteenth, a quarter and all of 98 MB of real text (as benchmarks/tokenizer.py has it,
film reviews only where ../shared is), each in a process of its own, one thread; CPU seconds of
counting and of merging apart, memory as what they add to a process that holds no text.

Part two: gigabytes, made while they are read, so that only the program bounds them. The real text
comes again and again; each time a share of its documents has the letters of the Latin alphabet
exchanged, so that their words are new, and the share is what keeps the distinct pretokens growing
by the power law of part one. The tables of counting may take 256 MB; what is more is spilled.
Resident memory is sampled on the way. With --keep the count is journalled there, as
`tokenizer train` does: a later call with the same numbers goes on after a kill.

The last line is JSON: {"growth": {"seconds_exponent": of merging over distinct pretokens,
"memory_exponent": .., "rows": [..]}, "stream": {"bytes": .., "distinct": .., "spills": ..,
"spilled_bytes": .., "memory_counting": .., "memory_peak": .., ..}}.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from beside import SHARED, finish, missing, peak_memory
from corpora import mixed

HERE = Path(__file__).resolve()
TEXT_BYTES = 98_000_000
VOCABULARY = 32_768
TABLES = 256 << 20
_SAMPLES = 24


def main() -> None:
    """Measures, prints tables and a picture, and the JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the text")
    parser.add_argument("--part", choices=["growth", "stream"], help="one part alone")
    parser.add_argument("--stream-mb", type=int, help="megabytes to stream (2000; quick: 200)")
    parser.add_argument("--keep", type=Path, help="folder to keep text and journal in, to go on")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ours", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        task, *rest = arguments.ours
        print(json.dumps({"grow": _grow, "stream": _stream}[task](*rest)))
        return
    if not SHARED.is_dir():
        missing("there is no ../shared with the film reviews", "put them there")
    size = TEXT_BYTES // 10 if arguments.quick else TEXT_BYTES
    streamed = (arguments.stream_mb or (200 if arguments.quick else 2000)) * 1_000_000
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = folder / f"text-{size}.bin"
        if not text.is_file():
            _write(text, size)
        exponent_file = folder / f"exponent-{size}"
        if arguments.part != "stream":
            result["growth"] = _growth(text)
            exponent_file.write_text(str(result["growth"]["distinct_exponent"]), encoding="ascii")
        if arguments.part != "growth":
            exponent = 0.65
            if exponent_file.is_file():
                exponent = float(exponent_file.read_text(encoding="ascii"))
            tables = TABLES // 10 if arguments.quick else TABLES
            result["stream"] = _streamed(
                text, streamed, exponent, folder, tables, arguments.workers
            )
    finish(result)


def _growth(text: Path) -> dict[str, Any]:
    rows = [_run("grow", text, share) for share in (16, 4, 1)]
    print(f"\n{'text':>8}{'distinct':>12}{'counting':>10}{'merging':>9}{'total':>8}{'memory':>9}"
          f"{'per distinct':>20}")  # fmt: skip
    print(f"{'MB':>8}{'pretokens':>12}{'CPU s':>10}{'CPU s':>9}{'CPU s':>8}{'MB':>9}"
          f"{'merging us, bytes':>20}")  # fmt: skip
    for row in rows:
        merging = row["merging"] / row["distinct"] * 1e6
        print(
            f"{row['bytes'] / 1e6:>8.1f}{row['distinct']:>12,}{row['counting']:>10.2f}"
            f"{row['merging']:>9.2f}{row['counting'] + row['merging']:>8.2f}"
            f"{row['memory'] / 1e6:>9.0f}{merging:>12.2f}{row['memory'] / row['distinct']:>8.0f}"
        )
    first, last = rows[0], rows[-1]

    def exponent(of: str, over: str) -> float:
        return round(math.log(last[of] / first[of]) / math.log(last[over] / first[over]), 3)

    found = {
        "distinct_exponent": exponent("distinct", "bytes"),
        "counting_exponent": exponent("counting", "bytes"),
        "seconds_exponent": exponent("merging", "distinct"),
        "memory_exponent": exponent("memory", "distinct"),
    }
    print(
        f"exponents: distinct over text {found['distinct_exponent']}, counting over text "
        f"{found['counting_exponent']}, merging over distinct {found['seconds_exponent']}, "
        f"memory over distinct {found['memory_exponent']}"
    )
    return {**found, "rows": rows}


def _streamed(
    text: Path, size: int, exponent: float, folder: Path, tables: int, workers: int
) -> dict[str, Any]:
    journal = folder / f"journal-{size}"
    journal.mkdir(exist_ok=True)
    found = _run("stream", text, size, exponent, journal, tables, workers)
    most = max(memory for _, _, memory in found["samples"])
    print(f"\n{size / 1e9:.1f} GB streamed, tables of {tables >> 20} MB, {workers} worker")
    for phase, done, memory in found["samples"]:
        where = f"{done / 1e9:.2f} GB" if phase == "counting" else phase
        print(f"{where:>10} {'#' * round(40 * memory / most):<40} {memory / 1e6:,.0f} MB")
    print(
        f"{found['distinct']:,} distinct pretokens, {found['spills']} spills of "
        f"{found['spilled_bytes'] / 1e6:,.0f} MB in all; {found['counting']:.0f} CPU s counting, "
        f"{found['adding']:.0f} adding up, {found['merging']:.0f} merging; "
        f"peak {found['memory_peak'] / 1e6:,.0f} MB, while counting "
        f"{found['memory_counting'] / 1e6:,.0f} MB"
    )
    return {key: value for key, value in found.items() if key != "samples"}


def _run(*task: object) -> dict[str, Any]:
    one = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, HERE, "--ours", *map(str, task)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, **one}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{task[0]} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _grow(text: str, share: str) -> dict[str, Any]:
    """Every so-manieth document, counted and merged in this process."""
    from gristmill.tokenizer.counted_runs import count_corpus
    from gristmill.tokenizer.merging import learn_merges
    from gristmill.tokenizer.training import train_tokenizer

    train_tokenizer(["some words, to warm up 12 times"], 300)
    before = _resident()
    start = time.process_time()
    counted = count_corpus(document.decode() for document in _documents(Path(text), int(share)))
    between = time.process_time()
    learn_merges(counted.pretokens, VOCABULARY - 256)
    return {
        "bytes": counted.bytes,
        "distinct": int(counted.pretokens.counts.size),
        "counting": between - start,
        "merging": time.process_time() - between,
        "memory": peak_memory() - before,
    }


class _Watch:
    """A progress bar that notes the resident memory instead, now and then, and when counting
    was done: after the last document."""

    def __init__(self, size: int):
        self._every, self._next, self.done = size / _SAMPLES, 0.0, 0
        self.samples: list[tuple[str, int, int]] = []

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        self.done += int(amount)
        if self.done >= self._next:
            self.samples.append(("counting", self.done, _resident()))
            self._next = self.done + self._every

    def total(self, total: float) -> None: ...
    def note(self, note: str) -> None: ...
    def close(self) -> None: ...


def _stream(
    text: str, size: str, exponent: str, journal: str, tables: str, workers: str
) -> dict[str, Any]:
    """Counts and merges a stream in this process."""
    from gristmill.core.run import Run
    from gristmill.tokenizer.counted_runs import count_corpus
    from gristmill.tokenizer.merging import learn_merges
    from gristmill.tokenizer.training import train_tokenizer

    train_tokenizer(["some words, to warm up 12 times"], 300)
    watch = _Watch(int(size))
    read: list[float] = []

    def texts() -> Iterator[str]:
        yield from _endless(Path(text), int(size), float(exponent))
        read.append(time.process_time())

    start = time.process_time()
    counted = count_corpus(
        texts(), workers=int(workers), memory=int(tables), run=Run(Path(journal)), bar=watch
    )
    between = time.process_time()
    memory_counting = max(memory for _, _, memory in watch.samples)
    samples = [*watch.samples, ("adding up", 0, peak_memory())]
    learn_merges(counted.pretokens, VOCABULARY - 256)
    runs = list(Path(journal).rglob("*.counts"))
    return {
        "bytes": counted.bytes,
        "documents": counted.documents,
        "distinct": int(counted.pretokens.counts.size),
        "spills": counted.runs,
        "spilled_bytes": sum(file.stat().st_size for file in runs),
        "counting": read[0] - start,
        "adding": between - read[0],
        "merging": time.process_time() - between,
        "memory_counting": memory_counting,
        "memory_peak": peak_memory(),
        "samples": [*samples, ("merging", 0, peak_memory())],
    }


def _endless(text: Path, size: int, exponent: float) -> Iterator[str]:
    """The text again and again until `size` bytes; in repetition k so much of it in an alphabet of
    its own that the distinct pretokens grow as (repetitions)^exponent."""
    done, repetition = 0, 0
    while True:
        growth = (repetition + 1) ** exponent - repetition**exponent
        share = growth ** (1 / exponent) if repetition else 0.0
        rng = random.Random(repetition)
        table = _alphabet(rng)
        for document in _documents(text):
            if rng.random() < share:
                document = document.translate(table)
            yield document.decode()
            done += len(document)
            if done >= size:
                return
        repetition += 1


def _alphabet(rng: random.Random) -> bytes:
    """Small letters exchanged among themselves, capitals alike."""
    letters = list(range(26))
    rng.shuffle(letters)
    table = bytearray(range(256))
    for old, new in enumerate(letters):
        table[ord("a") + old], table[ord("A") + old] = ord("a") + new, ord("A") + new
    return bytes(table)


def _write(file: Path, size: int) -> None:
    """The documents in an order without rhyme, one behind the other; their lengths beside them."""
    documents, kinds = mixed(size)
    random.Random(1).shuffle(documents)
    print(f"{sum(kinds.values()):,} bytes: " + ", ".join(f"{k} {v:,}" for k, v in kinds.items()))
    np.save(file.with_suffix(".npy"), np.array([len(document) for document in documents]))
    file.write_bytes(b"".join(documents))


def _documents(file: Path, every: int = 1) -> Iterator[bytes]:
    """Every so-manieth document; none is held longer than it is used."""
    with file.open("rb") as text:
        for number, length in enumerate(np.load(file.with_suffix(".npy")).tolist()):
            document = text.read(length)
            if number % every == 0:
                yield document


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
