"""Deduplication: from text to signatures beside datatrove, rensa and gaoya; recall and precision on
real documents with known edits; LSH and clustering of ten million signatures.

    make bench-dedup       or: python benchmarks/dedup.py --quick | --lsh | --growth | --substrings

**Speed.** Real documents (pages of documentation packages, help in six languages, film reviews,
Python sources, summaries), 4.3 kB in the mean. For all: shingles of 5 words, 112 permutations
(datatrove's 14 bands of 8), one thread, from strings in memory to signatures in memory, CPU
seconds, in turn. Words are what each takes for words: ours runs of letters and digits, of every
script; datatrove's those of spaCy; rensa's and gaoya's those between white space. `ratio`: our
documents per CPU second over datatrove's as it comes, which is slow and timed on every 48th
document, ours on the same; `ratio_split`: over datatrove with `str.split` in its tokenizer's place,
every 16th; `ratio_best`: over the faster of rensa and gaoya, all documents. `worst_ratio_best`: of
our slowest round and its fastest.

**Recall, precision.** Real documents of ASCII, and two copies of each in which words were deleted,
replaced and inserted at a rate drawn so that Jaccard lies from 0.5 to 1 on both sides of 0.8. The
truth is counted here, with Python sets of word tuples, for every pair of a family; originals share
next to no shingles, so that pairs across families are unrelated. The step works as `data dedup`
does by default (25 bands of 4 rows) with the threshold at 0.8; it checks each candidate's exact
Jaccard by its own hashes. `recall`: of the pairs of true Jaccard 0.8 or more, those reported.
`precision`: of the pairs reported, those of true Jaccard 0.8 or more, without a margin.
`precision_unchecked`: the same of the candidates, which is what other tools report.
`precision_groups`: of the pairs that end in one group, those of at least 0.75: two copies of one
original, each at 0.8 of it, are at about 0.67 of each other, and components tie them.

**LSH.** Synthetic signatures, 112 numbers, made part by part outside the clock: 8% are copies whose
numbers agree each with probability 0.9. In 14 bands of 8 rows: keys, index on disk, sort of
each band, connected components. `lsh_recall`: copies that share a group with their original,
beside what the curve says (`lsh_expected`). `growth`: documents, CPU seconds, peak memory of the
process, index bytes per document at 1, 4 and 16 times the input, each in its own process.

**Lines.** Of the same documents, as pages of sites of 200: `lines_per_second`, documents per CPU
second that are read and whose lines are keyed by site, once a page, spilled and counted;
`lines_ratio_set`: over a Python set of stripped lines for the whole corpus, which knows no sites,
has read the documents before and holds every line in memory.

Last line: those figures. --quick: fewer rounds, 1 million signatures. --lsh: only LSH. --growth,
--substrings: only the whole step's memory, or repeated passages (see dedup_growth.py and
dedup_substrings.py); neither is in the run without flags.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dedup_growth
import dedup_labelled
import dedup_substrings
import numpy as np
import pyarrow as pa
from beside import ROOT, Peer, finish, in_turn, missing, peak_memory, ratio
from filters import documents

from gristmill.data.dedup.band_index import BandIndex
from gristmill.data.dedup.exact import site_numbers
from gristmill.data.dedup.line_counts import LinesPart, repeated_lines
from gristmill.data.dedup.lsh import band_keys, bucket_components, candidate_probability
from gristmill.data.dedup.minhash import signatures
from gristmill.data.engine.local import LocalEngine

SCRIPT = ROOT / "benchmarks" / "peers" / "dedup_peer.py"
BANDS, ROWS, WORDS = 14, 8, dedup_labelled.WORDS
PEERS = {"datatrove": 48, "datatrove_split": 16, "rensa": 1, "gaoya": 1}
PART = 125_000
COPIES, AGREE = 0.08, 0.9


def speed(texts: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """CPU seconds per document of ours and of each peer, in turn."""
    peer = Peer("dedup")
    file = folder / "documents.jsonl"
    with open(file, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(text) + "\n" for text in texts)
    columns = {step: pa.array(texts[::step], pa.large_string()) for step in PEERS.values()}

    def ours(step: int) -> float:
        # Few documents are signed so often that as many are timed as there are in all.
        start = time.process_time()
        for _ in range(step):
            signatures(columns[step], n=WORDS, count=BANDS * ROWS)
        return (time.process_time() - start) / (step * len(columns[step]))

    def theirs(name: str) -> float:
        found = peer.run(
            SCRIPT,
            *map(str, (name, file, PEERS[name], BANDS, ROWS, WORDS)),
            environment={"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        assert found["documents"] == len(columns[PEERS[name]])
        return float(found["seconds"]) / int(found["documents"])

    ours(1)
    calls: list[Callable[[], float]] = []
    for name, step in PEERS.items():
        calls += [partial(ours, step), partial(theirs, name)]
    measured = in_turn(rounds, *calls)
    mine = dict(zip(PEERS, measured[::2], strict=True))
    others = dict(zip(PEERS, measured[1::2], strict=True))
    best = min(("rensa", "gaoya"), key=lambda name: statistics.median(others[name]))
    print(f"{'':16}documents per CPU second")
    for name in PEERS:
        both = (1 / statistics.median(values[name]) for values in (others, mine))
        print("{:16}{:>10,.0f}   ours {:>10,.0f}".format(name, *both))
    print(f"peers: {peer.versions('datatrove', 'spacy', 'rensa', 'gaoya')}")
    return {
        "ratio": round(ratio(others["datatrove"], mine["datatrove"]), 1),
        "ratio_split": round(ratio(others["datatrove_split"], mine["datatrove_split"]), 1),
        "ratio_best": round(ratio(others[best], mine[best]), 2),
        "worst_ratio_best": round(min(others[best]) / max(mine[best]), 2),
        "documents_per_second": round(1 / statistics.median(mine[best])),
    }


def lines(texts: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """Documents per CPU second whose lines are counted, beside a Python set."""
    found = dedup_growth.document_set(folder, texts, 2_000)
    parts = []
    for name in found.parts:
        # The step has these already.
        sites = site_numbers(found.read(name, ["host"])["host"].to_pylist())
        parts.append(LinesPart(name, np.arange(len(sites)), sites))
    engine = LocalEngine(1)

    def ours() -> float:
        start = time.process_time()
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            repeated_lines(
                engine, found, parts, share=0.2, min_pages=5, min_letters=8, unit="line",
                folder=Path(scratch), partitions=4, isolate=False,
            )  # fmt: skip
        return time.process_time() - start

    def plain() -> float:
        start = time.process_time()
        seen: set[str] = set()
        for text in texts:
            seen.update(line.strip() for line in text.split("\n"))
        return time.process_time() - start

    mine, theirs = in_turn(rounds, ours, plain, warm_up=True)
    return {
        "lines_per_second": round(len(texts) / statistics.median(mine)),
        "lines_ratio_set": round(ratio(theirs, mine), 2),
    }


def cluster(documents_: int, folder: Path) -> dict[str, Any]:
    """Keys, index and components of synthetic signatures; only these are timed."""
    draw = np.random.default_rng(5)
    index = BandIndex(folder / "bands", BANDS)
    seconds = 0.0
    originals: list[np.ndarray] = []
    warm = BandIndex(folder / "warm", BANDS)
    warm.append(band_keys(np.ones((4, BANDS * ROWS), np.uint32), BANDS, ROWS))
    bucket_components(4, warm)
    # The copies of a part are of originals of the part before it: pairs across files.
    kept = np.zeros((0, BANDS * ROWS), np.uint32)
    place = np.zeros(0, np.int64)
    while index.documents < documents_:
        first = index.documents
        size = min(PART, documents_ - first)
        part = draw.integers(0, 1 << 32, (size, BANDS * ROWS), dtype=np.uint32)
        copies = min(len(kept), int(COPIES * size))
        rows = draw.permutation(size)[: copies + int(COPIES * size)]
        agree = draw.random((copies, BANDS * ROWS), dtype=np.float32) < AGREE
        part[rows[:copies]] = np.where(agree, kept[:copies], part[rows[:copies]])
        originals.append(np.stack([place[:copies], first + rows[:copies]], axis=1))
        kept, place = part[rows[copies:]], first + rows[copies:]
        start = time.process_time()
        index.append(band_keys(part, BANDS, ROWS))
        seconds += time.process_time() - start
    start = time.process_time()
    groups = bucket_components(index.documents, index)
    seconds += time.process_time() - start
    pairs = np.concatenate(originals)
    return {
        "documents": documents_,
        "seconds": seconds,
        "bytes_per_document": index.bytes / documents_,
        "recall": float(np.mean(groups[pairs[:, 0]] == groups[pairs[:, 1]])),
        "groups": int(np.sum(groups == np.arange(len(groups)))),
        "memory": peak_memory(),
    }


def lsh(largest: int) -> dict[str, Any]:
    """`cluster` at 1, 4 and 16 times the input, each in a process of its own."""
    print(f"\n{'signatures':>12}{'CPU s':>8}{'memory, MB':>12}{'index, bytes/document':>24}")
    rows = []
    for count in (largest // 16, largest // 4, largest):
        done = subprocess.run(
            [sys.executable, __file__, "--cluster", str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        one = json.loads(done.stdout.strip().splitlines()[-1])
        rows.append(one)
        print(
            f"{one['documents']:>12,}{one['seconds']:>8.1f}{one['memory'] / 1e6:>12.0f}"
            f"{one['bytes_per_document']:>24.0f}",
            flush=True,
        )
    last = rows[-1]
    return {
        "lsh_signatures": last["documents"],
        "lsh_seconds": round(last["seconds"], 1),
        "lsh_gigabytes": round(last["memory"] / 1e9, 2),
        "bytes_per_document": last["bytes_per_document"],
        "lsh_recall": round(last["recall"], 4),
        "lsh_expected": round(candidate_probability(AGREE, BANDS, ROWS), 4),
        "growth": [[r["documents"], round(r["seconds"], 2), r["memory"]] for r in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 1 million signatures")
    parser.add_argument("--lsh", action="store_true", help="only LSH and clustering")
    parser.add_argument("--growth", action="store_true", help="only the whole step's growth")
    parser.add_argument("--substrings", action="store_true", help="only repeated passages")
    parser.add_argument("--size", type=int, default=0, help="documents, or bytes, at 16 times")
    parser.add_argument("--cluster", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--whole-step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--passages", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.whole_step:
        print(json.dumps(dedup_growth.whole_step(options.whole_step)))
        return
    if options.passages:
        print(json.dumps(dedup_substrings.passages(options.passages)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.cluster:
            print(json.dumps(cluster(options.cluster, folder)))
            return
        if options.growth or options.substrings:
            texts, _ = documents()
            grown: dict[str, Any] = {}
            if options.growth:
                size = options.size or 1_600_000
                grown |= dedup_growth.growth(texts, size, __file__)
            if options.substrings:
                grown |= dedup_substrings.substrings(
                    texts, options.size or 1 << 28, __file__, folder
                )
            finish(grown)
            return
        result: dict[str, Any] = {}
        if not options.lsh:
            Peer("dedup")
            texts, kinds = documents()
            # datatrove's signature step fails on a text that has no shingle.
            texts = [text for text in texts if len(text.split()) >= 4 * WORDS]
            if len(texts) < 5_000:
                missing("too few documents", "the sources of corpora.py are needed")
            size = sum(len(text.encode()) for text in texts) / len(texts)
            print(f"{len(texts)} documents of {size:,.0f} bytes in the mean: {kinds}\n")
            result |= speed(texts, folder, 2 if options.quick else 5)
            result |= lines(texts, folder, 1 if options.quick else 3)
            result |= dedup_labelled.quality(texts, 600 if options.quick else 3_000)
        result |= lsh(1_000_000 if options.quick else 10_000_000)
        finish(result)


if __name__ == "__main__":
    main()
